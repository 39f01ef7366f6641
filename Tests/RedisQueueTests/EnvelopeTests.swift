import Basics
import Delivery
import Foundation
import MessageQueues
import Testing

@testable import RedisQueue

@Suite struct EnvelopeTests {
    private let defaults = MessageDefaults(now: Instant(seconds: 1_790_000_000), path: "/v1/completions")

    private func decode(
        _ text: String, payload: String? = nil, labels: [String: String] = [:]
    ) throws -> InferenceMessage {
        try Envelope(Array(text.utf8)).message(
            payload: payload.map { Array($0.utf8) }, defaults: defaults, labels: labels)
    }

    @Test func readsTheSmallestMemberThatIsAccepted() throws {
        let message = try decode(
            #"{"request_kind":"plain","data":{"id":"x","deadline":1999999999,"payload":{"model":"m"}}}"#)
        #expect(message.id == "x")
        #expect(message.deadline == Instant(seconds: 1_999_999_999))
        #expect(message.path == "/v1/completions")
        #expect(message.model == "m")
        #expect(message.created == defaults.now)
    }

    @Test func readsWhatAProducerOfTheLaterVintageWrites() throws {
        let text = #"""
            {"internal":{"retry_count":2,"queue_id":"q1","request_token":"00ff","request_queue_name":"rq","result_queue_name":"res","result_ttl_seconds":60,"result_routing_resolved":true,"enqueued_at_ms":1790000000123,"payload_ref":"request-payload:a:00ff","labels":{"tier":"batch"},"enqueue_seq":7},"request_kind":"redis","data":{"id":"a","created":1790000000,"deadline":1790000600,"payload":null,"metadata":{"userid":"u"},"headers":{"x-a":"1"},"endpoint":"/v1/embeddings","result_queue_name":"other"}}
            """#
        let envelope = try Envelope(Array(text.utf8))
        #expect(envelope.id == "a")
        #expect(envelope.fields.token == "00ff")
        #expect(envelope.fields.requestQueue == "rq")
        #expect(envelope.fields.resultQueue == "res")
        #expect(envelope.fields.resultLifetime == 60)
        #expect(envelope.fields.resultRouteIsSettled)
        #expect(envelope.fields.payloadKey == "request-payload:a:00ff")
        #expect(envelope.fields.enqueued == Instant(nanoseconds: 1_790_000_000_123_000_000))
        #expect(envelope.fields.attempts.failures == 2)
        let message = try decode(text, payload: #"{"prompt":"big"}"#, labels: ["tier": "async", "pool": "p"])
        #expect(message.payload == Array(#"{"prompt":"big"}"#.utf8))
        #expect(message.metadata == ["userid": "u"])
        #expect(message.headers == ["x-a": "1"])
        #expect(message.path == "/v1/embeddings")
        #expect(message.labels == ["tier": "async", "pool": "p"])
    }

    @Test func keepsThePayloadByteForByte() throws {
        let payload = #"{ "b" : 1.50e+2,  "a":"\u00e9\/", "n": 12345678901234567890123, "a":2 }"#
        let message = try decode(
            #"{"data":{"payload": \#(payload) ,"deadline":"1999999999","id":"\u0061b"},"request_kind":"pubsub"}"#)
        #expect(message.payload == Array(payload.utf8))
        #expect(message.id == "ab")
        #expect(message.deadline == Instant(seconds: 1_999_999_999))
    }

    @Test func aTimeOfZeroIsNoTimeOfCreation() throws {
        let message = try decode(#"{"request_kind":"plain","data":{"id":"x","created":0,"deadline":9,"payload":{}}}"#)
        #expect(message.created == defaults.now)
    }

    @Test(arguments: [
        (#"nonsense"#, nil),
        (#"{"internal":{},"data":{"id":"x","deadline":1,"payload":{}}}"#, "x"),
        (#"{"request_kind":"alien","data":{"id":"x","deadline":1,"payload":{}}}"#, "x"),
        (#"{"request_kind":"plain"}"#, nil),
        (#"{"request_kind":"plain","data":{"id":7,"deadline":1,"payload":{}}}"#, nil),
        (#"{"request_kind":"plain","data":{"id":"x","deadline":1,"payload":{}"#, "x"),
    ])
    func refusesWhatIsNoEnvelope(text: String, id: String?) throws {
        do {
            _ = try Envelope(Array(text.utf8))
            Issue.record("accepted")
        } catch {
            #expect(error.id == id)
            #expect(!error.reason.isEmpty)
        }
    }

    @Test(arguments: [
        #""payload":{}"#, #""deadline":null,"payload":{}"#, #""deadline":0,"payload":{}"#,
        #""deadline":-5,"payload":{}"#, #""deadline":"soon","payload":{}"#,
        #""deadline":1999999999"#, #""deadline":1999999999,"payload":[1]"#, #""deadline":1999999999,"payload":null"#,
        #""deadline":1999999999,"payload":{},"metadata":{"a":1}"#,
        #""deadline":1999999999,"payload":{},"headers":{"a\r\nb":"c"}"#,
        #""deadline":1999999999,"payload":{},"endpoint":"/a b""#,
    ])
    func refusesWhatIsNoMessage(members: String) throws {
        let envelope = try Envelope(Array(#"{"request_kind":"plain","data":{"id":"x",\#(members)}}"#.utf8))
        do {
            _ = try envelope.message(payload: nil, defaults: defaults, labels: [:])
            Issue.record("accepted")
        } catch {
            #expect(error.id == "x")
        }
    }

    @Test func refusesBytesThatAreNoText() {
        #expect(throws: EnvelopeFault.self) {
            try Envelope(Array(#"{"request_kind":"plain","data":{"id":""#.utf8) + [0xFF] + Array(#""}}"#.utf8))
        }
    }

    @Test func passesOnWhatOthersPutIntoTheEnvelope() throws {
        let text = #"""
            {"internal": {"queue_id":"q" , "future":{"a":[1,"}"]},"retry_count":1,"labels":{"retry_count":"x"}} ,"request_kind":"plain","data":{"id":"x","deadline":9,"payload":{ "k" : 1 }}}
            """#
        let member = Array(text.utf8)
        let envelope = try Envelope(member)
        var attempts = envelope.fields.attempts
        attempts.dispatches += 1
        attempts.sheds += 1
        attempts.lastError = "it \"failed\""
        let object = envelope.fields.rewritten(attempts: attempts, queue: "q1", score: "9.25")
        let (range, bytes) = envelope.internalPlace.edit(object)
        let again = Array(member[..<range.lowerBound]) + bytes + Array(member[range.upperBound...])
        let read = try Envelope(again)
        #expect(read.fields.retryCount == 2)
        #expect(read.fields.attempts == attempts)
        #expect(read.fields.requestQueue == "q1")
        #expect(read.fields.labels == ["retry_count": "x"])
        let rewritten = String(decoding: again, as: UTF8.self)
        #expect(rewritten.contains(#""queue_id":"q""#))
        #expect(rewritten.contains(#""future":{"a":[1,"}"]}"#))
        #expect(rewritten.hasSuffix(#" ,"request_kind":"plain","data":{"id":"x","deadline":9,"payload":{ "k" : 1 }}}"#))
        #expect((try? JSONSerialization.jsonObject(with: Data(again))) != nil)
    }

    @Test func countsTheTriesOfOtherProcessors() throws {
        let text = #"""
            {"internal":{"retry_count":5,"weir":{"retries":3,"dispatches":9,"failures":2,"sheds":4}},"request_kind":"plain","data":{"id":"x","deadline":9,"payload":{}}}
            """#
        let attempts = try Envelope(Array(text.utf8)).fields.attempts
        #expect(attempts.dispatches == 11)
        #expect(attempts.failures == 4)
        #expect(attempts.sheds == 4)
    }

    @Test func givesAMemberWithoutInternalObjectOne() throws {
        let member = Array(#" {"request_kind":"plain","data":{"id":"x","deadline":9,"payload":{}}}"#.utf8)
        let envelope = try Envelope(member)
        let object = envelope.fields.rewritten(attempts: AttemptRecord(), queue: "q", score: "9")
        let (range, bytes) = envelope.internalPlace.edit(object)
        let again = Array(member[..<range.lowerBound]) + bytes + Array(member[range.upperBound...])
        #expect(try Envelope(again).fields.requestQueue == "q")
    }

    @Test func namesClaimKeysAsOnACluster() {
        let plain = QueueKeys(queue: "q", retry: "r", usesHashTag: false)
        #expect(plain.claimed == "q:claimed" && plain.owners == "q:claim-owners" && plain.claims == "q:claims-idx")
        #expect(QueueKeys(queue: "q", retry: "r", usesHashTag: true).claimed == "{q}:claimed")
        #expect(QueueKeys(queue: "{p}:q", retry: "r", usesHashTag: true).claimed == "{p}:q:claimed")
        #expect(QueueKeys(queue: "a{}b", retry: "r", usesHashTag: true).claimed == "{a{}b}:claimed")
        #expect(QueueKeys(queue: "q", retry: "r", usesHashTag: true).pending == "q")
    }

    @Test func watchesNoPrefixTwice() {
        #expect(
            QueueCore.withoutOverlap(["retry", "retry-sortedset", "request-cancel:"]) == ["request-cancel:", "retry"])
        #expect(QueueCore.withoutOverlap(["q", "q"]) == ["q"])
    }
}

import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import RedisQueue
import Testing

extension ServerTests {
    /// Other programs on the same keys: everything that the queue does not do itself is typed as plain commands.
    @Suite struct WireTests {
        @Test func runsWhatAProducerOfTheEarlierVintageSubmits() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let deadline = unixNow() + 600
                let member = #"""
                    {"internal":{"request_token":"0123456789abcdef0123456789abcdef","request_queue_name":"request-sortedset","result_queue_name":"result-list"},"request_kind":"plain","data":{"id":"b1","created":\#(unixNow()),"deadline":\#(deadline),"payload":{"model":"m","prompt":"hi"},"metadata":{"userid":"u1"}}}
                    """#
                _ = try await client.transaction([
                    RedisCommand("DEL", ["request-cancel:b1"]),
                    RedisCommand("SET", ["request-active:b1", "0123456789abcdef0123456789abcdef", "EX", "600"]),
                    RedisCommand("ZADD", ["request-sortedset", .integer(Int64(deadline)), .text(member)]),
                ])
                let leased = try #require(try await queue.receive().first)
                #expect(leased.message.id == "b1")
                #expect(leased.message.deadline == Instant(seconds: Double(deadline)))
                #expect(leased.message.payload == Array(#"{"model":"m","prompt":"hi"}"#.utf8))
                #expect(leased.generation == "0123456789abcdef0123456789abcdef")
                // Claimed as the later vintage claims.
                let key = "b1\0" + leased.generation
                #expect(try await client.type("HGET", "request-sortedset:claimed", key).asString == member)
                let owner = try await client.type("HGET", "request-sortedset:claim-owners", key).asString
                #expect(owner?.isEmpty == false)
                let expiry = try #require(try await client.type("ZSCORE", "request-sortedset:claims-idx", key).asDouble)
                #expect(abs(expiry - Double(unixNow()) - 15) < 3)
                #expect(try await client.count("request-sortedset") == 0)

                #expect(try await queue.answer(leased, #"{"choices":[]}"#))
                let popped = try await client.type("BRPOP", "result-list", "1").asArray?.last?.asString
                let result = try object(try #require(popped))
                #expect(result["id"] as? String == "b1")
                #expect(result["status_code"] as? Int == 200)
                #expect(result["payload"] as? String == #"{"choices":[]}"#)
                #expect(result["request_token"] as? String == leased.generation)
                #expect(result["error_code"] == nil && result["error_message"] == nil)
                #expect(result["metadata"] as? [String: String] == ["userid": "u1"])
                for key in ["request-active:b1", "request-cancel:b1", "request-sortedset:claimed"] {
                    #expect(try await client.type("EXISTS", key).asInteger == 0)
                }
                #expect(try await client.count("request-sortedset:claims-idx") == 0)
                #expect(try await client.type("HLEN", "request-sortedset:claim-owners").asInteger == 0)
            }
        }

        @Test func aFailureWithoutAnswerCarriesAnErrorObject() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x")])
                let leased = try #require(try await queue.receive().first)
                var result = queue.result(leased)
                result.statusCode = nil
                result.payload = nil
                result.errorCode = .deadlineExceeded
                result.errorMessage = "the deadline passed"
                #expect(try await queue.complete(leased.lease, with: result))
                let pushed = try object(try #require(try await client.list("result-list").first))
                #expect(pushed["status_code"] == nil)
                #expect(pushed["error_code"] as? String == "DEADLINE_EXCEEDED")
                #expect(pushed["payload"] as? String == #"{"error":"the deadline passed"}"#)
            }
        }

        @Test func submitsAsTheLaterVintageDoes() async throws {
            try await RedisServer.withQueue { _, client, queue in
                try await client.type("SET", "request-cancel:a", "stale")
                var first = message("a", window: 100, metadata: ["k": "v"])
                first.deadline = Instant(seconds: Double(unixNow() + 100))
                var second = message("b")
                second.deadline = first.deadline
                #expect(try await queue.enqueue([first, second]) == [.accepted, .accepted])
                await queue.close()
                let entries = try await client.members("request-sortedset")
                #expect(entries.count == 2)
                let deadline = Int(first.deadline.seconds)
                for (index, text) in entries.enumerated() {
                    let score = try #require(try await client.type("ZSCORE", "request-sortedset", text).asDouble)
                    #expect(score == Double(deadline) + Double(index + 1) / 2_097_152)
                    let envelope = try object(text)
                    #expect(envelope["request_kind"] as? String == "plain")
                    let routing = try #require(envelope["internal"] as? [String: Any])
                    #expect(routing["enqueue_seq"] as? Int == index + 1)
                    #expect(routing["request_queue_name"] as? String == "request-sortedset")
                    #expect(routing["result_queue_name"] as? String == "result-list")
                    let token = try #require(routing["request_token"] as? String)
                    #expect(token.count == 32)
                    let data = try #require(envelope["data"] as? [String: Any])
                    let id = try #require(data["id"] as? String)
                    #expect(id == ["a", "b"][index])
                    #expect(data["deadline"] as? Int == deadline)
                    #expect(data["endpoint"] as? String == "/v1/chat/completions")
                    #expect(try await client.type("GET", "request-active:\(id)").asString == token)
                    let lifetime = try #require(try await client.type("PTTL", "request-active:\(id)").asInteger)
                    #expect((1...101_000).contains(lifetime))
                }
                #expect(try await client.type("EXISTS", "request-cancel:a").asInteger == 0)
                let counter = try #require(
                    try await client.type("TTL", "request-seq:request-sortedset:\(deadline)").asInteger)
                #expect((3_600...3_701).contains(counter))
            }
        }

        @Test func aProcessorOfTheEarlierVintageCanTakeWhatWasSubmittedOrGivenBack() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x", body: #"{"model":"m", "n":1}"#)])
                let leased = try #require(try await queue.receive().first)
                var attempts = leased.attempts
                attempts.dispatches = 1
                attempts.failures = 1
                #expect(try await queue.release(leased.lease, attempts: attempts, readyAt: SystemClock().now()))
                await queue.close()
                let popped = try await client.type("ZPOPMIN", "request-sortedset", "1").asArray
                let text = try #require((popped?.first?.asArray?.first ?? popped?.first)?.asString)
                let envelope = try object(text)
                #expect((envelope["internal"] as? [String: Any])?["retry_count"] as? Int == 1)
                #expect(text.contains(#""payload":{"model":"m", "n":1}"#))
            }
        }

        @Test func takesOverTheRetryOfAProcessorThatKeepsItsClaim() async throws {
            try await RedisServer.withQueue { _, client, queue in
                // The later vintage keeps its claim while a message waits in the retry set.
                let deadline = unixNow() + 600
                func member(_ retries: String) -> String {
                    #"{"internal":{\#(retries)"request_token":"aa","request_queue_name":"request-sortedset","enqueue_seq":3},"request_kind":"redis","data":{"id":"c1","created":1,"deadline":\#(deadline),"payload":{}}}"#
                }
                let key = "c1\0aa"
                try await client.type("HSET", "request-sortedset:claimed", key, member(""))
                try await client.type("HSET", "request-sortedset:claim-owners", key, "00112233445566ff")
                try await client.type("ZADD", "request-sortedset:claims-idx", "\(unixNow() + 300)", key)
                try await client.type("ZADD", "retry-sortedset", "\(unixNow())", member(#""retry_count":1,"#))
                let leased = try #require(try await queue.receive().first)
                #expect(leased.attempts.failures == 1)
                #expect(try await client.type("HLEN", "request-sortedset:claimed").asInteger == 1)
                #expect(
                    try await client.type("HGET", "request-sortedset:claim-owners", key).asString != "00112233445566ff")
                #expect(try await queue.answer(leased))
                #expect(try await client.type("EXISTS", "request-sortedset:claimed").asInteger == 0)
                #expect(try await client.count("request-sortedset:claims-idx") == 0)
            }
        }

        @Test func takesBackClaimsThatADeadProcessorLeft() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let deadline = unixNow() + 600
                let member =
                    #"{"internal":{"request_token":"aa","enqueue_seq":2},"request_kind":"plain","data":{"id":"c1","created":1,"deadline":\#(deadline),"payload":{}}}"#
                try await client.type("HSET", "request-sortedset:claimed", "c1\0aa", member)
                try await client.type("HSET", "request-sortedset:claim-owners", "c1\0aa", "00112233445566ff")
                try await client.type("ZADD", "request-sortedset:claims-idx", "\(unixNow() - 1)", "c1\0aa")
                let leased = try #require(try await queue.receive().first)
                #expect(leased.message.id == "c1")
                let owner = try await client.type("HGET", "request-sortedset:claim-owners", "c1\0aa").asString ?? ""
                // The score is the deadline with the number of the submission.
                #expect(owner.split(separator: ":").last.flatMap { Double($0) } == Double(deadline) + 2 / 2_097_152)
            }
        }

        @Test func aProcessorOfTheLaterVintageCanTakeBackOurClaims() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x")])
                let leased = try #require(try await queue.receive().first)
                // What its reclaimer does with an expired claim, command by command.
                let key = "x\0" + leased.generation
                let member = try #require(try await client.type("HGET", "request-sortedset:claimed", key).asString)
                try await client.type("ZADD", "request-sortedset", "5", member)
                try await client.type("HDEL", "request-sortedset:claimed", key)
                try await client.type("HDEL", "request-sortedset:claim-owners", key)
                try await client.type("ZREM", "request-sortedset:claims-idx", key)
                #expect(try await queue.extend([leased.lease], duration: .seconds(15)) == [leased.lease])
                #expect(try await queue.answer(leased) == false)
                #expect(try await client.list("result-list").isEmpty)
                #expect(try await queue.receive().first?.message.id == "x")
            }
        }

        @Test func sendsResultsWhereTheQueueTheMessageOrTheTransportSays() async throws {
            func member(_ id: String, _ internalMembers: String, _ deadline: Int) -> String {
                #"{"internal":{\#(internalMembers)},"request_kind":"plain","data":{"id":"\#(id)","deadline":\#(deadline),"payload":{}}}"#
            }
            for configured in [nil, "of-queue"] {
                try await RedisServer.withQueue {
                    $0.resultQueueName = configured
                    $0.resultLifetime = .seconds(50)
                } body: { _, client, queue in
                    let deadline = unixNow() + 600
                    for (id, routing) in [
                        ("none", ""), ("named", #""result_queue_name":"of-message""#),
                        (
                            "settled",
                            #""result_queue_name":"settled","result_ttl_seconds":90,"result_routing_resolved":true"#
                        ),
                    ] {
                        try await client.type("ZADD", "request-sortedset", "\(deadline)", member(id, routing, deadline))
                    }
                    for leased in try await queue.receive() { #expect(try await queue.answer(leased)) }
                    func ids(_ list: String) async throws -> Set<String> {
                        Set(try await client.list(list).compactMap { try object($0)["id"] as? String })
                    }
                    if configured == nil {
                        #expect(try await ids("result-list") == ["none"])
                        #expect(try await ids("of-message") == ["named"])
                        #expect(try await client.lifetime("of-message", isAbout: 50))
                    } else {
                        #expect(try await ids("of-queue") == ["none", "named"])
                        #expect(try await client.lifetime("of-queue", isAbout: 50))
                    }
                    #expect(try await ids("settled") == ["settled"])
                    #expect(try await client.lifetime("settled", isAbout: 90))
                }
            }
        }

        @Test func fetchesPayloadsThatLieElsewhere() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let deadline = unixNow() + 600
                func member(_ id: String) -> String {
                    #"{"internal":{"request_token":"t","payload_ref":"request-payload:\#(id):t"},"request_kind":"plain","data":{"id":"\#(id)","created":1,"deadline":\#(deadline),"payload":null}}"#
                }
                let payload = #"{ "model":"m","prompt":"\#(String(repeating: "x", count: 100_000))" }"#
                for id in ["a", "b"] { try await client.type("SET", "request-payload:\(id):t", payload) }
                for id in ["a", "b", "gone"] {
                    try await client.type("SET", "request-active:\(id)", "t")
                    try await client.type("ZADD", "request-sortedset", "\(deadline)", member(id))
                }
                let messages = try await queue.receive()
                #expect(Set(messages.map(\.message.id)) == ["a", "b"])
                for leased in messages { #expect(leased.message.payload == Array(payload.utf8)) }
                // The one without ends at once.
                let lost = try object(try #require(try await client.list("result-list").first))
                #expect(lost["id"] as? String == "gone")
                #expect(lost["error_code"] as? String == "PAYLOAD_UNAVAILABLE")
                #expect(try await client.type("EXISTS", "request-active:gone").asInteger == 0)
                // Kept across a retry, removed with the result.
                let first = try #require(messages.first { $0.message.id == "a" })
                #expect(try await queue.release(first.lease, attempts: first.attempts, readyAt: SystemClock().now()))
                let again = try #require(try await queue.receive().first)
                #expect(again.message.payload == Array(payload.utf8))
                #expect(try await queue.answer(again))
                #expect(try await client.type("EXISTS", "request-payload:a:t").asInteger == 0)
                #expect(try await client.type("EXISTS", "request-payload:b:t").asInteger == 1)
            }
        }

        @Test func deletesNoKeyThatAMessageNamesInThePlaceOfAPayload() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let deadline = unixNow() + 600
                try await client.type("SADD", "request-payload:set", "a")
                for (id, key) in [("a", "treasure"), ("b", "request-payload:set"), ("c", "request-sortedset")] {
                    try await client.type(
                        "ZADD", "request-sortedset", "\(deadline)",
                        #"{"internal":{"payload_ref":"\#(key)","result_ttl_seconds":9000000000000000000,"result_routing_resolved":true},"request_kind":"plain","data":{"id":"\#(id)","deadline":\#(deadline),"payload":null}}"#
                    )
                }
                try await client.type("SET", "treasure", "{}")
                #expect(try await queue.take(10).isEmpty)
                #expect(try await client.type("GET", "treasure").asString == "{}")
                let codes = try await client.list("result-list").map(object).map { $0["error_code"] as? String }
                #expect(
                    codes.compactMap { $0 }.sorted() == ["INVALID_REQUEST", "INVALID_REQUEST", "PAYLOAD_UNAVAILABLE"])
                #expect(try await client.count("request-sortedset:claims-idx") == 0)
            }
        }

        @Test func losesNothingThatItCannotRead() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let deadline = "\(unixNow() + 600)"
                let unreadable: [[UInt8]] = [
                    Array("no json".utf8), Array(#"{"request_kind":"plain","data":{"id":""#.utf8) + [0xFF],
                ]
                for member in unreadable {
                    _ = try await client.send(
                        RedisCommand("ZADD", ["request-sortedset", .text(deadline), .bytes(member)]))
                }
                let invalid =
                    #"{"internal":{"request_token":"t"},"request_kind":"plain","data":{"id":"bad","deadline":0,"payload":{}}}"#
                try await client.type("SET", "request-active:bad", "t")
                try await client.type("ZADD", "request-sortedset", deadline, invalid)
                try await client.type(
                    "ZADD", "request-sortedset", deadline,
                    #"{"request_kind":"plain","data":{"id":"good","deadline":\#(deadline),"payload":{}}}"#)
                #expect(try await queue.receive().map(\.message.id) == ["good"])
                let letters = try await client.list("request-sortedset:dead-letter").map(object)
                #expect(letters.count == 3)
                #expect(letters.allSatisfy { ($0["reason"] as? String)?.isEmpty == false })
                let kept = Set(letters.compactMap { $0["member"] as? String })
                #expect(kept == ["no json", invalid])
                #expect(
                    letters.contains { $0["member_base64"] as? String == Data(unreadable[1]).base64EncodedString() })
                let results = try await client.list("result-list").map(object)
                #expect(results.count == 1)
                #expect(results.first?["id"] as? String == "bad")
                #expect(results.first?["error_code"] as? String == "INVALID_REQUEST")
                #expect(try await client.type("EXISTS", "request-active:bad").asInteger == 0)
                #expect(try await queue.depth().deadLetters == 3)
            }
        }

        @Test func twoMessagesOfOneIDWithoutTokensAreBothRun() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let deadline = unixNow() + 600
                for n in 1...2 {
                    try await client.type(
                        "ZADD", "request-sortedset", "\(deadline)",
                        #"{"request_kind":"plain","data":{"id":"x","deadline":\#(deadline),"payload":{"n":\#(n)}}}"#)
                }
                let messages = try await queue.receive()
                #expect(messages.count == 2)
                for leased in messages { #expect(try await queue.answer(leased)) }
                #expect(try await client.list("result-list").count == 2)
            }
        }
    }
}

extension RedisClient {
    /// Whether a key ends in so many seconds, or a few less.
    fileprivate func lifetime(_ key: String, isAbout seconds: Int64) async throws -> Bool {
        (seconds - 20...seconds).contains(try await type("TTL", key).asInteger ?? 0)
    }
}

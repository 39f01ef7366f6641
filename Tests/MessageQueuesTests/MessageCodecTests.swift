import Basics
import Delivery
import Foundation
import MessageQueues
import Testing

private let now = Instant(seconds: 1_800_000_000)

private func decode(_ line: String) throws -> InferenceMessage {
    try MessageCodec.decode(Array(line.utf8), defaults: MessageDefaults(now: now))
}

private func fault(_ line: String) -> String? {
    do {
        _ = try decode(line)
        return nil
    } catch {
        return "\(error)"
    }
}

@Suite struct MessageCodecTests {
    @Test func aMessageInThePublicFormatIsRead() throws {
        let message = try decode(
            """
            {"id":"a-1","created":1800000001,"deadline":1800003600,"payload":{"model":"llama","max_tokens":5},\
            "metadata":{"userid":"u"},"headers":{"x-a":"b"},"endpoint":"/v1/completions","request_queue_name":"q"}
            """)
        #expect(message.id == "a-1")
        #expect(message.created == Instant(seconds: 1_800_000_001))
        #expect(message.deadline == Instant(seconds: 1_800_003_600))
        #expect(message.path == "/v1/completions" && message.model == "llama")
        #expect(message.metadata == ["userid": "u"] && message.headers == ["x-a": "b"])
    }

    @Test func aBatchLineIsRead() throws {
        let message = try MessageCodec.decode(
            Array(
                """
                {"custom_id":"r1","method":"POST","url":"/v1/embeddings","body":{"input":"x"}}
                """.utf8), defaults: MessageDefaults(now: now, completionWindow: .seconds(60), idPrefix: "job/"))
        #expect(message.id == "job/r1" && message.path == "/v1/embeddings" && message.model == nil)
        #expect(message.created == now && message.deadline == now + .seconds(60))
    }

    @Test func thePayloadIsKeptByteForByte() throws {
        let payload = #"{ "b" : 1.0e+05, "a":[ {}, [ ] ],"s":"\u00e9\/é 😀\n" , "model":"x\u0041" }"#
        let message = try decode("  {\"id\": \"1\", \"payload\": \(payload) , \"deadline\":1900000000}\r")
        #expect(String(decoding: message.payload, as: UTF8.self) == payload)
        #expect(message.model == "xA")
    }

    @Test(arguments: [
        ("1793440800", 1_793_440_800.0), ("1793440800.25", 1_793_440_800.25), ("1.7934408e9", 1_793_440_800),
        ("\"1793440800\"", 1_793_440_800), ("\"2026-10-31T10:00:00Z\"", 1_793_440_800),
        ("\"2026-10-31T12:30:00.5+02:30\"", 1_793_440_800.5), ("\"2026-10-31t05:00:00-05:00\"", 1_793_440_800),
        ("\"2028-02-29T00:00:00Z\"", 1_835_395_200), ("null", 1_800_086_400),
    ])
    func deadlinesAreReadInTheirForms(text: String, seconds: Double) throws {
        let message = try decode("{\"id\":\"1\",\"payload\":{},\"deadline\":\(text)}")
        #expect(abs(message.deadline.seconds - seconds) < 1e-3)
    }

    @Test func classTenantAndWebhookAreRead() throws {
        let message = try decode(
            #"{"id":"1","payload":{},"priority":-9,"tenant":"acme","webhook":"https://a.example:8443/hook?x=1"}"#)
        #expect(message.priority == -9 && message.tenant == "acme")
        #expect(message.webhook == "https://a.example:8443/hook?x=1")
        let plain = try decode(#"{"id":"1","payload":{},"priority":null,"tenant":null,"webhook":null}"#)
        #expect(plain.priority == 0 && plain.tenant.isEmpty && plain.webhook == nil)
    }

    @Test(arguments: [
        (#""priority":10"#, "\"priority\" must be a whole number from -9 to 9"),
        (#""priority":1.5"#, "\"priority\" must be a whole number from -9 to 9"),
        (#""priority":"high""#, "\"priority\" must be a whole number from -9 to 9"),
        (#""tenant":"a\nb""#, "\"tenant\" may have up to 256 bytes and no control characters"),
        (#""tenant":3"#, "\"tenant\" must be a string"),
        (#""webhook":"/relative""#, "\"webhook\" must be an absolute http or https URL of up to 2048 bytes"),
        (#""webhook":"ftp://a/b""#, "\"webhook\" must be an absolute http or https URL of up to 2048 bytes"),
        (#""webhook":"https://""#, "\"webhook\" must be an absolute http or https URL of up to 2048 bytes"),
        (#""webhook":"https://:80/x""#, "\"webhook\" must be an absolute http or https URL of up to 2048 bytes"),
        (#""webhook":"https://a/ b""#, "\"webhook\" must be an absolute http or https URL of up to 2048 bytes"),
    ])
    func aBadClassTenantOrWebhookIsNamed(member: String, message: String) {
        #expect(fault(#"{"id":"1","payload":{},\#(member)}"#) == message)
    }

    @Test func whatIsWrittenIsReadAsTheSameMessage() throws {
        var message = try decode(
            #"{"id":"ä\"1","payload":{ "model":"x", "a":[1.0e5] },"priority":3,"tenant":"t","webhook":"http://a/"}"#)
        message.created = Instant(nanoseconds: 1_800_000_000_123_456_789)
        message.deadline = Instant(nanoseconds: 1_800_000_001_000_000_001)
        message.headers = ["x-a": "b\"c"]
        message.metadata = ["k": "line\nend"]
        let line = MessageCodec.encode(message)
        #expect(!line.contains(0x0A))
        #expect(try MessageCodec.decode(line, defaults: MessageDefaults(now: .zero)) == message)
        message.deadline = Instant(nanoseconds: 1_900_000_000_000_000_000)
        #expect(try MessageCodec.decode(MessageCodec.encode(message), defaults: MessageDefaults(now: .zero)) == message)
    }

    @Test func aBodyOfSeveralLinesIsWrittenOnOne() throws {
        var message = try decode(#"{"id":"1","payload":{}}"#)
        message.payload = Array("{\r\n  \"model\": \"x\",\n  \"a\": \"b\\n\"\n}".utf8)
        let line = MessageCodec.encode(message)
        #expect(!line.contains(0x0A) && !line.contains(0x0D))
        let read = try MessageCodec.decode(line, defaults: MessageDefaults(now: .zero))
        #expect(String(decoding: read.payload, as: UTF8.self) == #"{    "model": "x",   "a": "b\n" }"#)
        #expect(read.model == "x")
    }

    @Test func aDeadlineBeyondTheEndOfInstantMeansNoHurry() throws {
        #expect(try decode(#"{"id":"1","payload":{},"deadline":99999999999}"#).deadline.seconds > 2.3e9)
        #expect(try decode(#"{"id":"1","payload":{},"deadline":"2999-01-01T00:00:00Z"}"#).deadline.seconds > 2.3e9)
    }

    @Test(arguments: [
        ("", "not a valid JSON object: expected an object at byte 1"),
        ("[]", "not a valid JSON object: expected an object at byte 1"),
        (#"{"id":"1","payload":{}"#, "not a valid JSON object: expected a comma or \"}\" at byte 23"),
        (#"{"id":"1","payload":{}} x"#, "not a valid JSON object: unexpected text after the value at byte 25"),
        (#"{"id":"1","payload":{"a":01}}"#, "not a valid JSON object: expected a comma or \"}\" at byte 27"),
        (#"{"id":"1","payload":{"a":tru}}"#, "not a valid JSON object: no JSON value begins like this at byte 29"),
        (#"{"id":"1\q","payload":{}}"#, "not a valid JSON object: an unknown escape in a string at byte 10"),
        (#"{"payload":{}}"#, "\"id\" (or \"custom_id\" in a batch line) is missing or empty"),
        (#"{"id":7,"payload":{}}"#, "\"id\" must be a string"),
        (#"{"id":"1"}"#, "\"payload\" (or \"body\" in a batch line) is missing"),
        (#"{"id":"1","payload":"text"}"#, "\"payload\" must be an object"),
        (#"{"custom_id":"1","method":"GET","body":{}}"#, "\"method\" must be POST, not GET"),
        (
            #"{"id":"1","payload":{},"deadline":"soon"}"#,
            "\"deadline\" must be Unix seconds such as 1793440800 or a time such as \"2026-10-31T10:00:00Z\""
        ),
        (
            #"{"id":"1","payload":{},"deadline":1793440800000}"#,
            "\"deadline\" must be Unix seconds such as 1793440800 or a time such as \"2026-10-31T10:00:00Z\""
        ),
        (#"{"id":"1","payload":{},"metadata":{"a":1}}"#, "\"metadata\" must be an object of strings"),
        (
            #"{"id":"1","payload":{},"endpoint":"/v1 HTTP/1.1"}"#,
            "the path must be printable ASCII of up to 2048 bytes"
        ),
        (
            #"{"id":"1","payload":{},"headers":{"x":"a\r\nb: c"}}"#,
            "\"headers\" has a name or value that HTTP does not allow: \"x\""
        ),
    ])
    func faultsAreNamed(line: String, message: String) {
        #expect(fault(line) == message)
    }

    @Test func bytesThatAreNoTextAreRefused() {
        let line = Array(#"{"id":"1","payload":{"a":""#.utf8) + [0xC3, 0x28] + Array(#""}}"#.utf8)
        #expect(throws: MessageFormatError.self) {
            try MessageCodec.decode(line, defaults: MessageDefaults(now: now))
        }
    }

    @Test func whatAClientControlsIsBounded() {
        let nested = String(repeating: "[", count: 10_000)
        #expect(fault("{\"id\":\"1\",\"payload\":{\"a\":\(nested)")?.contains("nested deeper than 256") == true)
        #expect(fault("{\"id\":\"\(String(repeating: "i", count: 513))\",\"payload\":{}}") != nil)
        let headers = (0..<65).map { "\"h\($0)\":\"\"" }.joined(separator: ",")
        #expect(fault("{\"id\":\"1\",\"payload\":{},\"headers\":{\(headers)}}") != nil)
        #expect(
            fault("{\"id\":\"1\",\"payload\":{},\"metadata\":{\"a\":\"\(String(repeating: "v", count: 40_000))\"}}")
                != nil)
    }

    @Test func mutatedLinesAreEitherRefusedOrJSON() throws {
        let seed = Array(
            #"{"id":"a\u00e9","created":1,"payload":{"model":"m","x":[1,-2.5e3,true,null,"\n"]},"metadata":{"k":"v"}}"#
                .utf8)
        var generator = SeededGenerator(seed: 11)
        let alphabet = Array(#"{}[]",:\u0e-+.1tfn "#.utf8) + [0xC3, 0xA9, 0xFF, 0x00]
        var accepted = 0
        for _ in 0..<20_000 {
            var line = seed
            for _ in 0..<1 + Int(generator.unit() * 3) {
                let index = Int(generator.unit() * Double(line.count))
                switch generator.unit() {
                case ..<0.4: line[index] = alphabet[Int(generator.unit() * Double(alphabet.count))]
                case ..<0.7: line.remove(at: index)
                default: line.insert(alphabet[Int(generator.unit() * Double(alphabet.count))], at: index)
                }
            }
            guard let message = try? MessageCodec.decode(line, defaults: MessageDefaults(now: now)) else { continue }
            accepted += 1
            #expect(
                (try? JSONSerialization.jsonObject(with: Data(message.payload))) != nil,
                "\(String(decoding: line, as: UTF8.self))")
        }
        #expect(accepted > 100)
    }

    @Test func mapsSurviveARoundTrip() {
        let map = ["a": "b\"\\\n\u{1}é😀", "": "x"]
        #expect(MessageCodec.decodeMap(MessageCodec.encodeMap(map)) == map)
        #expect(MessageCodec.decodeMap(Array("[1]".utf8)) == nil)
    }
}

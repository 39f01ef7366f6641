import Basics
import Delivery
import Foundation
import InferenceAPI
import MessageQueues
import Testing

private func object(_ result: InferenceResult) throws -> [String: Any] {
    let line = ResultCodec.encode(result)
    #expect(!line.contains(0x0A))
    return try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
}

@Suite struct ResultCodecTests {
    private var result: InferenceResult = {
        let message = InferenceMessage(
            id: "i\"1", created: Instant(seconds: 1_800_000_000), deadline: .distantFuture, path: "/v1/completions",
            payload: [], model: "llama", metadata: ["k": "v"])
        var attempts = AttemptRecord()
        attempts.dispatches = 2
        attempts.firstDispatched = Instant(seconds: 1_800_000_001.5)
        let leased = LeasedMessage(
            lease: Lease(sequence: 7, token: 1), message: message, attempts: attempts, generation: "7",
            enqueued: Instant(seconds: 1_800_000_000.5))
        return InferenceResult(
            for: leased, queue: "night", attempts: attempts, finished: Instant(seconds: 1_800_000_002.125))
    }()

    @Test mutating func anAnswerCarriesItsBodyAsAString() throws {
        let body = "{\"text\":\"line\\n \u{8}é😀\"}\n"
        result.statusCode = 200
        result.payload = Array(body.utf8)
        result.usage = TokenUsage(promptTokens: 10, completionTokens: 20, cachedPromptTokens: 4)
        let object = try object(result)
        #expect(object["id"] as? String == "i\"1")
        #expect(object["status_code"] as? Int == 200)
        #expect(object["payload"] as? String == body)
        #expect(object["error_code"] == nil && object["payload_encoding"] == nil)
        #expect(object["attempts"] as? Int == 2)
        #expect(object["created"] as? Double == 1_800_000_000)
        #expect(object["first_dispatched"] as? Double == 1_800_000_001.5)
        #expect(object["finished"] as? Double == 1_800_000_002.125)
        #expect(
            object["usage"] as? [String: Int] == [
                "prompt_tokens": 10, "completion_tokens": 20, "cached_prompt_tokens": 4,
            ])
        #expect(object["metadata"] as? [String: String] == ["k": "v"])
        #expect(object["model"] as? String == "llama" && object["path"] as? String == "/v1/completions")
        #expect(object["request_token"] as? String == "7" && object["queue"] as? String == "night")
        #expect(object["enqueued"] as? Double == 1_800_000_000.5)
        for absent in ["tenant", "failures", "sheds", "evictions", "dead_letter"] { #expect(object[absent] == nil) }
    }

    @Test mutating func whatHappenedOnTheWayIsTold() throws {
        result.tenant = "acme"
        result.attempts.failures = 3
        result.attempts.sheds = 2
        result.attempts.evictions = 1
        result.isDeadLetter = true
        let object = try object(result)
        #expect(object["tenant"] as? String == "acme" && object["dead_letter"] as? Bool == true)
        #expect(object["failures"] as? Int == 3 && object["sheds"] as? Int == 2 && object["evictions"] as? Int == 1)
    }

    @Test mutating func aFailureCarriesAnErrorObjectAsItsPayload() throws {
        result.errorCode = .deadlineExceeded
        result.errorMessage = "too \"late\""
        let object = try object(result)
        #expect(object["status_code"] == nil)
        #expect(object["error_code"] as? String == "DEADLINE_EXCEEDED")
        #expect(object["error_message"] as? String == "too \"late\"")
        let payload = try #require(object["payload"] as? String)
        let error = try JSONSerialization.jsonObject(with: Data(payload.utf8)) as? [String: String]
        #expect(error == ["error": "too \"late\""])
    }

    @Test(arguments: 1...7)
    mutating func aBodyThatIsNoTextIsInBase64(length: Int) throws {
        let body = (0..<length).map { UInt8(0xFF - $0) }
        result.payload = body
        let object = try object(result)
        #expect(object["payload_encoding"] as? String == "base64")
        #expect(Data(base64Encoded: try #require(object["payload"] as? String)) == Data(body))
    }
}

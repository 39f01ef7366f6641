import Basics
import Delivery
import Foundation
import Gateway
import InferenceAPI
import MessageQueues
import Testing

@testable import FrontDoor

@Suite struct AnswerTextTests {
    private func object(_ bytes: [UInt8]) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    }

    private func view(
        _ state: RequestState, finished: Instant? = nil, attempts: AttemptRecord = .init(), ahead: Int? = nil,
        nextAttempt: Instant? = nil, errorCode: String? = nil
    ) -> RequestView {
        RequestView(
            sequence: 3, id: "req_1", generation: "g", tenant: "a", state: state, path: "/v1/embeddings", model: "m\"",
            priority: -2, created: Instant(seconds: 100), enqueued: Instant(seconds: 100.25),
            deadline: Instant(seconds: 200), finished: finished, nextAttempt: nextAttempt, attempts: attempts,
            ahead: ahead, statusCode: nil, errorCode: errorCode)
    }

    private func line(
        status: Int? = 200, body: [UInt8]? = Array(#"{"ok":true}"#.utf8), type: String? = "application/json",
        error: DeliveryErrorCode? = nil, reason: String? = nil
    ) -> [UInt8] {
        let message = InferenceMessage(
            id: "req_1", created: .zero, deadline: Instant(seconds: 9), path: "/v1/x", payload: [], metadata: ["k": "v"]
        )
        let leased = LeasedMessage(
            lease: Lease(sequence: 1, token: 1), message: message, attempts: .init(), generation: "g", enqueued: .zero)
        var result = InferenceResult(for: leased, queue: "q", attempts: .init(), finished: Instant(seconds: 1))
        result.statusCode = status
        result.payload = body
        result.contentType = type
        result.errorCode = error
        result.errorMessage = reason
        return ResultCodec.encode(result)
    }

    @Test func aWaitingRequestTellsItsPlace() throws {
        let waiting = try object(RequestText.object(view(.queued, ahead: 12, nextAttempt: Instant(seconds: 150))))
        #expect(waiting["id"] as? String == "req_1")
        #expect(waiting["object"] as? String == "request")
        #expect(waiting["status"] as? String == "queued")
        #expect(waiting["model"] as? String == "m\"")
        #expect(waiting["priority"] as? Int == -2)
        #expect(waiting["created_at"] as? Double == 100)
        #expect(waiting["enqueued_at"] as? Double == 100.25)
        #expect(waiting["deadline"] as? Double == 200)
        #expect(waiting["next_attempt_at"] as? Double == 150)
        #expect(waiting["ahead"] as? Int == 12)
        #expect(waiting["attempts"] as? Int == 0)
        for name in ["ahead_is_limited", "finished_at", "started_at", "result", "error"] {
            #expect(waiting[name] == nil, "\(name)")
        }
        let many = try object(RequestText.object(view(.queued, ahead: RequestView.aheadLimit)))
        #expect(many["ahead_is_limited"] as? Bool == true)
    }

    @Test func aFinishedRequestTellsItsResult() throws {
        var attempts = AttemptRecord()
        attempts.dispatches = 2
        attempts.evictions = 1
        attempts.firstDispatched = Instant(seconds: 101.5)
        let view = view(.succeeded, finished: Instant(seconds: 103), attempts: attempts)
        let finished = try object(RequestText.object(view, answer: StoredAnswer(line: line())))
        #expect(finished["status"] as? String == "succeeded")
        #expect(finished["started_at"] as? Double == 101.5)
        #expect(finished["finished_at"] as? Double == 103)
        #expect(finished["attempts"] as? Int == 2)
        #expect(finished["evictions"] as? Int == 1)
        let result = try #require(finished["result"] as? [String: Any])
        #expect(result["status_code"] as? Int == 200)
        #expect((result["body"] as? [String: Any])?["ok"] as? Bool == true)
    }

    @Test(
        arguments: [
            ("application/json; charset=utf-8", "[1]", nil), ("application/problem+json", "{}", nil),
            ("application/json", "{\"a\":01}", "{\"a\":01}"), ("application/json", "{} {}", "{} {}"),
            ("text/event-stream", "data: {}\n\n", "data: {}\n\n"), (nil, "{}", "{}"),
        ] as [(String?, String, String?)])
    func aBodyIsEmbeddedOnlyIfItIsJSON(type: String?, body: String, text: String?) throws {
        let answer = StoredAnswer(line: line(body: Array(body.utf8), type: type))
        let result = try #require(
            try object(RequestText.object(view(.succeeded, finished: .zero), answer: answer))["result"]
                as? [String: Any])
        #expect(result["body"] as? String == text)
        #expect(result["body"] != nil)
    }

    @Test(
        arguments: [[0xFF], [0xFF, 0x00], [0xFF, 0x00, 0x01], [0xFF, 0x00, 0x01, 0x80], Array(128...255)] as [[UInt8]])
    func bytesThatAreNoTextComeInBase64(bytes: [UInt8]) throws {
        let answer = try #require(StoredAnswer(line: line(body: bytes, type: "audio/mpeg")))
        #expect(answer.body == bytes)
        let result = try #require(
            try object(RequestText.object(view(.succeeded, finished: .zero), answer: answer))["result"]
                as? [String: Any])
        #expect(result["body_encoding"] as? String == "base64")
        #expect((result["body"] as? String).flatMap { Data(base64Encoded: $0) } == Data(bytes))
    }

    @Test(arguments: ["=", "A", "AA=A", "A===", "AA", "AA==A", "A!==", "AAA=AAAA"])
    func brokenBase64IsNone(text: String) {
        #expect(Base64.bytes(text) == nil)
    }

    @Test func anErrorIsTold() throws {
        let view = view(.expired, finished: .zero, errorCode: "DEADLINE_EXCEEDED")
        let answer = StoredAnswer(
            line: line(status: nil, body: nil, type: nil, error: .deadlineExceeded, reason: "late"))
        let expired = try object(RequestText.object(view, answer: answer))
        #expect((expired["error"] as? [String: Any])?["code"] as? String == "DEADLINE_EXCEEDED")
        #expect((expired["error"] as? [String: Any])?["message"] as? String == "late")
        #expect(expired["result"] == nil)
    }

    @Test func aPageHasTheFormOfAList() throws {
        let page = try object(RequestText.list([view(.queued), view(.running)], lastID: "req_1", hasMore: true))
        #expect(page["object"] as? String == "list")
        #expect((page["data"] as? [[String: Any]])?.map { $0["status"] as? String } == ["queued", "running"])
        #expect(page["first_id"] as? String == "req_1")
        #expect(page["last_id"] as? String == "req_1")
        #expect(page["has_more"] as? Bool == true)
        let empty = try object(RequestText.list([], lastID: nil, hasMore: false))
        #expect((empty["data"] as? [Any])?.isEmpty == true)
        #expect(empty["last_id"] == nil)
    }

    private static let body = Array("data: x\n\n".utf8)

    @Test(
        arguments: [
            (200, body, "text/event-stream", nil, 200, nil), (400, body, "text/plain", nil, 400, nil),
            // What the model server said last counts, even if Weir gave up after it.
            (503, body, "text/plain", .inferenceError, 503, nil),
            (503, body, "text/plain", .deadlineExceeded, 504, "deadline_exceeded"),
            (nil, nil, nil, .deadlineExceeded, 504, "deadline_exceeded"),
            (nil, nil, nil, .cancelled, 409, "request_cancelled"),
            (nil, nil, nil, .inferenceError, 502, "delivery_failed"),
            (503, nil, nil, .inferenceError, 502, "delivery_failed"),
            (nil, nil, nil, .payloadUnavailable, 502, "delivery_failed"),
        ] as [(Int?, [UInt8]?, String?, DeliveryErrorCode?, Int, String?)])
    func theOneWhoWaitsGetsTheAnswerOrTheReason(
        status: Int?, body: [UInt8]?, type: String?, error: DeliveryErrorCode?, expected: Int, code: String?
    ) throws {
        let response = ResultAnswer.response(
            to: "req_1", line: line(status: status, body: body, type: type, error: error, reason: "why"))
        #expect(response.status == expected)
        let headers = Dictionary(uniqueKeysWithValues: response.headers.map { ($0.name, $0.value) })
        #expect(headers["x-weir-request-id"] == "req_1")
        #expect(headers["x-should-retry"] == (expected < 400 ? nil : "false"))
        if let code {
            let error = try #require(try object(response.body)["error"] as? [String: Any])
            #expect(error["code"] as? String == code)
            #expect((error["message"] as? String)?.contains("req_1") == true)
        } else {
            #expect(response.body == body)
            #expect(headers["content-type"] == type)
        }
    }

    @Test func aLineThatIsNoResultIsAnError() {
        #expect(StoredAnswer(line: Array("{".utf8)) == nil)
        #expect(StoredAnswer(line: Array(#"{"payload":"?","payload_encoding":"base64"}"#.utf8)) == nil)
        #expect(ResultAnswer.response(to: "req_1", line: []).status == 500)
    }

    @Test(
        arguments: [
            (MessageQueueError.full(place: "/secret/place", detail: "disk"), 429, .whenItBegins),
            (.messageTooLarge(id: "i", bytes: 9, limit: 8), 413, .none), (.closed, 503, .always),
            (.locked(place: "/secret/place"), 503, .always),
            (.damaged(place: "/secret/place", detail: "d"), 503, .always),
        ] as [(MessageQueueError, Int, QueueFault.News)])
    func aQueueThatFailsIsToldWithoutItsPlace(error: MessageQueueError, status: Int, news: QueueFault.News) {
        let (answer, found) = QueueFault.answer(to: error)
        #expect(answer.status == status)
        #expect(found == news)
        #expect(!answer.message.contains("secret"))
        #expect((answer.retryAfter != nil) == (status != 413))
    }
}

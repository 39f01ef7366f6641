import Basics
import Foundation
import Testing

@testable import InferenceAPI

@Suite struct APIErrorTests {
    static let all: [APIError] = [
        .malformedRequest("line is not valid HTTP"), .invalidJSON(JSONDefect(kind: .truncated, offset: 7)),
        .invalidJSON(JSONDefect(kind: .unexpectedByte(0x22), offset: 7)),
        .invalidJSON(JSONDefect(kind: .unexpectedByte(0x80), offset: 7)), .missingModel,
        .invalidValue(of: "x-llm-d-slo-ttft-ms", expected: "a number of milliseconds"), .unauthorized,
        .forbidden("This key may not use the admin API."), .modelNotFound("gpt-\"5\"\n\u{0}\u{7F}é😀"),
        .notFound(path: "/v2"), .methodNotAllowed("BREW", allowed: "POST"), .requestTimeout(after: .seconds(30)),
        .bodyTooLarge(limitBytes: 1), .targetTooLong(limitBytes: 1), .headersTooLarge(limitBytes: 1),
        .saturated(retryAfter: .seconds(1)), .queueFull(retryAfter: nil),
        .queueTimeout(after: .milliseconds(1500), retryAfter: .milliseconds(250)), .evicted(retryAfter: nil),
        .deadlineInfeasible(earliest: .seconds(40), retryAfter: .seconds(10)),
        .clientClosed, .noEndpoints(model: "m", retryAfter: nil), .shuttingDown(retryAfter: .seconds(2)),
        .upstreamFailure("closed the connection early"), .upstreamTimeout(after: .seconds(1)),
        .upstreamStalled(after: .seconds(120)),
        .answerTooLarge(limitBytes: 1), .internalError, .noQueue, .modeNeedsQueue, .requestNotFound("req_1"),
        .idempotencyConflict, .alreadyFinished("req_1"), .requestCancelled("req_1"), .deadlineExceeded("req_1"),
        .notFinished("req_1"), .deliveryFailed("req_1", reason: "no answer"), .deliveryFailed("req_1", reason: nil),
        .tooManyWaiting(limit: 1), .queueUnavailable,
    ]

    @Test func everyCodeHasASentence() {
        #expect(Set(Self.all.map(\.code)) == Set(ErrorCode.allCases))
    }

    @Test(arguments: all)
    func bodiesAreWhatTheSDKsUnwrap(error: APIError) throws {
        let body = try JSONSerialization.jsonObject(with: Data(error.jsonBody())) as? [String: Any]
        let object = try #require(body?["error"] as? [String: Any])
        #expect(body?.count == 1)
        #expect(Set(object.keys) == ["message", "type", "param", "code"])
        #expect(object["message"] as? String == error.message)
        #expect(object["type"] as? String == error.type)
        #expect(object["code"] as? String == error.code.rawValue)
        #expect(object["param"] as? String == error.parameter)
        #expect(error.message.hasSuffix("."))
        let event = error.streamEvent()
        #expect(event == Array("data: ".utf8) + error.jsonBody() + Array("\n\n".utf8))
        #expect(!event.dropLast(2).contains(0x0A))
        #expect(scanResponse(String(decoding: event, as: UTF8.self), as: .eventStream).hasError)
    }

    @Test(
        arguments: [
            (ErrorCode.invalidJSON, 400, false, nil), (.missingModel, 400, false, nil),
            (.modelNotFound, 404, false, nil),
            (.methodNotAllowed, 405, false, nil), (.requestTimeout, 408, true, nil), (.bodyTooLarge, 413, false, nil),
            (.headersTooLarge, 431, false, nil), (.saturated, 429, true, .saturated),
            (.queueFull, 429, true, .saturated),
            (.queueTimeout, 429, true, .ttlExpired), (.deadlineInfeasible, 429, true, .ttlExpired),
            (.evicted, 429, true, .evicted),
            (.noEndpoints, 503, true, .noEndpoints), (.shuttingDown, 503, true, .shuttingDown),
            (.clientClosed, 503, true, .contextCancelled), (.upstreamFailure, 502, true, nil),
            (.upstreamTimeout, 504, true, nil), (.answerTooLarge, 502, false, nil), (.internalError, 500, true, nil),
            (.unauthorized, 401, false, nil), (.forbidden, 403, false, nil), (.idempotencyConflict, 409, false, nil),
            (.alreadyFinished, 409, false, nil), (.requestCancelled, 409, false, nil),
            (.deadlineExceeded, 504, false, nil), (.notFinished, 504, false, nil), (.deliveryFailed, 502, false, nil),
            (.queueUnavailable, 503, true, nil),
        ] as [(ErrorCode, Int, Bool, DropReason?)])
    func statusesAndDropReasonsAreTheContract(code: ErrorCode, status: Int, retryable: Bool, reason: DropReason?) {
        #expect(code.row.status == status)
        #expect(code.row.isRetryable == retryable)
        #expect(code.row.dropReason == reason)
    }

    @Test func headersTellWhetherAndWhenToRetry() {
        func headers(_ error: APIError) -> [String: String] {
            Dictionary(uniqueKeysWithValues: error.headers.map { ($0.name, $0.value) })
        }
        #expect(
            headers(.saturated(retryAfter: .milliseconds(1200.5))) == [
                "content-type": "application/json", "x-should-retry": "true", "retry-after": "2",
                "retry-after-ms": "1201", "x-llm-d-request-dropped-reason": "rejected-saturated",
            ])
        #expect(headers(.missingModel) == ["content-type": "application/json", "x-should-retry": "false"])
        #expect(headers(.queueFull(retryAfter: .zero))["retry-after-ms"] == "1")
        #expect(headers(.queueFull(retryAfter: .seconds(1e6)))["retry-after"] == "120")
        #expect(headers(.queueFull(retryAfter: .seconds(-5)))["retry-after"] == "1")
        #expect(
            headers(.evicted(.evictedPriority, retryAfter: nil))["x-llm-d-request-dropped-reason"] == "evicted-priority"
        )
        #expect(APIError(.missingModel, "", retryAfter: .seconds(1)).retryAfter == nil)
        #expect(headers(.methodNotAllowed("PUT", allowed: "GET, HEAD"))["allow"] == "GET, HEAD")
        #expect(headers(.unauthorized)["www-authenticate"] == "Bearer")
    }

    @Test func whatTheClientSentIsQuotedOnlyInPart() {
        let long = String(repeating: "é", count: 1_000_000)
        #expect(APIError.modelNotFound(long).message.count < 250)
        #expect(APIError.notFound(path: "/e" + String(repeating: "\u{301}", count: 1_000_000)).jsonBody().count < 2000)
        #expect(APIError.modelNotFound("short").message.contains("'short'"))
    }

    @Test func timesReadWell() {
        #expect(APIError.requestTimeout(after: .milliseconds(250)).message.contains("within 250 ms."))
        #expect(APIError.requestTimeout(after: .milliseconds(1500)).message.contains("within 1.5 s."))
        #expect(APIError.requestTimeout(after: .seconds(30)).message.contains("within 30 s."))
    }
}

import Basics
import Delivery
import InferenceAPI
import Testing

@testable import FrontDoor

@Suite struct SubmissionReaderTests {
    private static let now = Instant(seconds: 1_800_000_000)
    private let reader = SubmissionReader(
        settings: FrontDoorSettings(completionWindow: .seconds(3600)),
        webhookIsAllowed: { $0.hasPrefix("https://allowed.example/") })

    private func request(
        _ headers: [(name: String, value: String)] = [], target: String = "/v1/chat/completions",
        body: String = #"{"model":"m","messages":[]}"#, tenant: String = "a", isTrusted: Bool = false
    ) -> SubmissionReader.Request {
        SubmissionReader.Request(
            target: target, headers: headers, body: Array(body.utf8), tenant: tenant, isTrusted: isTrusted)
    }

    private func refusal(of request: SubmissionReader.Request) -> APIError? {
        do {
            _ = try reader.message(request, now: Self.now) { "new" }
            return nil
        } catch {
            return error
        }
    }

    @Test func aRequestBecomesAMessageWithItsBytes() throws {
        let body = #" {"model" : "m\u00e9", "messages":[{"role":"user","content":"hi"}]} "#
        let message = try reader.message(request(target: "/v1/chat/completions?a=1", body: body), now: Self.now) {
            "new"
        }
        #expect(message.id == "new")
        #expect(message.path == "/v1/chat/completions?a=1")
        #expect(message.payload == Array(body.utf8))
        #expect(message.model == "mé")
        #expect(message.tenant == "a")
        #expect(message.created == Self.now)
        #expect(message.deadline == Self.now + .seconds(3600))
        #expect(message.priority == 0)
        #expect(message.webhook == nil)
        #expect(message.metadata.isEmpty)
    }

    @Test(
        arguments: [
            ("X-Weir-Deadline", "90", 90), ("x-weir-deadline", "30m", 1800), ("X-Weir-Deadline", "1.5h", 5400),
            ("x-weir-deadline", "2027-01-15T08:00:10Z", 10), ("x-weir-deadline", "2027-01-15T09:00:10.5+01:00", 10.5),
            ("X-LLM-D-Inference-TTL", "250ms", 0.25), ("x-llm-d-inference-ttl", "40", 40),
        ] as [(String, String, Double)])
    func deadlinesAreReadInAllForms(name: String, text: String, seconds: Double) throws {
        let message = try reader.message(request([(name, text)]), now: Self.now) { "new" }
        #expect(message.deadline == Self.now + .seconds(seconds))
    }

    @Test func weirsOwnDeadlineWins() throws {
        let headers = [(name: "x-llm-d-inference-ttl", value: "5"), (name: "X-Weir-Deadline", value: "7")]
        #expect(try reader.message(request(headers), now: Self.now) { "" }.deadline == Self.now + .seconds(7))
    }

    @Test(arguments: [
        "0", "-5", "soon", "", "2020-01-01T00:00:00Z", "2027-01-15T08:00:00Z", "2027-13-01T00:00:00Z", "1e9",
        "9999999999",
    ])
    func aDeadlineThatIsPastOrNoneIsRefused(text: String) throws {
        let error = try #require(refusal(of: request([("X-Weir-Deadline", text)])))
        #expect(error.code == .invalidValue)
        #expect(error.parameter == "x-weir-deadline")
        guard text != "1e9", !text.contains("T") else { return }
        #expect(refusal(of: request([("x-llm-d-inference-ttl", text)]))?.parameter == "x-llm-d-inference-ttl")
    }

    @Test(arguments: [
        ("-9", false, -9), ("0", false, 0), ("-0", false, 0), ("9", true, 9), ("+3", true, 3),
    ])
    func prioritiesAreRead(text: String, isTrusted: Bool, priority: Int) throws {
        let message = try reader.message(request([("X-Weir-Priority", text)], isTrusted: isTrusted), now: Self.now) {
            ""
        }
        #expect(message.priority == priority)
    }

    @Test(arguments: [
        ("1", false, ErrorCode.forbidden), ("9", false, .forbidden), ("10", true, .invalidValue),
        ("-10", false, .invalidValue), ("high", true, .invalidValue), ("", true, .invalidValue),
        ("1.5", true, .invalidValue),
    ])
    func prioritiesOutOfReachAreRefused(text: String, isTrusted: Bool, code: ErrorCode) {
        #expect(refusal(of: request([("X-Weir-Priority", text)], isTrusted: isTrusted))?.code == code)
    }

    @Test func anAllowedWebhookIsTaken() throws {
        let url = "https://allowed.example/done?x=1"
        #expect(try reader.message(request([("X-Weir-Webhook", url)]), now: Self.now) { "" }.webhook == url)
    }

    @Test(arguments: [
        "https://other.example/", "allowed.example/x", "/done", "ftp://allowed.example/", "https://", "https:///x", "",
        "https://allowed.example/a b", "https://allowed.example/" + String(repeating: "x", count: 2048),
    ])
    func otherWebhooksAreRefused(url: String) {
        let error = refusal(of: request([("X-Weir-Webhook", url)]))
        #expect(error?.code == .invalidValue)
        #expect(error?.parameter == "x-weir-webhook")
    }

    @Test func metadataAndFewHeadersAreKept() throws {
        let message = try reader.message(
            request([
                ("Content-Type", "application/json"), ("traceparent", "00-1-2-01"), ("Authorization", "Bearer secret"),
                ("Cookie", "c"), ("Accept", "*/*"), ("X-Weir-Metadata-Job", "nightly"), ("x-weir-metadata-row", "7"),
                ("X-Weir-Mode", "enqueue"), ("Host", "weir"),
            ]), now: Self.now
        ) { "" }
        #expect(message.headers == ["content-type": "application/json", "traceparent": "00-1-2-01"])
        #expect(message.metadata == ["job": "nightly", "row": "7"])
    }

    @Test(arguments: [
        ("/v1/chat/completions", "application/x-www-form-urlencoded", "application/json"),
        ("/v1/embeddings", "Application/X-WWW-Form-URLEncoded; charset=utf-8", "application/json"),
        ("/v1/completions", "application/json; charset=utf-8", "application/json; charset=utf-8"),
        ("/v1/something", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
    ])
    func aBodyKnownToBeJSONIsCalledThat(target: String, type: String, kept: String) throws {
        let message = try reader.message(request([("Content-Type", type)], target: target), now: Self.now) { "" }
        #expect(message.headers["content-type"] == kept)
    }

    @Test func whatAClientMayAttachIsBounded() {
        let many = (0..<17).map { (name: "x-weir-metadata-\($0)", value: "v") }
        #expect(refusal(of: request(Array(many.dropLast()))) == nil)
        #expect(refusal(of: request(many))?.code == .invalidValue)
        let long = String(repeating: "x", count: 513)
        #expect(refusal(of: request([("x-weir-metadata-a", String(long.dropLast()))])) == nil)
        #expect(refusal(of: request([("x-weir-metadata-a", long)]))?.code == .invalidValue)
        #expect(refusal(of: request([("x-weir-metadata-" + long, "")]))?.code == .invalidValue)
        #expect(refusal(of: request([("x-weir-metadata-", "")]))?.code == .invalidValue)
        #expect(refusal(of: request([("content-type", long)]))?.parameter == "content-type")
        let target = "/v1/rerank?" + String(repeating: "x", count: 2048)
        #expect(refusal(of: request(target: target))?.code == .targetTooLong)
        #expect(refusal(of: request(target: "/v1/rerank?é"))?.code == .malformedRequest)
    }

    @Test(arguments: [
        ("/v1/chat/completions", "{", ErrorCode.invalidJSON), ("/v1/chat/completions", "", .invalidJSON),
        ("/v1/embeddings", "[]", .invalidJSON), ("/v1/completions", "{}", .missingModel),
        ("/v1/responses", #"{"model":""}"#, .missingModel), ("/v1/rerank", "{} x", .invalidJSON),
    ])
    func bodiesThatCannotRunAreRefused(path: String, body: String, code: ErrorCode) {
        #expect(refusal(of: request(target: path, body: body))?.code == code)
    }

    @Test func aPathThatNeedsNoModelNeedsNone() throws {
        #expect(try reader.message(request(target: "/v1/rerank", body: "{}"), now: Self.now) { "" }.model == nil)
    }

    @Test func oneKeyOfOneTenantIsOneID() throws {
        func id(_ tenant: String, _ key: String) throws -> String {
            try reader.message(request([("Idempotency-Key", key)], tenant: tenant), now: Self.now) { "new" }.id
        }
        let first = try id("a", "k")
        #expect(first == (try id("a", "k")))
        #expect(first.wholeMatch(of: /req_[0-9a-f]{32}/) != nil)
        // Neither another tenant nor another cut between tenant and key gives the same id.
        let others = [try id("b", "k"), try id("a", "K"), try id("", "ak"), try id("ak", " "), try id("a", "k ")]
        #expect(Set(others + [first]).count == 6)
        #expect(try id("a", String(repeating: "k", count: 255)) != first)
    }

    @Test(arguments: ["", String(repeating: "k", count: 256), "a\tb", "é"])
    func keysThatCannotBeAreRefused(key: String) {
        #expect(refusal(of: request([("Idempotency-Key", key)]))?.parameter == "idempotency-key")
    }

    @Test func idsAreRandomOtherwise() {
        let ids = (0..<100).map { _ in RequestIdentity.random() }
        #expect(Set(ids).count == 100)
        #expect(ids.allSatisfy { $0.wholeMatch(of: /req_[0-9a-f]{32}/) != nil })
    }
}

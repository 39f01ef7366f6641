import InferenceAPI
import NIOHTTP1
import Testing

@testable import Gateway

@Suite struct AccessTests {
    private static let tenants = [
        Tenant(name: "a", keys: ["key-of-a", "second-key-of-a"]), Tenant(name: "b", keys: ["key-of-b"]),
    ]
    private let registry = TenantRegistry(Self.tenants, acceptsNames: true)

    @Test(
        arguments: [
            ("Bearer key-of-a", nil, false, .tenant("a", usesKey: true)),
            ("bearer  second-key-of-a", nil, false, .tenant("a", usesKey: true)),
            ("BEARER key-of-b", nil, true, .tenant("b", usesKey: true)),
            // A key says more than a name.
            ("Bearer key-of-b", "a", true, .tenant("b", usesKey: true)),
            (nil, "b", true, .tenant("b", usesKey: false)), (nil, "b", false, .refused(.unauthorized)),
            (nil, "c", true, .refused(.unauthorized)), (nil, "", true, .refused(.unauthorized)),
            (nil, "c", false, .refused(.unauthorized)), (nil, nil, true, .refused(.unauthorized)),
            (nil, nil, false, .refused(.unauthorized)),
            ("Bearer key-of-", nil, false, .refused(.unauthorized)),
            ("Bearer key-of-aa", nil, false, .refused(.unauthorized)),
            ("Bearer KEY-OF-A", nil, false, .refused(.unauthorized)), ("Bearer ", nil, false, .refused(.unauthorized)),
            ("Bearer", nil, false, .refused(.unauthorized)), ("key-of-a", nil, false, .refused(.unauthorized)),
            ("Basic key-of-a", nil, false, .refused(.unauthorized)), ("", "a", true, .refused(.unauthorized)),
            ("Bearer wrong", "a", true, .refused(.unauthorized)),
        ] as [(String?, String?, Bool, TenantRegistry.Caller)])
    func withTenantsAKeyIsNeededOrATrustedWord(
        authorization: String?, name: String?, isTrusted: Bool, caller: TenantRegistry.Caller
    ) {
        let found = registry.caller(authorization: authorization, namedTenant: name, isTrusted: isTrusted)
        #expect(found == caller)
    }

    @Test(
        arguments: [
            ("Bearer key-of-a", nil, false, .tenant("", usesKey: false)),
            (nil, nil, false, .tenant("", usesKey: false)),
            (nil, "c", false, .tenant("", usesKey: false)), ("Bearer x", "c", true, .tenant("c", usesKey: false)),
        ] as [(String?, String?, Bool, TenantRegistry.Caller)])
    func withoutTenantsAllAreOneButForATrustedWord(
        authorization: String?, name: String?, isTrusted: Bool, caller: TenantRegistry.Caller
    ) {
        let found = TenantRegistry([]).caller(authorization: authorization, namedTenant: name, isTrusted: isTrusted)
        #expect(found == caller)
    }

    @Test(arguments: [true, false])
    func aTrustedWordAloneIsNotEnoughUnlessTheOperatorSaysSo(isTrusted: Bool) {
        let registry = TenantRegistry(Self.tenants)
        for name in ["a", "b", "c"] {
            #expect(
                registry.caller(authorization: nil, namedTenant: name, isTrusted: isTrusted) == .refused(.unauthorized))
        }
        #expect(
            registry.caller(authorization: "Bearer key-of-b", namedTenant: "a", isTrusted: isTrusted)
                == .tenant("b", usesKey: true))
    }

    @Test(arguments: ["", "a b", "é", String(repeating: "x", count: 129)])
    func aNameThatCannotBeIsRefused(name: String) {
        guard
            case .refused(let error) = TenantRegistry([])
                .caller(authorization: nil, namedTenant: name, isTrusted: true)
        else {
            Issue.record("accepted \(name)")
            return
        }
        #expect(error.code == .invalidValue)
    }

    @Test func keysDoNotShowWhenATenantIsPrinted() {
        let tenant = Tenant(name: "a", keys: ["secret-key"])
        var dumped = ""
        dump(tenant, to: &dumped)
        for text in ["\(tenant)", String(reflecting: tenant), "\([tenant])", dumped] {
            #expect(text.contains("a"))
            #expect(!text.contains("secret-key"))
        }
    }

    private func purpose(
        _ target: String, _ mode: String?, method: HTTPMethod = .POST, hasHandler: Bool = true
    ) -> RequestPurpose {
        RequestPurpose(
            HTTPRequestHead(version: .http1_1, method: method, uri: target), path: InferencePath(target: target),
            mode: mode, hasHandler: hasHandler)
    }

    @Test(
        arguments: [
            ("/v1/chat/completions", nil, .modelServer), ("/v1/chat/completions", "passthrough", .modelServer),
            ("/v1/chat/completions", "RealTime", .modelServer),
            ("/v1/chat/completions", "enqueue", .handler(.enqueue)), ("/v1/embeddings", "Wait", .handler(.wait)),
            ("/v1/rerank", "enqueue", .handler(.enqueue)), ("/v1/requests", nil, .handler(nil)),
            ("/v1/requests/", nil, .handler(nil)), ("/v1/requests/req_1", "enqueue", .handler(nil)),
            ("/v1/requests?limit=1", nil, .handler(nil)), ("/v1/requests/a/b", "nonsense", .handler(nil)),
            ("/v1/requestsx", nil, .modelServer), ("/v1/requests-x/y", nil, .modelServer),
        ] as [(String, String?, RequestPurpose)])
    func pathAndModeSayWhoARequestIsFor(target: String, mode: String?, expected: RequestPurpose) {
        #expect(purpose(target, mode) == expected)
    }

    @Test func whatCannotBeQueuedIsRefused() {
        func code(_ purpose: RequestPurpose) -> ErrorCode? {
            if case .refused(let error) = purpose { error.code } else { nil }
        }
        #expect(code(purpose("/v1/chat/completions", "later")) == .invalidValue)
        #expect(code(purpose("/v1/chat/completions", "")) == .invalidValue)
        #expect(code(purpose("/v1/files", "enqueue", method: .GET)) == .methodNotAllowed)
        #expect(purpose("/v1/chat/completions", "enqueue", hasHandler: false) == .refused(.modeNeedsQueue))
        #expect(purpose("/v1/requests/x", nil, hasHandler: false) == .refused(.noQueue))
        #expect(purpose("/v1/chat/completions", "passthrough", hasHandler: false) == .modelServer)
    }

    @Test func theNewerModeHeaderWinsInWhateverOrder() {
        #expect(RequestHeadFacts(["X-AP-Mode": "wait"]).mode == "wait")
        #expect(RequestHeadFacts(HTTPHeaders([("x-ap-mode", "wait"), ("X-Weir-Mode", "enqueue")])).mode == "enqueue")
        #expect(RequestHeadFacts(HTTPHeaders([("X-Weir-Mode", "enqueue"), ("x-ap-mode", "wait")])).mode == "enqueue")
        let facts = RequestHeadFacts(["X-Weir-Tenant": "t", "Authorization": "Bearer k", "x-llm-d-x": "1"])
        #expect(facts.tenant == "t")
        #expect(facts.authorization == "Bearer k")
        #expect(facts.hasOwnHeaders)
        #expect(!RequestHeadFacts(["x-llm-d-x": "1", "x-request-id": "1"]).hasOwnHeaders)
    }
}

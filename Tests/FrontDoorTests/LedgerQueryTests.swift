import InferenceAPI
import MessageQueues
import Testing

@testable import FrontDoor

@Suite struct LedgerQueryTests {
    @Test(
        arguments: [
            ("/v1/requests", .list(state: nil, model: nil, limit: 20, after: nil)),
            ("/v1/requests/", .list(state: nil, model: nil, limit: 20, after: nil)),
            ("/v1/requests?", .list(state: nil, model: nil, limit: 20, after: nil)),
            (
                "/v1/requests?status=running&model=org%2Fm+1&limit=100&after=req_1&else=2#f",
                .list(state: .running, model: "org/m 1", limit: 100, after: "req_1")
            ),
            ("/v1/requests?limit=1&limit=2&model", .list(state: nil, model: "", limit: 2, after: nil)),
            ("/v1/requests/req_1", .request("req_1")), ("/v1/requests/req_1?x=y", .request("req_1")),
            ("/v1/requests/a%20b+c", .request("a b+c")), ("/v1/requests/line/7", .request("line/7")),
        ] as [(String, LedgerQuery)])
    func targetsAreRead(target: String, query: LedgerQuery) throws {
        #expect(try LedgerQuery(target: target) == query)
    }

    @Test(
        arguments: [
            ("/v1/requests?limit=0", ErrorCode.invalidValue), ("/v1/requests?limit=101", .invalidValue),
            ("/v1/requests?limit=ten", .invalidValue), ("/v1/requests?limit", .invalidValue),
            ("/v1/requests?status=done", .invalidValue), ("/v1/requests?model=%zz", .malformedRequest),
            ("/v1/requests?model=%ff", .malformedRequest), ("/v1/requests?model=%4", .malformedRequest),
            ("/v1/requests?after=" + String(repeating: "x", count: 1025), .malformedRequest),
            ("/v1/requests/%ff", .notFound), ("/v1/requests/" + String(repeating: "x", count: 513), .notFound),
        ] as [(String, ErrorCode)])
    func whatCannotBeReadIsRefused(target: String, code: ErrorCode) {
        #expect { try LedgerQuery(target: target) } throws: { ($0 as? APIError)?.code == code }
    }
}

import Basics
import Pool
import Routing
import Testing

@testable import Gateway

@Suite("What routing policies read of requests", .timeLimit(.minutes(2)))
struct PolicyHeaderTests {
    private func with(
        _ policy: WeightedPolicy, labels: [[String: String]] = [[:], [:]],
        _ body: (TestGateway, [TestUpstream]) async throws -> Void
    ) async throws {
        let upstreams = [try await TestUpstream.start(), try await TestUpstream.start()]
        var pool = TestGateway.pool(upstreams.map(\.port))
        pool.routing = .weighted(policy)
        for index in pool.endpoints.indices { pool.endpoints[index].labels = labels[index] }
        try await TestGateway.with(pool) { try await body($0, upstreams) }
    }

    /// Sends a request and returns the place of the endpoint that got it, and the answer.
    private func post(
        _ client: TestClient, headers: [String], _ upstreams: [TestUpstream]
    ) async -> (endpoint: Int, answer: TestClient.Response?) {
        client.post(smallBody, headers: headers)
        while upstreams.allSatisfy({ $0.requests.count == 0 }) { await Task.yield() }
        let index = upstreams[0].requests.count > 0 ? 0 : 1
        await upstreams[index].requests.next().answer("{}")
        return (index, await client.readResponse())
    }

    @Test("a client that echoes the token of its endpoint is served there again")
    func sessionToken() async throws {
        let policy = WeightedPolicy(
            filters: [.init("affinity", .sessionAffinity(.endpointToken(header: "X-Session-Token")))],
            picker: WeightedPicker(.random))
        try await with(policy) { test, upstreams in
            let client = try await test.connect()
            let first = await post(client, headers: [], upstreams)
            let token = try #require(first.answer?.headers["x-session-token"])
            #expect(token == WeightedSessionAffinity.token(forEndpoint: upstreams[first.endpoint].name))
            for _ in 0..<12 {
                let again = await post(client, headers: ["x-session-token: \(token)"], upstreams)
                #expect(again.endpoint == first.endpoint)
            }
            await test.becomesIdle()
        }
    }

    @Test("a header is matched with the labels of endpoints", arguments: [("red", 0), ("blue", 1)])
    func headerLabel(wanted: String, endpoint: Int) async throws {
        let policy = WeightedPolicy(
            scorers: [.init("colour", .headerLabelAffinity(header: "X-Colour", label: "colour"))])
        try await with(policy, labels: [["colour": "red"], ["colour": "blue"]]) { test, upstreams in
            let client = try await test.connect()
            for _ in 0..<8 {
                let placed = await post(client, headers: ["x-colour: \(wanted)"], upstreams)
                #expect(placed.endpoint == endpoint)
            }
            await test.becomesIdle()
        }
    }

    @Test("models that name a parent are adapters, and those that engines report as such")
    func adapters() async throws {
        let page = #"{"data":[{"id":"base"},{"id":"tuned","parent":"base"},{"id":"other","parent":null}]}"#
        #expect(
            ModelList.entries(in: Array(page.utf8)) == [
                .init(name: "base", isAdapter: false), .init(name: "tuned", isAdapter: true),
                .init(name: "other", isAdapter: false),
            ])
        let settings = TestGateway.pool([1], models: ["base", "tuned", "seen"])
        let directory = PoolDirectory(
            pools: [PoolShell(settings: settings, number: 0, firstEndpoint: 0, now: .zero)])
        directory.noteAdapters(["tuned"], pool: 0)
        directory.noteAdapters(["seen"], pool: 0)
        let adapters = ["base", "tuned", "seen"].filter { model in
            if case .pool(_, isAdapter: true) = directory.pool(for: model) { true } else { false }
        }
        #expect(adapters == ["tuned", "seen"])
    }
}

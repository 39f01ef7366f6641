import Basics
import Foundation
import Gateway
import InferenceAPI
import NIOHTTP1
import PoolScheduler
import PrefixIndex
import Testing

@Suite("Tokenizing", .timeLimit(.minutes(2)))
struct TokenizingTests {
    private static let blockTokens = 4
    private static let tokens = (1...22).map { UInt32($0) }
    private static let keys = PromptBlocks(tokens: tokens, tokensPerBlock: blockTokens, model: "").hashes
    private static let body = #"{"model":"m","messages":[{"role":"user","content":"Hello"}],"max_tokens":3}"#
    private static let answer = #"{"count":22,"max_model_len":64,"tokens":\#(tokens)}"#

    /// Two endpoints of which the second publishes that it has the first blocks of the prompt.
    private func with(
        timeout: TimeSpan = .seconds(60), maximumBytes: Int = 1 << 20,
        _ body: (TestGateway, [TestUpstream]) async throws -> Void
    ) async throws {
        let upstreams = [try await TestUpstream.start(), try await TestUpstream.start()]
        var pool = TestGateway.pool(upstreams.map(\.port))
        pool.tokenizer.timeout = timeout
        pool.tokenizer.maximumBytes = maximumBytes
        try await TestGateway.with(pool) { test in
            for endpoint in 0..<2 { test.gateway.cacheChanged([.cleared], pool: 0, endpoint: endpoint) }
            test.gateway.cacheChanged([.stored(Array(Self.keys.prefix(4)))], pool: 0, endpoint: 1)
            #expect(test.gateway.cacheDescribed(blockTokens: Self.blockTokens, adapters: [], pool: 0, endpoint: 1))
            try await body(test, upstreams)
        }
    }

    /// The next request that reaches any of them, and which one it reached.
    private func next(_ upstreams: [TestUpstream]) async -> (request: UpstreamRequest, index: Int) {
        while true {
            for (index, upstream) in upstreams.enumerated() where upstream.requests.count > 0 {
                return (await upstream.requests.next(), index)
            }
            await Task.yield()
        }
    }

    private func receipt(_ id: String, _ client: TestClient) async throws -> [String: Any] {
        client.send("GET /weir/v1/decisions/\(id) HTTP/1.1\r\nHost: t\r\n\r\n")
        let response = try #require(await client.readResponse())
        return try #require(try JSONSerialization.jsonObject(with: Data(response.body.utf8)) as? [String: Any])
    }

    private func cached(_ receipt: [String: Any]) -> [Int] {
        (receipt["candidates"] as? [[String: Any]] ?? []).compactMap { $0["cached_prompt_tokens"] as? Int }
    }

    @Test("a prompt is tokenized by an endpoint and goes where its tokens are cached")
    func matched() async throws {
        try await with { test, upstreams in
            let client = try await test.connect()
            // Two of them, so that both endpoints are asked.
            for number in 1...2 {
                client.post(Self.body, headers: ["x-weir-explain: true", "x-request-id: r\(number)"])
                let (question, _) = await next(upstreams)
                #expect(question.head.uri == "/tokenize" && question.head.method == .POST)
                #expect(question.head.headers.first(name: "content-type") == "application/json")
                #expect(question.text == Self.body)
                question.answer(Self.answer)
                let (request, index) = await next(upstreams)
                #expect(request.head.uri == "/v1/chat/completions" && index == 1)
                request.answer("{}")
                #expect(await client.readResponse()?.status == 200)
                #expect(cached(try await receipt("r\(number)", client)) == [0, 16])
            }
            test.gateway.cacheChanged([.removed([Self.keys[1]])], pool: 0, endpoint: 1)
            client.post(Self.body, headers: ["x-weir-explain: true", "x-request-id: r3"])
            await next(upstreams).request.answer(Self.answer)
            await next(upstreams).request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            #expect(cached(try await receipt("r3", client)) == [0, 4], "a chain ends at its first gap")
            #expect(test.gateway.tokenizations(pool: 0).done == 3)
        }
    }

    @Test(
        "a request whose tokens are not told goes its way without them",
        arguments: [
            (HTTPResponseStatus.badRequest, "{}", 1, 0), (.notFound, "{}", 0, 1), (.unauthorized, "{}", 0, 1),
            (.ok, "{}", 0, 1),
            (.internalServerError, answer, 0, 1),
        ])
    func notTold(status: HTTPResponseStatus, text: String, refused: Int, failed: Int) async throws {
        try await with { test, upstreams in
            let client = try await test.connect()
            client.post(Self.body)
            await next(upstreams).request.answer(text, status: status)
            let (request, _) = await next(upstreams)
            #expect(request.head.uri == "/v1/chat/completions")
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            let counts = test.gateway.tokenizations(pool: 0)
            #expect((counts.done, counts.refused, counts.failed) == (0, refused, failed))
        }
    }

    @Test("silence, or a connection that breaks, costs no more than the time limit")
    func silent() async throws {
        try await with(timeout: .milliseconds(20)) { test, upstreams in
            let client = try await test.connect()
            client.post(Self.body)
            var (request, _) = await next(upstreams)
            // On a slow machine the time is over before the question is on its way.
            if request.head.uri == "/tokenize" {
                try await request.closed()
                (request, _) = await next(upstreams)
            }
            #expect(request.head.uri == "/v1/chat/completions")
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            #expect(test.gateway.tokenizations(pool: 0).failed == 1)
        }
    }

    @Test("a client that leaves while its prompt is tokenized leaves nothing behind")
    func leaves() async throws {
        try await with { test, upstreams in
            let client = try await test.connect()
            client.post(Self.body)
            let (question, _) = await next(upstreams)
            client.close()
            #expect(await test.observer.records.next().clientLeft)
            question.answer(Self.answer)
            let other = try await test.connect()
            other.post(Self.body)
            await next(upstreams).request.answer(Self.answer)
            let (request, _) = await next(upstreams)
            request.answer("{}")
            #expect(await other.readResponse()?.status == 200)
            #expect(upstreams.allSatisfy { $0.requests.count == 0 }, "the first one was never placed")
            await test.becomesIdle()
        }
    }

    @Test(
        "what tokens would tell nothing about is not tokenized",
        arguments: [
            #"{"model":"m","prompt":[1,2,3],"max_tokens":3}"#, #"{"model":"m","prompt":"a","cache_salt":"s"}"#,
            #"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"http://x/y"}}]}]}"#,
        ])
    func notAsked(body: String) async throws {
        try await with { test, upstreams in
            let client = try await test.connect()
            let path = body.contains("prompt") ? "/v1/completions" : "/v1/chat/completions"
            client.post(body, path: path)
            let (request, _) = await next(upstreams)
            #expect(request.head.uri == path)
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("nor are long bodies and batch work", arguments: [true, false])
    func tooMuch(isLong: Bool) async throws {
        try await with(maximumBytes: isLong ? 10 : 1 << 20) { test, upstreams in
            let client = try await test.connect()
            client.post(Self.body, headers: isLong ? [] : ["x-llm-d-inference-objective: batch"])
            let (request, _) = await next(upstreams)
            #expect(request.head.uri == "/v1/chat/completions")
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("an endpoint that is not heard any more is matched by text again")
    func unknown() async throws {
        try await with { test, upstreams in
            test.gateway.cacheIsUnknown(pool: 0, endpoint: 1)
            let client = try await test.connect()
            client.post(Self.body)
            let (request, _) = await next(upstreams)
            #expect(request.head.uri == "/v1/chat/completions")
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("blocks of another length than the pool's others are not followed")
    func foreign() async throws {
        try await with { test, _ in
            #expect(!test.gateway.cacheDescribed(blockTokens: 8, adapters: [], pool: 0, endpoint: 0))
            test.gateway.cacheChanged([.stored([1, 2, 3])], pool: 0, endpoint: 0)
            #expect(test.gateway.insights()[0].prefix.tokenEntries == 4, "those of the other endpoint")
            for place in [(0, 2), (1, 0), (-1, 0), (0, -1)] {
                #expect(!test.gateway.cacheDescribed(blockTokens: 4, adapters: [], pool: place.0, endpoint: place.1))
                test.gateway.cacheChanged([.stored([9])], pool: place.0, endpoint: place.1)
            }
            #expect(test.gateway.insights()[0].prefix.tokenEntries == 4)
        }
    }
}

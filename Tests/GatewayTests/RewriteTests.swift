import Basics
import Gateway
import NIOCore
import NIOHTTP1
import Pool
import Routing
import Testing

@Suite("Models that are others to the endpoints", .timeLimit(.minutes(2)))
struct RewriteTests {
    /// A gateway where `alias` is `target` to the endpoints.
    private func with(
        _ target: String, alias: String = "chat", _ body: (TestGateway, TestUpstream) async throws -> Void
    ) async throws {
        let upstream = try await TestUpstream.start()
        let pool = TestGateway.pool([upstream.port], models: [target])
        try await TestGateway.with(
            pool, change: { $0.rewrites = [ModelRewrite(model: alias, targets: [.init(model: target)])] }
        ) { try await body($0, upstream) }
    }

    @Test(
        "nothing but the name changes in a body",
        arguments: [
            (#"{"model":"chat","messages":[]}"#, #"{"model":"a/b","messages":[]}"#),
            (
                #" { "messages" : [ {"role":"user","content":"chat \"model\":\"chat\" \u00e9"} ] , "model" : "chat" } "#,
                #" { "messages" : [ {"role":"user","content":"chat \"model\":\"chat\" \u00e9"} ] , "model" : "a/b" } "#
            ),
            (#"{"model":"c\u0068at","x":1e3}"#, #"{"model":"a/b","x":1e3}"#),
            (#"{"model":"a/b","x":  1}"#, #"{"model":"a/b","x":  1}"#),
        ])
    func bytes(sent: String, received: String) async throws {
        try await with("a/b") { test, upstream in
            let client = try await test.connect()
            client.post(sent)
            let request = await upstream.requests.next()
            #expect(request.text == received)
            #expect(request.head.headers["content-length"] == [String(received.utf8.count)])
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            #expect(await test.observer.records.next().error == nil)
            await test.becomesIdle()
        }
    }

    @Test("a name with quotes and controls is escaped")
    func escapes() async throws {
        try await with("a\"\\\n") { test, upstream in
            let client = try await test.connect()
            client.post(#"{"model":"chat"}"#)
            let request = await upstream.requests.next()
            #expect(request.text == #"{"model":"a\"\\\n"}"#)
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("a body that is longer than what is held arrives whole with its length", arguments: [true, false])
    func longBody(modelComesFirst: Bool) async throws {
        try await with("a-much-longer-name") { test, upstream in
            let client = try await test.connect()
            let text = String(repeating: "0123456789abcdef", count: 200_000)
            func body(_ model: String) -> String {
                modelComesFirst
                    ? #"{"model":"\#(model)","prompt":"\#(text)"}"# : #"{"prompt":"\#(text)","model":"\#(model)"}"#
            }
            client.post(body("chat"), path: "/v1/completions")
            let request = await upstream.requests.next()
            let expected = body("a-much-longer-name")
            #expect(request.text.utf8.count == expected.utf8.count)
            #expect(request.text == expected)
            #expect(request.head.headers["content-length"] == [String(expected.utf8.count)])
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            await test.becomesIdle()
        }
    }

    @Test("a body in chunks arrives with the length that it has in the end")
    func chunks() async throws {
        try await with("another-name") { test, upstream in
            let client = try await test.connect()
            client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            for character in #"{"messages":[],"model":"chat"}"# { client.send("1\r\n\(character)\r\n") }
            client.send("0\r\n\r\n")
            let request = await upstream.requests.next()
            let expected = #"{"messages":[],"model":"another-name"}"#
            #expect(request.text == expected)
            #expect(request.head.headers["content-length"] == [String(expected.utf8.count)])
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("aliases are listed where what they stand for is served")
    func list() async throws {
        let upstream = try await TestUpstream.start()
        let rewrites = [
            ModelRewrite(model: "alias", targets: [.init(model: "m")]),
            ModelRewrite(model: "dangling", targets: [.init(model: "nowhere")]),
        ]
        try await TestGateway.with(TestGateway.pool([upstream.port]), change: { $0.rewrites = rewrites }) { test in
            let client = try await test.connect()
            client.send("GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n")
            let body = try #require(await client.readResponse()).body
            #expect(body.contains(#""id":"alias""#) && body.contains(#""id":"m""#) && !body.contains("dangling"))
            client.send("GET /v1/models/alias HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(await client.readResponse()?.status == 200)
            client.post(#"{"model":"dangling"}"#)
            let response = try #require(await client.readResponse())
            #expect(response.status == 404 && response.body.contains("model_not_found"))
        }
    }

    @Test("a session stays with one target, sessions are split by weight")
    func split() async throws {
        let upstream = try await TestUpstream.start()
        let rewrite = ModelRewrite(
            model: "chat", targets: [.init(model: "old", weight: 3), .init(model: "new", weight: 1)])
        try await TestGateway.with(
            TestGateway.pool([upstream.port], models: ["old", "new"]), change: { $0.rewrites = [rewrite] }
        ) { test in
            let client = try await test.connect()
            var targets: [String: Int] = [:]
            for session in 0..<80 {
                var seen: Set<String> = []
                for _ in 0..<2 {
                    client.post(#"{"model":"chat"}"#, headers: ["X-Session-Id: s-\(session)"])
                    let request = await upstream.requests.next()
                    seen.insert(request.text)
                    request.answer("{}")
                    #expect(await client.readResponse()?.status == 200)
                }
                #expect(seen.count == 1)
                targets[seen.first ?? "", default: 0] += 1
            }
            #expect(targets.count == 2)
            #expect((48...72).contains(targets[#"{"model":"old"}"#] ?? 0), "\(targets)")
        }
    }

    @Test("labels say which endpoints get a target; where none carries them there are none")
    func labels() async throws {
        let upstreams = [try await TestUpstream.start(), try await TestUpstream.start()]
        var pool = TestGateway.pool(upstreams.map(\.port))
        pool.endpoints[1].labels = ["tier": "fast", "zone": "a"]
        let rewrites = [
            ModelRewrite(model: "fast", targets: [.init(model: "m", endpointLabels: ["tier": "fast"])]),
            ModelRewrite(
                model: "none", targets: [.init(model: "m", endpointLabels: ["tier": "fast", "zone": "b"])]),
        ]
        try await TestGateway.with(pool, change: { $0.rewrites = rewrites }) { test in
            for _ in 0..<6 {
                let client = try await test.connect()
                client.post(#"{"model":"fast"}"#)
                let request = await upstreams[1].requests.next()
                #expect(request.text == #"{"model":"m"}"#)
                request.answer("{}")
                #expect(await client.readResponse()?.headers["x-weir-endpoint"] == upstreams[1].name)
            }
            let client = try await test.connect()
            client.post(#"{"model":"none"}"#)
            let response = try #require(await client.readResponse())
            #expect(response.status == 503)
            #expect(response.body.contains(#""code":"no_endpoints""#))
            await test.becomesIdle()
        }
    }

    @Test("a caller may name the target itself, if it is trusted", arguments: [true, false])
    func header(isTrusted: Bool) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port], models: ["m", "other"]),
            change: { if !isTrusted { $0.trustedCallers = [] } }
        ) { test in
            let client = try await test.connect()
            client.post(smallBody, headers: ["X-LLM-D-Model-Name-Rewrite: other"])
            let request = await upstream.requests.next()
            #expect(request.text == #"{"model":"\#(isTrusted ? "other" : "m")","messages":[]}"#)
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }
}

import Basics
import Gateway
import InferenceAPI
import NIOCore
import NIOHTTP1
import Pool
import Testing

@Suite("Proxying", .timeLimit(.minutes(5)))
struct ProxyTests {
    @Test("a request reaches the endpoint byte for byte, and its answer the client")
    func wholeRoundTrip() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            let body = #"{"messages":[{"role":"user","content":"héllo"}],  "model":"m","x":1e3}"#
            client.post(body, headers: ["Authorization: Bearer k", "X-Custom: 1"])
            let request = await upstream.requests.next()
            #expect(request.text == body)
            #expect(request.head.uri == "/v1/chat/completions")
            #expect(request.head.headers["authorization"] == ["Bearer k"])
            #expect(request.head.headers["x-custom"] == ["1"])
            #expect(request.head.headers["host"] == [upstream.name])
            #expect(request.head.headers["content-length"] == [String(body.utf8.count)])
            #expect(test.pool.endpoints[0].load.realtimeRequests == 1)
            request.answer(#"{"ok":true,"usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10}}"#)
            let response = try #require(await client.readResponse())
            #expect(response.status == 200)
            #expect(response.body.hasPrefix(#"{"ok":true"#))
            #expect(response.headers["x-weir-endpoint"] == upstream.name)
            let record = await test.observer.records.next()
            #expect(record.usage == TokenUsage(promptTokens: 3, completionTokens: 7))
            #expect(record.status == 200 && record.model == "m" && record.endpoint == upstream.name)
            #expect(record.requestID == request.head.headers["x-request-id"].first)
            #expect(record.requestID == response.headers["x-request-id"])
            test.expectIdle()
        }
    }

    @Test("client and upstream connections are both kept and used again")
    func keepAlive() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port])
        ) { test in
            let client = try await test.connect()
            let before = upstream.connections
            for round in 0..<5 {
                client.post(smallBody)
                await upstream.requests.next().answer("\(round)")
                #expect(await client.readResponse()?.body == "\(round)")
            }
            #expect(upstream.connections == before + 1)
        }
    }

    @Test("pipelined requests are answered in their order, one after the other")
    func pipelining() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            let lengths =
                "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: \(smallBody.utf8.count)\r\n\r\n"
            let unknown = "GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n"
            client.send(lengths + smallBody + unknown + lengths + smallBody + "NONSENSE\r\n\r\n")
            let first = await upstream.requests.next()
            #expect(upstream.requests.count == 0)
            first.answer("one")
            #expect(await client.readResponse()?.body == "one")
            #expect(await client.readResponse()?.status == 404)
            await upstream.requests.next().answer("two")
            #expect(await client.readResponse()?.body == "two")
            #expect(await client.readResponse()?.status == 400)
            #expect(await client.readToEnd() == "")
        }
    }

    @Test("events are passed on one by one, as they come")
    func eventStream() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(#"{"model":"m","stream":true}"#)
            let request = await upstream.requests.next()
            request.begin()
            let event = #"data: {"choices":[{"delta":{"content":"a"}}]}"# + "\n\n"
            request.send(event)
            let head = try #require(await client.readHead())
            #expect(head.headers["content-type"] == "text/event-stream")
            #expect(head.headers["x-accel-buffering"] == "no")
            #expect(await client.read(until: "\n\n")?.hasSuffix(event) == true)
            #expect(test.pool.endpoints[0].load.requestsAwaitingFirstToken == 0)
            request.send(event)
            #expect(await client.read(until: "\n\n")?.hasSuffix(event) == true)
            request.send("data: [DONE]\n\n")
            request.end()
            #expect(await client.read(until: "0\r\n\r\n") != nil)
            let record = await test.observer.records.next()
            #expect(record.isStreamed && record.outputEvents == 2 && record.error == nil)
            test.expectIdle()
        }
    }

    @Test("a chunked body of known end goes upstream with a length, and both framings arrive whole")
    func chunkedBody() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            for character in smallBody { client.send("1\r\n\(character)\r\n") }
            client.send("0\r\n\r\n")
            let request = await upstream.requests.next()
            #expect(request.text == smallBody)
            #expect(request.head.headers["content-length"] == [String(smallBody.utf8.count)])
            #expect(!request.head.headers.contains(name: "transfer-encoding"))
            request.begin(["content-type": "application/json"])
            request.send("{")
            request.send("}")
            request.end()
            let response = try #require(await client.readResponse())
            #expect(response.headers["transfer-encoding"] == "chunked")
            #expect(response.body == "{}")
        }
    }

    @Test("a 20 MB body is streamed through once it can be routed", arguments: [true, false])
    func longBody(modelComesFirst: Bool) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            let filler = String(repeating: "x", count: 20 << 20)
            let body =
                modelComesFirst ? #"{"model":"m","prompt":"\#(filler)"}"# : #"{"prompt":"\#(filler)","model":"m"}"#
            client.post(body, path: "/v1/completions")
            let request = await upstream.requests.next()
            #expect(request.body.readableBytes == body.utf8.count)
            #expect(request.text == body)
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            #expect(await test.observer.records.next().requestBytes == body.utf8.count)
            test.expectIdle()
        }
    }

    @Test("a client that waits for leave to send its body gets it")
    func expectContinue() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.send(
                "POST /v1/completions HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: \(smallBody.utf8.count)\r\n\r\n"
            )
            #expect(await client.readHead()?.status == 100)
            client.send(smallBody)
            let request = await upstream.requests.next()
            #expect(!request.head.headers.contains(name: "expect"))
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("control headers and objectives count only from trusted callers", arguments: [true, false])
    func controlHeaders(isTrusted: Bool) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { if !isTrusted { $0.trustedCallers = [] } }
        ) { test in
            let client = try await test.connect()
            client.post(
                smallBody,
                headers: [
                    "X-LLM-D-Inference-Objective: urgent", "x-gateway-inference-fairness-id: tenant",
                    "x-prefiller-host-port: evil:1", "Connection: x-hop", "X-Hop: 1", "x-request-id: mine",
                ])
            let request = await upstream.requests.next()
            #expect(request.head.headers.contains(name: "x-prefiller-host-port") == isTrusted)
            #expect(request.head.headers.contains(name: "x-llm-d-inference-objective") == isTrusted)
            #expect(!request.head.headers.contains(name: "x-hop"))
            #expect(request.head.headers["x-request-id"] == ["mine"])
            request.answer("{}")
            let response = try #require(await client.readResponse())
            #expect(response.headers["x-request-id"] == "mine")
            #expect(response.headers.keys.contains("x-weir-endpoint") == isTrusted)
            let record = await test.observer.records.next()
            #expect(record.priority == (isTrusted ? 5 : 0))
            #expect(record.fairnessID == (isTrusted ? "tenant" : nil))
        }
    }

    @Test("a client of HTTP/1.0 gets its answer and the end of the connection")
    func oldClient() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.send("POST /v1/completions HTTP/1.0\r\nContent-Length: \(smallBody.utf8.count)\r\n\r\n\(smallBody)")
            let request = await upstream.requests.next()
            request.begin()
            request.send("data: x\n\n")
            request.end()
            let head = try #require(await client.readHead())
            #expect(head.headers["connection"] == "close" && !head.headers.keys.contains("transfer-encoding"))
            #expect(await client.readToEnd() == "data: x\n\n")
        }
    }

    @Test("requests that name no model go to the default pool, and answers without a body arrive as such")
    func bodyless() async throws {
        let upstream = try await TestUpstream.start()
        var pool = TestGateway.pool([upstream.port])
        pool.isDefault = true
        try await TestGateway.with(pool) { test in
            let client = try await test.connect()
            client.send("HEAD /v1/files HTTP/1.1\r\nHost: t\r\n\r\n")
            let head = await upstream.requests.next()
            #expect(head.head.method == .HEAD && !head.head.headers.contains(name: "content-length"))
            head.begin(["content-length": "5"])
            head.end()
            #expect(await client.readHead()?.headers["content-length"] == "5")
            client.send("DELETE /v1/files/1 HTTP/1.1\r\nHost: t\r\n\r\n")
            let delete = await upstream.requests.next()
            delete.begin(status: .noContent, [:])
            delete.end()
            let response = try #require(await client.readHead())
            #expect(response.status == 204 && !response.headers.keys.contains("transfer-encoding"))
            client.post(smallBody)
            await upstream.requests.next().answer("{}")
            #expect(await client.readResponse()?.body == "{}")
        }
    }

    @Test("an endpoint that answers before it has read the whole body is heard, and both connections end")
    func earlyAnswer() async throws {
        let upstream = try await TestUpstream.start(streamsBodies: true)
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            let filler = String(repeating: "x", count: 3 << 20)
            client.send(
                "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 30000000\r\n\r\n{\"model\":\"m\",\"p\":\"\(filler)"
            )
            let request = await upstream.requests.next()
            request.answer(#"{"error":"too long"}"#, status: .payloadTooLarge)
            let response = try #require(await client.readResponse())
            #expect(response.status == 413 && response.headers["connection"] == "close")
            try await request.channel.setOption(.autoRead, value: true).get()
            try await request.closed()
            #expect(await test.observer.records.next().error == nil)
            test.expectIdle()
        }
    }

    @Test("an endpoint's own error is passed through untouched")
    func upstreamError() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            await upstream.requests.next().answer(#"{"error":"full"}"#, status: .serviceUnavailable)
            let response = try #require(await client.readResponse())
            #expect(response.status == 503 && response.body == #"{"error":"full"}"#)
            #expect(await test.observer.records.next().error == nil)
            test.expectIdle()
        }
    }

    @Test("models are found out from the endpoints where none are configured")
    func discovery() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], models: [])) { test in
            #expect(test.gateway.models == ["found"])
            let client = try await test.connect()
            client.send("GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\nGET /v1/models/found HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(await client.readResponse()?.body.contains(#""id":"found""#) == true)
            #expect(await client.readResponse()?.status == 200)
            client.post(#"{"model":"found"}"#)
            await upstream.requests.next().answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }
}

import Basics
import InferenceAPI
import NIOCore
import Testing

@testable import Gateway

@Suite("Limits", .timeLimit(.minutes(5)))
struct LimitTests {
    @Test(
        "what is not HTTP gets 400 as JSON, and the connection ends",
        arguments: [
            "GARBAGE\r\n\r\n", "GET /v1/models HTTP/9.9\r\n\r\n", "GET  HTTP/1.1\r\n\r\n",
            "\u{16}\u{03}\u{01}\u{02}\r\n",
            "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n",
            "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "GET /v1/x HTTP/1.1\r\nHost: t\r\nBad Header: x\r\n\r\n",
        ])
    func malformed(text: String) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.send(text)
            let response = try #require(await client.readResponse())
            #expect(response.status == 400)
            #expect(response.headers["content-type"] == "application/json")
            #expect(response.headers["connection"] == "close")
            #expect(response.body.contains(#""code":"malformed_request""#))
            #expect(await client.readToEnd() == "")
            test.expectIdle()
        }
    }

    @Test(
        "a request that is HTTP but unclear gets 400",
        arguments: [
            "GET /v1/x HTTP/1.1\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "POST /v1/x HTTP/1.1\r\nHost: t\r\nExpect: money\r\nContent-Length: 2\r\n\r\n{}",
            "POST /v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ])
    func unclear(text: String) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.send(text)
            #expect(await client.readResponse()?.status == 400)
        }
    }

    @Test("requests that are cut, doubled, and garbled at random leave nothing behind")
    func garbled() async throws {
        let upstream = try await TestUpstream.start(answersItself: true)
        try await TestGateway.with(
            TestGateway.pool([upstream.port]),
            change: {
                $0.limits.headTimeout = .milliseconds(20)
                $0.limits.bodyTimeout = .milliseconds(20)
            }
        ) { test in
            var generator = SeededGenerator(seed: 11)
            let head = "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: \(smallBody.utf8.count)\r\n\r\n"
            for _ in 0..<300 {
                var bytes = Array((head + smallBody + head + smallBody).utf8)
                for _ in 0..<Int.random(in: 0..<4, using: &generator) {
                    let place = Int.random(in: 0..<bytes.count, using: &generator)
                    switch Int.random(in: 0..<3, using: &generator) {
                    case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                    case 1: bytes.remove(at: place)
                    default: bytes.insert(bytes[place], at: place)
                    }
                }
                let client = try await test.connect()
                let cut = Int.random(in: 0...bytes.count, using: &generator)
                try await client.sendAndWait(ByteBuffer(bytes: bytes[..<cut]))
                client.send(String(decoding: bytes[cut...], as: UTF8.self))
                if Bool.random(using: &generator) { _ = await client.readHead() }
                client.close()
            }
            while test.gateway.status().clientConnections > 0 { await Task.yield() }
            while test.gateway.status().requests > 0 { await Task.yield() }
            test.expectIdle()
        }
    }

    @Test("a client that pipelines requests by the thousand is cut off")
    func pipelineFlood() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            _ = await upstream.requests.next()
            client.send(String(repeating: "GET /health HTTP/1.1\r\nHost: t\r\n\r\n", count: 5000))
            #expect(await client.readToEnd() == "")
            #expect(await test.observer.records.next().clientLeft)
            test.expectIdle()
        }
    }

    @Test("a head that is too long gets 431", arguments: ["header", "many", "line"])
    func longHead(kind: String) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            let long = String(repeating: "a", count: 100_000)
            switch kind {
            case "header": client.send("GET /v1/x HTTP/1.1\r\nHost: t\r\nX: \(long)\r\n\r\n")
            case "many":
                let lines = (0..<2000).map { "X-Header-Number-\($0): some value that is not short at all\r\n" }.joined()
                client.send("GET /v1/x HTTP/1.1\r\nHost: t\r\n\(lines)\r\n")
            default: client.send("GET /v1/\(long)\(long)")
            }
            #expect(await client.readResponse()?.status == 431)
        }
    }

    @Test("a target that is too long gets 414")
    func longTarget() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.send("GET /v1/\(String(repeating: "a", count: 20_000)) HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(await client.readResponse()?.status == 414)
        }
    }

    @Test("a body over the limit gets 413, announced or not", arguments: [true, false])
    func longBody(isAnnounced: Bool) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.requestBodyBytes = 100_000 }
        ) { test in
            let client = try await test.connect()
            let text = String(repeating: "x", count: 200_000)
            if isAnnounced {
                client.post(text)
            } else {
                client.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
                client.send("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n0\r\n\r\n")
            }
            let response = try #require(await client.readResponse())
            #expect(response.status == 413 && response.headers["connection"] == "close")
            #expect(await test.observer.records.next().error?.code == .bodyTooLarge)
            test.expectIdle()
        }
    }

    @Test("bodies that do not fit the process's budget are turned away")
    func budget() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.bufferedBodyBytes = 50_000 }
        ) { test in
            let client = try await test.connect()
            client.post(#"{"prompt":"\#(String(repeating: "x", count: 60_000))","model":"m"}"#)
            let response = try #require(await client.readResponse())
            #expect(response.status == 429 && response.body.contains("as many bytes of request bodies as it may"))
            _ = await test.observer.records.next()
            test.expectIdle()
        }
    }

    @Test("a body sent byte by byte holds about its own size in buffers")
    func smallPieces() {
        var held = HeldBody()
        for _ in 0..<10_000 { held.append(ByteBuffer(string: "x")) }
        #expect(held.bytes == 10_000)
        #expect(held.pieces.count == 1)
        held.append(ByteBuffer(repeating: 0, count: 5000))
        #expect(held.pieces.count == 2)
    }

    @Test("a client that stalls within a head or a body gets 408", arguments: ["POST /v1/comp", stalledBody])
    func stalling(text: String) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]),
            change: {
                $0.limits.headTimeout = .milliseconds(50)
                $0.limits.bodyTimeout = .milliseconds(50)
            }
        ) { test in
            let client = try await test.connect()
            client.send(text)
            #expect(await client.readResponse()?.status == 408)
            #expect(await client.readToEnd() == "")
            test.expectIdle()
        }
    }

    private static let stalledBody = "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{\"mod"

    @Test(
        "a body for what the gateway answers itself is bounded in time and size",
        arguments: [
            ("Content-Length: 10\r\n\r\n", 408), ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 408),
            ("Transfer-Encoding: chunked\r\n\r\n20000\r\n" + String(repeating: "x", count: 0x1_8000), 200),
        ])
    func bodyOfLocalAnswer(request: String, status: Int) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.bodyTimeout = .milliseconds(50) }
        ) { test in
            let client = try await test.connect()
            client.send("GET /health HTTP/1.1\r\nHost: t\r\n\(request)")
            let response = try #require(await client.readResponse())
            #expect(response.status == status && response.headers["connection"] == "close")
            #expect(await client.readToEnd() == "")
        }
    }

    @Test("a body for what the gateway answers itself is read over, and the connection serves on")
    func shortBodyOfLocalAnswer() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            for _ in 0..<2 {
                client.send("GET /health HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello")
                #expect(await client.readResponse()?.status == 200)
            }
        }
    }

    @Test("an idle connection is closed after its time")
    func idleConnection() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.keepAliveIdle = .milliseconds(50) }
        ) { test in
            let client = try await test.connect()
            #expect(await client.readToEnd() == "")
        }
    }

    @Test("connections beyond the limit wait until another one closes")
    func connections() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port]), change: { $0.limits.connections = 2 }) { test in
            let health = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n"
            let first = try await test.connect()
            let second = try await test.connect()
            for client in [first, second] {
                client.send(health)
                #expect(await client.readResponse()?.status == 200)
            }
            let third = try await test.connect()
            third.send(health)
            first.send(health)
            #expect(await first.readResponse()?.status == 200)
            #expect(test.gateway.status().clientConnections == 2)
            #expect(third.bufferedBytes == 0)
            first.close()
            #expect(await third.readResponse()?.status == 200)
        }
    }

    @Test(
        "requests that make no sense get the error that says so",
        arguments: [
            (#"{"model":"other"}"#, 404, "model_not_found"), (#"{"model""#, 400, "invalid_json"),
            ("[1]", 400, "invalid_json"), (#"{"messages":[]}"#, 400, "missing_model"), ("", 400, "invalid_json"),
        ])
    func senseless(body: String, status: Int, code: String) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(body)
            let response = try #require(await client.readResponse())
            #expect(response.status == status)
            #expect(response.body.contains(#""code":"\#(code)""#))
            #expect(response.headers["x-request-id"]?.utf8.count == 32)
            _ = await test.observer.records.next()
            test.expectIdle()
            // The mistake was the request's, not the connection's.
            client.send("GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("a method that a path does not take gets 405, an unknown path 404")
    func pathsAndMethods() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.send("GET /v1/chat/completions HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(await client.readResponse()?.status == 405)
            client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(await client.readResponse()?.status == 404)
        }
    }
}

import AsyncProcessor
import Basics
import Delivery
import InferenceAPI
import NIOHTTP1
import RemoteGateway
import Testing

@Suite("Requests to a remote gateway", .timeLimit(.minutes(1)))
struct RemoteDispatcherTests {
    private func withServer(
        path: String = "", transforms: [any RequestTransform] = [],
        target change: (inout RemoteTarget) -> Void = { _ in },
        connections adjust: (inout GatewayConnections.Configuration) -> Void = { _ in },
        _ body: (TestServer, RemoteDispatcher) async throws -> Void
    ) async throws {
        let server = try await TestServer.start()
        try await withDispatcher(
            to: "http://127.0.0.1:\(server.port)\(path)", transforms: transforms, target: change, connections: adjust
        ) { try await body(server, $0) }
        try await server.stop()
    }

    @Test("a request arrives byte for byte, and its answer comes back with usage, type and endpoint")
    func answered() async throws {
        try await withServer(path: "/base/") { server, dispatcher in
            let started = Mailbox<Bool>()
            let text = #"{ "model" : "m", "big": 12345678901234567890 }"#
            async let outcome = dispatcher.perform(request(text)) { started.put(true) }
            let arrival = await server.arrivals.next()
            #expect(await started.next())
            #expect(arrival.text == text)
            #expect(arrival.head.method == .POST && arrival.head.uri == "/base/v1/chat/completions")
            #expect(arrival.header("content-type") == "application/json")
            #expect(arrival.header("host") == "127.0.0.1:\(server.port)")
            arrival.answer(
                #"{"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
                ["content-type": "application/json; charset=utf-8", "x-weir-endpoint": "e:1"])
            let response = try answer(await outcome)
            #expect(response.statusCode == 200 && response.endpoint == "e:1")
            #expect(response.usage == TokenUsage(promptTokens: 3, completionTokens: 4))
            #expect(response.contentType == "application/json; charset=utf-8")
            #expect(response.body.count == 51)
        }
    }

    @Test("a refusal comes back with its Retry-After and its reason", arguments: [429, 503])
    func refused(status: Int) async throws {
        try await withServer { server, dispatcher in
            async let outcome = dispatcher.perform(request()) {}
            await server.arrivals.next().answer(
                "{}", status: status, ["retry-after": "7", "x-llm-d-request-dropped-reason": "rejected-saturated"])
            let response = try answer(await outcome)
            #expect(response.statusCode == status && response.retryAfter == .seconds(7))
            #expect(response.dropReason == "rejected-saturated")
        }
    }

    @Test("a Retry-After may be a date, and a date in the past asks for no wait")
    func retryDate() async throws {
        try await withServer { server, dispatcher in
            for (date, isWait) in [("Fri, 01 Jan 2100 00:00:00 GMT", true), ("Thu, 01 Jan 1998 00:00:00 GMT", false)] {
                async let outcome = dispatcher.perform(request()) {}
                await server.arrivals.next().answer("{}", status: 503, ["retry-after": date])
                let wait = try #require(await outcome.response?.retryAfter)
                #expect((wait > .zero) == isWait)
            }
        }
    }

    @Test("a redirect is an answer and is not followed")
    func redirect() async throws {
        try await withServer { server, dispatcher in
            async let outcome = dispatcher.perform(request()) {}
            await server.arrivals.next().answer("", status: 307, ["location": "http://127.0.0.1:\(server.port)/other"])
            #expect(await outcome.response?.statusCode == 307)
            #expect(server.arrivals.count == 0)
        }
    }

    @Test("a gateway that ended the request for others says so", arguments: ["evicted", "evicted-priority"])
    func evicted(reason: String) async throws {
        try await withServer { server, dispatcher in
            async let outcome = dispatcher.perform(request()) {}
            await server.arrivals.next().answer("{}", status: 503, ["x-llm-d-request-dropped-reason": reason])
            #expect(await outcome == .evicted)
        }
    }

    @Test("an event stream that ends in an error event is a failure, one without is an answer with its usage")
    func streams() async throws {
        try await withServer { server, dispatcher in
            let type: HTTPHeaders = ["content-type": "text/event-stream"]
            async let failed = dispatcher.perform(request()) {}
            await server.arrivals.next().answer("data: {\"error\":{\"message\":\"x\"}}\n\n", type)
            #expect(await failed == .failed(.errorInAnswer, endpoint: nil))
            async let good = dispatcher.perform(request()) {}
            await server.arrivals.next().answer(
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
                type)
            #expect(await good.response?.usage == TokenUsage(promptTokens: 1, completionTokens: 2))
        }
    }

    @Test("nobody listens: the request was not sent and did not start")
    func connectionRefused() async throws {
        let port = try await TestServer.unusedPort()
        try await withDispatcher(to: "http://127.0.0.1:\(port)") { dispatcher in
            let started = Mailbox<Bool>()
            let outcome = await dispatcher.perform(request()) { started.put(true) }
            #expect(outcome == .failed(.connectFailed, endpoint: "127.0.0.1:\(port)"))
            #expect(started.count == 0)
        }
    }

    @Test("a connection that breaks before or within the answer is lost, and nothing is sent a second time")
    func connectionLost() async throws {
        try await withServer { server, dispatcher in
            async let first = dispatcher.perform(request()) {}
            await server.arrivals.next().hangUp()
            #expect(await first == .failed(.connectionLost, endpoint: "127.0.0.1:\(server.port)"))
            async let second = dispatcher.perform(request()) {}
            let arrival = await server.arrivals.next()
            arrival.begin(200, ["content-length": "100"])
            arrival.send("half")
            arrival.hangUp()
            #expect(await second == .failed(.connectionLost, endpoint: "127.0.0.1:\(server.port)"))
            #expect(server.arrivals.count == 0)
        }
    }

    @Test("an answer that is too long, announced or not, ends the request and its connection")
    func tooLong() async throws {
        try await withServer(target: { $0.maximumAnswerBytes = 1000 }) { server, dispatcher in
            for announces in [true, false] {
                async let outcome = dispatcher.perform(request()) {}
                let arrival = await server.arrivals.next()
                arrival.begin(200, announces ? ["content-length": "1001"] : ["transfer-encoding": "chunked"])
                arrival.send(String(repeating: "x", count: announces ? 1 : 1001))
                #expect(await outcome == .failed(.answerTooLong, endpoint: "127.0.0.1:\(server.port)"))
                try await arrival.closed()
            }
            async let outcome = dispatcher.perform(request()) {}
            await server.arrivals.next().answer(String(repeating: "x", count: 1000), ["content-type": "text/plain"])
            #expect(await outcome.response?.body.count == 1000)
        }
    }

    @Test("cancelling hangs up at the server, before and within the answer")
    func cancelled() async throws {
        try await withServer { server, dispatcher in
            for begins in [false, true] {
                let task = Task { await dispatcher.perform(request()) {} }
                let arrival = await server.arrivals.next()
                if begins {
                    arrival.begin(200, ["transfer-encoding": "chunked"])
                    arrival.send("some")
                }
                task.cancel()
                #expect(await task.value == .withdrawn)
                try await arrival.closed()
            }
        }
    }

    @Test("cancelling takes back a request that waits for a connection")
    func cancelledWaiting() async throws {
        try await withServer(connections: { $0.maximumConnections = 1 }) { server, dispatcher in
            async let running = dispatcher.perform(request()) {}
            let arrival = await server.arrivals.next()
            let started = Mailbox<Bool>()
            let waiting = Task { await dispatcher.perform(request()) { started.put(true) } }
            waiting.cancel()
            #expect(await waiting.value == .withdrawn)
            #expect(started.count == 0)
            arrival.answer("{}")
            #expect(await running.response?.statusCode == 200)
            #expect(server.arrivals.count == 0)
        }
    }

    @Test("as many requests run at a time as are configured, far beyond the client library's 8")
    func concurrency() async throws {
        try await withServer(connections: { $0.maximumConnections = 100 }) { server, dispatcher in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<100 { group.addTask { try answer(await dispatcher.perform(request()) {}).statusCode } }
                var arrivals: [Arrival] = []
                for _ in 0..<100 { arrivals.append(await server.arrivals.next()) }
                for arrival in arrivals { arrival.answer("{}") }
                for try await status in group { #expect(status == 200) }
            }
            #expect(server.clients.count == 100)
        }
    }

    @Test("once the connections are closed, requests fail at once")
    func closed() async throws {
        let connections = try GatewayConnections()
        let target = RemoteTarget(url: try GatewayURL("http://127.0.0.1:1"))
        let dispatcher = try RemoteDispatcher(target: target, connections: connections)
        await connections.close()
        #expect(await dispatcher.perform(request()) {} == .failed(.connectFailed, endpoint: "127.0.0.1:1"))
    }

    @Test("a message past its deadline is not sent")
    func late() async throws {
        try await withServer { server, dispatcher in
            #expect(await dispatcher.perform(request(deadlineIn: .seconds(-1))) {} == .withdrawn)
            #expect(server.clients.count == 0)
        }
    }

    @Test(
        "a path that could lead elsewhere is the message's fault and is not sent",
        arguments: [
            "/../admin", "/v1/%2e%2E/x", "/v1/..%2fx", "\\\\host", "/v1/a b", "/v1/x#y", "/v1/\u{e9}", "/a/%zz",
        ])
    func paths(path: String) async throws {
        try await withServer { server, dispatcher in
            let response = try answer(await dispatcher.perform(request(path: path)) {})
            #expect(response.statusCode == 400)
            #expect(String(decoding: response.body, as: UTF8.self).contains("path"))
            #expect(server.clients.count == 0)
        }
    }

    @Test("a path stays on the host and below the base, whatever it looks like")
    func joined() async throws {
        try await withServer(path: "/base") { server, dispatcher in
            for (path, target) in [
                ("//evil.example/v1", "/base/evil.example/v1"), ("http://evil.example/", "/base/http://evil.example/"),
                ("v1/completions?x=1", "/base/v1/completions?x=1"), ("@evil.example/", "/base/@evil.example/"),
            ] {
                async let outcome = dispatcher.perform(request(path: path)) {}
                let arrival = await server.arrivals.next()
                #expect(arrival.head.uri == target)
                #expect(arrival.header("host") == "127.0.0.1:\(server.port)")
                arrival.answer("{}")
                #expect(await outcome.response?.statusCode == 200)
            }
        }
    }
}

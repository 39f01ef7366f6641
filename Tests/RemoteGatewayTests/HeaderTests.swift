import Basics
import Delivery
import NIOHTTP1
import RemoteGateway
import Testing

@Suite("Headers of remote requests", .timeLimit(.minutes(1)))
struct HeaderTests {
    /// The headers that a request arrives with.
    private func headers(
        of messageHeaders: [String: String] = [:], metadata: [String: String] = [:], tenant: String = "",
        stamps: [String: String] = [:], deadlineIn: TimeSpan = .seconds(600),
        target change: (inout RemoteTarget) -> Void = { _ in }
    ) async throws -> HTTPHeaders {
        let server = try await TestServer.start()
        var headers = HTTPHeaders()
        try await withDispatcher(to: "http://127.0.0.1:\(server.port)", target: change) { dispatcher in
            async let outcome = dispatcher.perform(
                request(
                    headers: messageHeaders, metadata: metadata, tenant: tenant, stamps: stamps, deadlineIn: deadlineIn)
            ) {}
            let arrival = await server.arrivals.next()
            headers = arrival.head.headers
            arrival.answer("{}")
            _ = try answer(await outcome)
        }
        try await server.stop()
        return headers
    }

    @Test("a producer's own headers pass, those that steer, frame or authenticate do not")
    func producers() async throws {
        let sent = try await headers(of: [
            "X-Custom": "1", "Content-Type": "text/plain", "Host": "evil", "Content-Length": "3", "Connection": "close",
            "Transfer-Encoding": "chunked", "Authorization": "Bearer stolen", "X-LLM-D-Inference-Objective": "top",
            "x-gateway-inference-objective": "top", "x-weir-mode": "enqueue", "x-slo-ttft-ms": "1",
            "traceparent": "forged",
        ])
        #expect(sent["x-custom"] == ["1"])
        #expect(sent["content-type"] == ["text/plain"])
        #expect(sent["content-length"] == ["\(smallBody.utf8.count)"])
        for name in [
            "authorization", "x-llm-d-inference-objective", "x-gateway-inference-objective", "x-weir-mode",
            "x-slo-ttft-ms",
            "traceparent", "transfer-encoding",
        ] {
            #expect(sent[name].isEmpty, "\(name)")
        }
        #expect(sent["host"].first?.hasPrefix("127.0.0.1") == true)
    }

    @Test("an allow-list lets only its names pass, and the content type")
    func allowList() async throws {
        let sent = try await headers(of: ["x-a": "1", "x-b": "2", "content-type": "text/plain"]) {
            $0.producerHeaders = ProducerHeaderRule(names: ["X-A"])
        }
        #expect(sent["x-a"] == ["1"] && sent["x-b"].isEmpty && sent["content-type"] == ["text/plain"])
    }

    @Test("a producer's credentials pass only where that is configured, and never instead of the target's own")
    func credentials() async throws {
        let own = try await headers(of: ["authorization": "Bearer user"]) {
            $0.producerHeaders = ProducerHeaderRule(passesAuthorization: true)
        }
        #expect(own["authorization"] == ["Bearer user"])
        let both = try await headers(of: ["Authorization": "Bearer user", "x-api": "theirs"]) {
            $0.producerHeaders = ProducerHeaderRule(passesAuthorization: true)
            $0.token = BearerToken("configured")
            $0.headers = [("X-Api", "ours")]
        }
        #expect(both["authorization"] == ["Bearer configured"] && both["x-api"] == ["ours"])
    }

    @Test("the objective goes out under both names, or under the newer one alone")
    func objective() async throws {
        let both = try await headers { $0.objective = "batch" }
        #expect(both["x-llm-d-inference-objective"] == ["batch"] && both["x-gateway-inference-objective"] == ["batch"])
        let newer = try await headers {
            $0.objective = "batch"
            $0.sendsOlderNames = false
        }
        #expect(newer["x-llm-d-inference-objective"] == ["batch"] && newer["x-gateway-inference-objective"].isEmpty)
    }

    @Test("what the process stamps on a request goes out in place of all else under its name, in any case")
    func stamps() async throws {
        let sent = try await headers(
            of: ["X-Lane": "0", "x-api": "theirs"], stamps: ["x-lane": "5", "X-API": "stamped"]
        ) { $0.headers = [("x-api", "ours")] }
        #expect(sent["x-lane"] == ["5"] && sent["x-api"] == ["stamped"])
    }

    @Test("a stamped objective replaces the target's under both names")
    func stampedObjective() async throws {
        for name in ["X-LLM-D-Inference-Objective", "x-gateway-inference-objective"] {
            let both = try await headers(stamps: [name: "spare"]) { $0.objective = "batch" }
            #expect(both["x-llm-d-inference-objective"] == ["spare"])
            #expect(both["x-gateway-inference-objective"] == ["spare"])
        }
        let newer = try await headers(stamps: ["x-llm-d-inference-objective": "spare"]) {
            $0.objective = "batch"
            $0.sendsOlderNames = false
        }
        #expect(newer["x-llm-d-inference-objective"] == ["spare"] && newer["x-gateway-inference-objective"].isEmpty)
    }

    @Test("a stamp that would break the request is left out")
    func illegalStamps() async throws {
        let sent = try await headers(stamps: ["a b": "1", "x-y": "1\r\nevil: 1", "Content-Length": "1", "x-z": "1"])
        #expect(sent["x-y"].isEmpty && sent["evil"].isEmpty && sent["x-z"] == ["1"])
        #expect(sent["content-length"] == ["\(smallBody.utf8.count)"])
    }

    @Test("the fairness id is the metadata's, else the tenant; never too long, illegal, or the producer's header")
    func fairness() async throws {
        let name = "x-llm-d-inference-fairness-id"
        let long = String(repeating: "x", count: 257)
        let cases: [(headers: [String: String], metadata: [String: String], attribute: String, expected: [String])] = [
            ([:], ["userid": "u"], "userid", ["u"]), ([:], [:], "userid", ["t"]),
            ([name: "forged"], [:], "userid", ["t"]),
            ([:], ["userid": long], "userid", ["t"]), ([:], ["userid": "a\r\nevil: 1"], "userid", ["t"]),
            ([:], ["userid": "u"], "", []), ([:], ["team": "a"], "team", ["a"]),
        ]
        for (headers, metadata, attribute, expected) in cases {
            let sent = try await self.headers(of: headers, metadata: metadata, tenant: "t") {
                $0.fairnessAttribute = attribute
            }
            #expect(sent[name] == expected)
        }
        let nobody = try await headers(of: [name: "forged"])
        #expect(nobody[name].isEmpty)
    }

    @Test("the time to the deadline goes along, in milliseconds, and so does the trace of the metadata")
    func deadlineAndTrace() async throws {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        let sent = try await headers(
            metadata: ["traceparent": trace, "tracestate": "a=1", "baggage": "k=v", "other": "x"],
            deadlineIn: .seconds(100))
        let text = try #require(sent["x-llm-d-inference-ttl"].first)
        #expect(text.hasSuffix("ms"))
        let milliseconds = try #require(Int(text.dropLast(2)))
        #expect((90_000...100_000).contains(milliseconds))
        #expect(sent["traceparent"] == [trace] && sent["tracestate"] == ["a=1"] && sent["baggage"] == ["k=v"])
        #expect(sent["other"].isEmpty)
    }

    @Test("a header that would break the request is the message's fault", arguments: ["a b", "x:y", ""])
    func illegal(name: String) async throws {
        try await withDispatcher(to: "http://127.0.0.1:1") { dispatcher in
            let response = try answer(await dispatcher.perform(request(headers: [name: "v"])) {})
            #expect(response.statusCode == 400)
            let injected = try answer(await dispatcher.perform(request(headers: ["x": "v\r\nevil: 1"])) {})
            #expect(injected.statusCode == 400)
        }
    }

    @Test("configured headers are checked, and secrets are in no description")
    func configured() throws {
        let url = try GatewayURL("http://127.0.0.1:1")
        let connections = try GatewayConnections()
        for (name, value) in [("a b", "v"), ("x", "v\n"), ("Host", "h"), ("content-length", "1")] {
            var target = RemoteTarget(url: url)
            target.headers = [(name, value)]
            #expect(throws: RemoteGatewayError.badHeader(name: name)) {
                try RemoteDispatcher(target: target, connections: connections)
            }
        }
        var target = RemoteTarget(url: url)
        target.token = BearerToken("s3cret")
        target.headers = [("x-api-key", "s3cret")]
        var dumped = ""
        dump(target.token, to: &dumped)
        for text in ["\(target)", "\(String(describing: target.token))", String(reflecting: target.token), dumped] {
            #expect(!text.contains("s3cret"))
        }
        Task { await connections.close() }
    }

    @Test(
        "a gateway's URL that is none is refused",
        arguments: [
            "", "ftp://h", "http://", "http:/h", "http://u:p@h", "http://h?q", "http://h/../x", "http://h:0",
            "http://h:99999",
            "http://[::1", "http://h o", "//h",
        ])
    func urls(text: String) {
        #expect(throws: RemoteGatewayError.self) { try GatewayURL(text) }
    }

    @Test(
        "a gateway's URL is kept without its last slash",
        arguments: [
            ("http://h", "http://h"), ("https://h:8443/a/", "https://h:8443/a"),
            ("HTTP://[::1]:80/", "http://[::1]:80"),
        ])
    func goodURLs(text: String, normal: String) throws {
        #expect(try GatewayURL(text).description == normal)
    }
}

import Basics
import Delivery
import EmbeddedQueue
import Gateway
import MessageQueues
import NIOHTTP1
import Testing

@Suite(.timeLimit(.minutes(5))) struct TenantTests {
    private static let tenants = [
        Tenant(name: "a", keys: ["key-of-a-0123456789"]), Tenant(name: "b", keys: ["key-of-b-0123456789"]),
    ]
    private static let a = "Authorization: Bearer key-of-a-0123456789"
    private static let b = "Authorization: Bearer key-of-b-0123456789"

    @Test func nothingIsServedWithoutAKey() async throws {
        try await TestDoor.with({ $0.tenants = Self.tenants }) { door in
            for headers in [[], ["Authorization: Bearer wrong"], ["X-Weir-Tenant: a"]] {
                for (method, target) in [
                    ("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/requests"),
                    ("GET", "/v1/anything"), ("OPTIONS", "/v1/anything"),
                ] {
                    let body = method == "POST" ? chat : nil
                    let response = try await door.send(method, target, headers, body: body)
                    #expect(response.status == 401, "\(method) \(target)")
                    #expect(try response.errorCode() == "invalid_api_key")
                    #expect(response.headers["www-authenticate"] == "Bearer")
                    #expect(!response.body.contains("wrong"))
                }
            }
            #expect(try await door.submit("enqueue").status == 401)
            #expect(try await door.send("GET", "/health").status == 200)
            #expect(try await door.send("GET", "/v1/models", [Self.a]).status == 200)
            #expect(door.upstream.requests.count == 0)
            #expect(try await door.queue.depth().unfinished == 0)
        }
    }

    @Test func aKeyIsForWeirAlone() async throws {
        try await TestDoor.with({ $0.tenants = Self.tenants }) { door in
            let headers = [
                Self.a, "X-Weir-Mode: passthrough", "X-Weir-Anything: 1", "X-AP-Mode: passthrough", "X-Other: 2",
            ]
            let response = try await door.send("POST", "/v1/chat/completions", headers, body: chat)
            #expect(response.status == 200)
            let sent = await door.upstream.requests.next().headers
            #expect(!sent.contains(name: "authorization"))
            for name in ["x-weir-mode", "x-weir-anything", "x-ap-mode"] { #expect(!sent.contains(name: name)) }
            #expect(sent.first(name: "x-other") == "2")
            #expect(await door.observer.records.next().fairnessID == "a")
        }
    }

    @Test func withoutTenantsCredentialsPassAndControlsDoNot() async throws {
        try await TestDoor.with({ $0.callersAreTrusted = true }) { door in
            let headers = [
                "Authorization: Bearer theirs", "X-Weir-Tenant: t", "x-llm-d-inference-objective: batch",
                "X-Weir-Mode: realtime",
            ]
            let response = try await door.send("POST", "/v1/chat/completions", headers, body: chat)
            #expect(response.status == 200)
            let sent = await door.upstream.requests.next().headers
            #expect(sent.first(name: "authorization") == "Bearer theirs")
            // Other control headers of a trusted caller are for those behind the gateway too.
            #expect(sent.first(name: "x-llm-d-inference-objective") == "batch")
            #expect(!sent.contains(name: "x-weir-tenant"))
            #expect(!sent.contains(name: "x-weir-mode"))
            #expect(await door.observer.records.next().fairnessID == "t")
        }
    }

    @Test func aTrustedCallersFairnessIDCounts() async throws {
        try await TestDoor.with({ options in
            options.tenants = Self.tenants
            options.callersAreTrusted = true
        }) { door in
            let headers = [Self.a, "x-llm-d-inference-fairness-id: flow"]
            let response = try await door.send("POST", "/v1/chat/completions", headers, body: chat)
            #expect(response.status == 200)
            #expect(await door.observer.records.next().fairnessID == "flow")
        }
    }

    @Test func theRequestsOfOthersDoNotExist() async throws {
        try await TestDoor.with({ $0.tenants = Self.tenants }) { door in
            let id = try await door.enqueue([Self.a, "Idempotency-Key: k"])
            #expect(try await door.lease().message.tenant == "a")
            for method in ["GET", "DELETE"] {
                let response = try await door.send(method, "/v1/requests/\(id)", [Self.b])
                #expect(response.status == 404)
                // The same as for an id that nobody has, but for the id.
                let unknown = try await door.send(method, "/v1/requests/req_0", [Self.b])
                #expect(response.body.replacing(id, with: "") == unknown.body.replacing("req_0", with: ""))
            }
            let listing = try await door.send("GET", "/v1/requests", [Self.b]).object()
            #expect((listing["data"] as? [Any])?.isEmpty == true)
            #expect(try await door.send("GET", "/v1/requests?after=\(id)", [Self.b]).status == 400)
            #expect(try await door.send("GET", "/v1/requests/\(id)", [Self.a]).status == 200)

            // The same key of another tenant is another request, with whatever body.
            let other = try await door.enqueue([Self.b, "Idempotency-Key: k"], body: #"{"model":"n"}"#)
            #expect(other != id)
            #expect(try await door.queue.request(other, tenant: "b") != nil)
        }
    }

    @Test func aTrustedCallerNamesTheTenant() async throws {
        try await TestDoor.with({ $0.callersAreTrusted = true }) { door in
            let id = try await door.enqueue(["X-Weir-Tenant: t"])
            #expect(try await door.queue.request(id, tenant: "t") != nil)
            #expect(try await door.send("GET", "/v1/requests/\(id)").status == 404)
            #expect(try await door.send("GET", "/v1/requests/\(id)", ["X-Weir-Tenant: t"]).status == 200)
        }
    }

    @Test(arguments: [true, false])
    func withTenantsATrustedCallerSpeaksForThemOnlyIfTheOperatorSaysSo(isAccepted: Bool) async throws {
        try await TestDoor.with({ options in
            options.tenants = Self.tenants
            options.callersAreTrusted = true
            options.acceptsTenantHeader = isAccepted
        }) { door in
            let id = try await door.enqueue([Self.a])
            let read = try await door.send("GET", "/v1/requests/\(id)", ["X-Weir-Tenant: a"])
            #expect(read.status == (isAccepted ? 200 : 401))
            #expect(try await door.submit("enqueue", ["X-Weir-Tenant: b"]).status == (isAccepted ? 202 : 401))
            #expect(try await door.submit("enqueue", ["X-Weir-Tenant: unknown"]).status == 401)
            #expect(try await door.send("GET", "/v1/models", ["X-Weir-Tenant: a"]).status == (isAccepted ? 200 : 401))
        }
    }

    @Test func nobodyElseDoes() async throws {
        try await TestDoor.with { door in
            let id = try await door.enqueue(["X-Weir-Tenant: t"])
            #expect(try await door.queue.request(id, tenant: "") != nil)
            #expect(try await door.send("GET", "/v1/requests/\(id)", ["X-Weir-Tenant: t"]).status == 200)
        }
    }
}

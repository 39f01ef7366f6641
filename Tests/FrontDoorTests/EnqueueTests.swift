import Basics
import Delivery
import EmbeddedQueue
import Gateway
import MessageQueues
import Testing

@Suite(.timeLimit(.minutes(5))) struct EnqueueTests {
    @Test func anEnqueuedRequestIsStoredRunAndFetched() async throws {
        try await TestDoor.with { door in
            let body = #" {"model":"m" , "messages":[{"role":"user","content":"é"}]}"#
            let accepted = try await door.submit(
                "enqueue", ["X-Weir-Deadline: 2h", "X-Weir-Metadata-Row: 7", "X-Weir-Priority: -3"], body: body)
            #expect(accepted.status == 202)
            #expect(accepted.headers["content-type"] == "application/json")
            let id = try #require(accepted.headers["x-weir-request-id"])
            #expect(id.wholeMatch(of: /req_[0-9a-f]{32}/) != nil)
            #expect(accepted.headers["location"] == "/v1/requests/\(id)")
            let receipt = try accepted.object()
            #expect(receipt["id"] as? String == id)
            #expect(receipt["object"] as? String == "request")
            #expect(receipt["status"] as? String == "queued")
            let created = try #require(receipt["created_at"] as? Double)
            #expect(receipt["deadline"] as? Double == created + 7200)

            let waiting = try await door.send("GET", "/v1/requests/\(id)")
            #expect(waiting.status == 200)
            #expect(try waiting.object()["status"] as? String == "queued")
            #expect(try waiting.object()["ahead"] as? Int == 0)

            let leased = try await door.lease()
            #expect(leased.message.id == id)
            #expect(leased.message.payload == Array(body.utf8))
            #expect(leased.message.path == "/v1/chat/completions")
            #expect(leased.message.model == "m")
            #expect(leased.message.metadata == ["row": "7"])
            #expect(leased.message.priority == -3)
            #expect(try await door.send("GET", "/v1/requests/\(id)").object()["status"] as? String == "running")

            try await door.finish(leased)
            let finished = try await door.send("GET", "/v1/requests/\(id)").object()
            #expect(finished["status"] as? String == "succeeded")
            #expect(finished["attempts"] as? Int == 1)
            #expect(finished["finished_at"] is Double)
            let result = try #require(finished["result"] as? [String: Any])
            #expect(result["status_code"] as? Int == 200)
            #expect((result["body"] as? [String: Any])?.keys.contains("choices") == true)
            #expect(door.upstream.requests.count == 0)
        }
    }

    @Test func anAcceptedRequestIsInTheFile() async throws {
        try await TestDoor.with { door in
            let id = try await door.enqueue()
            let other = try EmbeddedQueue(EmbeddedQueue.Configuration(path: door.queuePath), role: .client)
            #expect(try await other.request(id, tenant: "")?.state == .queued)
            try other.close()
        }
    }

    @Test func theOlderHeaderMeansTheSame() async throws {
        try await TestDoor.with { door in
            let response = try await door.send("POST", "/v1/completions", ["X-AP-Mode: enqueue"], body: chat)
            #expect(response.status == 202)
            #expect(try await door.lease().message.path == "/v1/completions")
        }
    }

    @Test func oneKeyIsOneRequest() async throws {
        try await TestDoor.with { door in
            let first = try await door.enqueue(["Idempotency-Key: k 1"])
            let again = try await door.submit("enqueue", ["Idempotency-Key: k 1", "X-Weir-Deadline: 1h"])
            #expect(again.status == 202)
            #expect(try again.object()["id"] as? String == first)
            #expect(try await door.queue.depth().unfinished == 1)

            let other = try await door.submit(
                "enqueue", ["Idempotency-Key: k 1"], body: #"{"model":"m","messages":[1]}"#)
            #expect(other.status == 409)
            #expect(try other.errorCode() == "idempotency_conflict")
            let otherPath = try await door.send(
                "POST", "/v1/completions", ["X-Weir-Mode: enqueue", "Idempotency-Key: k 1"], body: chat)
            #expect(otherPath.status == 409)

            try await door.finish(try await door.lease())
            let after = try await door.submit("enqueue", ["Idempotency-Key: k 1"])
            #expect(after.status == 200)
            #expect(try after.object()["status"] as? String == "succeeded")
            #expect(try after.object()["result"] != nil)
            #expect(try await door.enqueue(["Idempotency-Key: k 2"]) != first)
            #expect(try await door.enqueue() != door.enqueue())
        }
    }

    @Test(arguments: [
        ("", "{\"model\":", 400, "invalid_json"), ("", "{}", 400, "missing_model"),
        ("X-Weir-Deadline: 0", chat, 400, "invalid_value"),
        ("X-Weir-Deadline: 2020-01-01T00:00:00Z", chat, 400, "invalid_value"),
        ("X-Weir-Priority: 1", chat, 403, "forbidden"), ("X-Weir-Priority: x", chat, 400, "invalid_value"),
        ("X-Weir-Webhook: https://other.example/", chat, 400, "invalid_value"),
        ("Idempotency-Key: " + String(repeating: "k", count: 256), chat, 400, "invalid_value"),
    ])
    func whatCannotBeQueuedIsRefused(header: String, body: String, status: Int, code: String) async throws {
        try await TestDoor.with { door in
            let response = try await door.submit("enqueue", header.isEmpty ? [] : [header], body: body)
            #expect(response.status == status)
            #expect(try response.errorCode() == code)
            #expect(try await door.queue.depth().unfinished == 0)
        }
    }

    @Test func anUnknownModeIsRefused() async throws {
        try await TestDoor.with { door in
            let response = try await door.submit("later")
            #expect(response.status == 400)
            #expect(try response.errorCode() == "invalid_value")
            let get = try await door.send("GET", "/v1/files", ["X-Weir-Mode: enqueue"])
            #expect(get.status == 405)
            #expect(get.headers["allow"] == "POST")
            #expect(door.upstream.requests.count == 0)
        }
    }

    @Test func aTrustedCallerMayComeFirst() async throws {
        try await TestDoor.with({ $0.callersAreTrusted = true }) { door in
            _ = try await door.enqueue()
            let urgent = try await door.enqueue(["X-Weir-Priority: 9", "X-Weir-Webhook: https://allowed.example/x"])
            let leased = try await door.lease()
            #expect(leased.message.id == urgent)
            #expect(leased.message.webhook == "https://allowed.example/x")
        }
    }

    @Test func bodiesAreBounded() async throws {
        try await TestDoor.with({ options in
            options.limits.requestBodyBytes = 1000
            options.limits.bufferedBodyBytes = 600
        }) { door in
            let announced = try await door.submit(body: String(repeating: " ", count: 1001))
            #expect(announced.status == 413)
            #expect(try announced.errorCode() == "body_too_large")

            let chunked = try await door.connect()
            chunked.send("POST", "/v1/chat/completions", ["X-Weir-Mode: enqueue", "Transfer-Encoding: chunked"])
            // Together they are too much for the budget, though the first is not.
            chunked.send("1F4\r\n" + String(repeating: " ", count: 500) + "\r\n")
            chunked.send("1F4\r\n" + String(repeating: " ", count: 500) + "\r\n")
            let refused = try #require(await chunked.readResponse())
            #expect(refused.status == 429)
            #expect(refused.headers["retry-after"] != nil)
            #expect(refused.body.contains("as many bytes of request bodies as it may"))
            #expect(refused.headers["connection"] == "close")
            chunked.close()

            _ = try await door.enqueue()
            #expect(door.gateway.status().heldBodyBytes == 0)
            #expect(door.gateway.status().requests == 0)
        }
    }

    @Test func aFullQueueAsksToComeAgain() async throws {
        let failures = Mailbox<String>()
        try await TestDoor.with({ options in
            options.queue = { $0.maximumFileBytes = 1 }
            options.failures = { error, _ in failures.put("\(error)") }
        }) { door in
            let response = try await door.submit()
            #expect(response.status == 429)
            #expect(try response.errorCode() == "queue_full")
            #expect(response.headers["retry-after"] != nil)
            #expect(!response.body.contains(door.queuePath))
            #expect(await failures.next().contains(door.queuePath))
            // The log is told once, however many come.
            for _ in 0..<3 { #expect(try await door.submit().status == 429) }
            #expect(failures.count == 0)
        }
    }

    @Test func aMessageThatTheQueueDoesNotTakeIsTooLarge() async throws {
        try await TestDoor.with({ $0.queue = { $0.maximumPayloadBytes = 10 } }) { door in
            let response = try await door.submit()
            #expect(response.status == 413)
            #expect(response.body.contains("10 bytes"))
        }
    }

    @Test func aQueueThatIsGoneIsUnavailable() async throws {
        try await TestDoor.with { door in
            try door.queue.close()
            for response in [
                try await door.submit(), try await door.submit("wait"), try await door.send("GET", "/v1/requests/x"),
            ] {
                #expect(response.status == 503)
                #expect(try response.errorCode() == "queue_unavailable")
                #expect(response.headers["retry-after"] != nil)
            }
        }
    }

    @Test func aClientThatAsksFirstIsToldToGoOn() async throws {
        try await TestDoor.with { door in
            let client = try await door.connect()
            client.send(
                "POST", "/v1/chat/completions",
                ["X-Weir-Mode: enqueue", "Expect: 100-continue", "Content-Length: \(chat.utf8.count)"])
            #expect(await client.readResponse()?.status == 100)
            client.send(chat)
            #expect(await client.readResponse()?.status == 202)
            client.close()
        }
    }

    @Test func onAConnectionRequestsOfAllKindsTakeTurns() async throws {
        try await TestDoor.with { door in
            let client = try await door.connect()
            client.send("POST", "/v1/chat/completions", ["X-Weir-Mode: enqueue"], body: chat)
            client.send("POST", "/v1/chat/completions", body: chat)
            client.send("GET", "/v1/requests")
            client.send("GET", "/health")
            #expect(await client.readResponse()?.status == 202)
            #expect(await client.readResponse()?.body == "{}")
            #expect(try #require(await client.readResponse()).object()["object"] as? String == "list")
            #expect(await client.readResponse()?.status == 200)
            client.close()
        }
    }

    @Test func withoutAQueueItIsSaidSo() async throws {
        try await TestDoor.with({ $0.hasQueue = false }) { door in
            let listing = try await door.send("GET", "/v1/requests")
            #expect(listing.status == 404)
            #expect(try listing.errorCode() == "not_found")
            #expect(listing.body.contains("No queue is configured"))
            for mode in ["enqueue", "wait"] {
                let response = try await door.submit(mode)
                #expect(response.status == 400)
                #expect(response.body.contains("No queue is configured"))
            }
            for mode in ["passthrough", "realtime"] { #expect(try await door.submit(mode).body == "{}") }
        }
    }
}

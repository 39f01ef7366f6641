import Basics
import Delivery
import EmbeddedQueue
import FrontDoor
import InferenceAPI
import MessageQueues
import Testing

@testable import Gateway

@Suite(.timeLimit(.minutes(5))) struct WaitTests {
    /// Submits with the mode `wait` and returns when the request is in the consumer's hands.
    private func held(
        _ door: TestDoor, _ headers: [String] = [], body: String = chat
    ) async throws -> (client: TestClient, leased: LeasedMessage) {
        let client = try await door.connect()
        client.send("POST", "/v1/chat/completions", ["X-Weir-Mode: wait"] + headers, body: body)
        return (client, try await door.lease())
    }

    @Test(arguments: [
        (200, "application/json", #"{"id":"chatcmpl-1","choices":[]}"#),
        (200, "text/event-stream", "data: {\"choices\":[]}\n\ndata: [DONE]\n\n"),
        (400, "application/json", #"{"error":{"message":"no"}}"#),
    ])
    func theResultIsTheAnswer(status: Int, type: String, body: String) async throws {
        try await TestDoor.with { door in
            let (client, leased) = try await held(door, body: #"{"model":"m","stream":true,"messages":[]}"#)
            #expect(door.frontDoor.waitingCount == 1)
            try await door.finish(leased) { result in
                result.statusCode = status
                result.contentType = type
                result.payload = Array(body.utf8)
            }
            let response = try #require(await client.readResponse())
            #expect(response.status == status)
            #expect(response.headers["content-type"] == type)
            #expect(response.headers["x-weir-request-id"] == leased.message.id)
            #expect(response.headers["x-should-retry"] == (status < 400 ? nil : "false"))
            #expect(response.body == body)
            // The connection is still good, and the result can be had again.
            client.send("GET", "/v1/requests/\(leased.message.id)")
            #expect(await client.readResponse()?.status == 200)
            client.close()
            let record = await door.observer.records.next()
            #expect(record.status == status)
            #expect(record.model == "m")
            #expect(record.isLocal)
            #expect(record.queuedRequestID == leased.message.id)
            #expect(record.endpoint == nil)
        }
    }

    @Test func bytesThatAreNoTextArriveAsTheyWere() async throws {
        try await TestDoor.with { door in
            let (client, leased) = try await held(door)
            try await door.finish(leased) { result in
                result.payload = [0xFF, 0x00, 0x41]
                result.contentType = "audio/mpeg"
            }
            let response = try #require(await client.readResponse())
            #expect(response.headers["content-length"] == "3")
            #expect(response.headers["content-type"] == "audio/mpeg")
            #expect(response.body.hasSuffix("\0A"))
            client.close()
        }
    }

    @Test(
        arguments: [
            (.deadlineExceeded, 504, "deadline_exceeded"), (.inferenceError, 502, "delivery_failed"),
            (.invalidRequest, 502, "delivery_failed"), (.cancelled, 409, "request_cancelled"),
        ] as [(DeliveryErrorCode, Int, String)])
    func aReasonIsToldWhereThereIsNoAnswer(error: DeliveryErrorCode, status: Int, code: String) async throws {
        try await TestDoor.with { door in
            let (client, leased) = try await held(door)
            try await door.finish(leased) { result in
                result.statusCode = nil
                result.payload = nil
                result.contentType = nil
                result.errorCode = error
                result.errorMessage = "why"
            }
            let response = try #require(await client.readResponse())
            #expect(response.status == status)
            #expect(try response.errorCode() == code)
            #expect(response.headers["x-weir-request-id"] == leased.message.id)
            #expect(response.headers["x-should-retry"] == "false")
            client.close()
        }
    }

    @Test(arguments: [
        ("X-Weir-Deadline: 1h", 0.02, "not_finished"), ("X-Weir-Deadline: 20ms", 600, "deadline_exceeded"),
    ])
    func nobodyWaitsBeyondTheDeadlineOrTheLongestWait(
        header: String, longestWait: Double, code: String
    ) async throws {
        try await TestDoor.with({ $0.settings.longestWait = .seconds(longestWait) }) { door in
            let response = try await door.submit("wait", [header])
            #expect(response.status == 504)
            #expect(try response.errorCode() == code)
            let id = try #require(response.headers["x-weir-request-id"])
            if code == "not_finished" { #expect(response.headers["location"] == "/v1/requests/\(id)") }
            #expect(response.body.contains(id))
            #expect(response.headers["x-should-retry"] == "false")
            #expect(try await door.send("GET", "/v1/requests/\(id)").object()["id"] as? String == id)
            #expect(door.frontDoor.waitingCount == 0)
        }
    }

    @Test func aResultForWhichThereIsNoRoomCanBeFetchedLater() async throws {
        try await TestDoor.with { door in
            let (client, leased) = try await held(door)
            let budget = door.gateway.core.resultBudget
            #expect(budget.take(budget.limit))
            try await door.finish(leased)
            let response = try #require(await client.readResponse())
            #expect(response.status == 504)
            #expect(try response.errorCode() == "not_finished")
            #expect(response.headers["x-weir-request-id"] == leased.message.id)
            budget.giveBack(budget.limit)
            let fetched = try await door.send("GET", "/v1/requests/\(leased.message.id)")
            #expect(try fetched.object()["status"] as? String == "succeeded")
            client.close()
        }
    }

    @Test func aClientThatLeavesDoesNotTakeItsRequestAlong() async throws {
        try await TestDoor.with { door in
            let (client, leased) = try await held(door)
            client.close()
            let record = await door.observer.records.next()
            #expect(record.clientLeft)
            #expect(record.status == 499)
            while door.frontDoor.waitingCount > 0 { await Task.yield() }
            #expect(door.gateway.status().requests == 0)
            try await door.finish(leased)
            let response = try await door.send("GET", "/v1/requests/\(leased.message.id)")
            #expect(try response.object()["status"] as? String == "succeeded")
        }
    }

    @Test func whoeverWaitsLearnsOfACancellation() async throws {
        try await TestDoor.with { door in
            let client = try await door.connect()
            client.send("POST", "/v1/chat/completions", ["X-Weir-Mode: wait", "Idempotency-Key: k"], body: chat)
            let id = try await idOfTheOnlyRequest(door)
            #expect(try await door.send("DELETE", "/v1/requests/\(id)").status == 200)
            let response = try #require(await client.readResponse())
            #expect(response.status == 409)
            #expect(try response.errorCode() == "request_cancelled")
            client.close()
        }
    }

    private func idOfTheOnlyRequest(_ door: TestDoor) async throws -> String {
        try await door.queue.waitUntilReady(excluding: [])
        return try #require(try await door.queue.requests(matching: .init(), after: 0, limit: 1).views.first).id
    }

    @Test func oneKeyIsOneRequestForAllWhoWait() async throws {
        try await TestDoor.with { door in
            let (first, leased) = try await held(door, ["Idempotency-Key: k"])
            let second = try await door.connect()
            second.send("POST", "/v1/chat/completions", ["X-Weir-Mode: wait", "Idempotency-Key: k"], body: chat)
            while door.frontDoor.waitingCount < 2 { await Task.yield() }
            try await door.finish(leased)
            for client in [first, second] {
                #expect(await client.readResponse()?.headers["x-weir-request-id"] == leased.message.id)
                client.close()
            }
            let late = try await door.submit("wait", ["Idempotency-Key: k"])
            #expect(late.status == 200)
            #expect(late.headers["x-weir-request-id"] == leased.message.id)
            let conflict = try await door.submit("wait", ["Idempotency-Key: k"], body: #"{"model":"n"}"#)
            #expect(conflict.status == 409)
        }
    }

    @Test func everybodyGetsTheirOwnResult() async throws {
        try await TestDoor.with { door in
            let count = 50
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<count {
                    group.addTask {
                        let body = #"{"model":"m","messages":[],"seed":\#(number)}"#
                        return try await door.submit("wait", body: body).body == "answer to \(body)"
                    }
                }
                for _ in 0..<count {
                    let leased = try await door.lease()
                    try await door.finish(leased) { result in
                        result.payload = Array("answer to ".utf8) + leased.message.payload
                        result.contentType = "text/plain"
                    }
                }
                for try await isRight in group { #expect(isRight) }
            }
            #expect(door.frontDoor.waitingCount == 0)
        }
    }

    @Test func onlySoManyMayWait() async throws {
        try await TestDoor.with({ $0.settings.maxWaiting = 1 }) { door in
            let (client, leased) = try await held(door)
            let refused = try await door.submit("wait")
            #expect(refused.status == 429)
            #expect(refused.headers["retry-after"] != nil)
            #expect(try await door.queue.depth().unfinished == 1)
            try await door.finish(leased)
            #expect(await client.readResponse()?.status == 200)
            client.close()
            let (next, other) = try await held(door)
            try await door.finish(other)
            #expect(await next.readResponse()?.status == 200)
            next.close()
        }
    }

    @Test func aGatewayThatStopsKeepsNobodyWaiting() async throws {
        try await TestDoor.with { door in
            let (client, leased) = try await held(door)
            async let isDrained = door.gateway.drain(timeout: .seconds(30))
            let response = try #require(await client.readResponse())
            #expect(response.status == 504)
            #expect(try response.errorCode() == "not_finished")
            #expect(response.headers["x-weir-request-id"] == leased.message.id)
            #expect(response.headers["connection"] == "close")
            #expect(await isDrained)
            client.close()
        }
    }

    @Test func aRequestThatArrivesWhileTheGatewayStopsIsNotStored() async throws {
        try await TestDoor.with { door in
            let client = try await door.connect()
            client.send(
                "POST", "/v1/chat/completions", ["X-Weir-Mode: wait", "Content-Length: \(chat.utf8.count)"])
            while door.gateway.status().requests == 0 { await Task.yield() }
            async let isDrained = door.gateway.drain(timeout: .seconds(30))
            while !door.gateway.isDraining { await Task.yield() }
            client.send(chat)
            let response = try #require(await client.readResponse())
            #expect(response.status == 503)
            #expect(try response.errorCode() == "shutting_down")
            #expect(await isDrained)
            #expect(try await door.queue.depth().unfinished == 0)
            client.close()
        }
    }

    @Test func aGatewayThatClosesAtOnceWaitsForNobody() async throws {
        let left = Mailbox<(TestClient, FrontDoor)>()
        try await TestDoor.with { door in
            let (client, _) = try await held(door)
            left.put((client, door.frontDoor))
        }
        let (client, frontDoor) = await left.next()
        #expect(await client.readResponse() == nil)
        #expect(frontDoor.waitingCount == 0)
    }
}

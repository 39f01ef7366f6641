import Basics
import Delivery
import EmbeddedQueue
import FrontDoor
import MessageQueues
import Testing

@testable import Gateway

@Suite(.timeLimit(.minutes(5))) struct RequestsTests {
    @Test func listsAreReadPageByPage() async throws {
        try await TestDoor.with { door in
            var ids: [String] = []
            for _ in 0..<5 { ids.append(try await door.enqueue()) }
            var found: [String] = []
            var target = "/v1/requests?limit=2"
            while true {
                let page = try await door.send("GET", target).object()
                #expect(page["object"] as? String == "list")
                let data = try #require(page["data"] as? [[String: Any]])
                found += data.compactMap { $0["id"] as? String }
                guard page["has_more"] as? Bool == true else { break }
                #expect(data.count == 2)
                target = "/v1/requests?limit=2&after=\(try #require(page["last_id"] as? String))"
            }
            #expect(found == ids)
            let unknown = try await door.send("GET", "/v1/requests?after=req_0")
            #expect(unknown.status == 400)
            #expect(try await door.send("GET", "/v1/requests?limit=0").status == 400)
        }
    }

    @Test func aLongListWithFewMatchesIsReadPageByPageAsWell() async throws {
        try await TestDoor.with { door in
            let now = SystemClock().now()
            func message(_ id: String, model: String) -> InferenceMessage {
                InferenceMessage(
                    id: id, created: now, deadline: now + .seconds(3600), path: "/v1/completions",
                    payload: Array("{}".utf8), model: model)
            }
            let common = (0..<10_001).map { message("m\($0)", model: "common") }
            _ = try await door.queue.enqueue(common + [message("rare", model: "rare")])
            let first = try await door.send("GET", "/v1/requests?model=rare").object()
            #expect((first["data"] as? [Any])?.isEmpty == true && first["has_more"] as? Bool == true)
            let last = try #require(first["last_id"] as? String)
            let second = try await door.send("GET", "/v1/requests?model=rare&after=\(last)").object()
            #expect((second["data"] as? [[String: Any]])?.map { $0["id"] as? String } == ["rare"])
            #expect(second["has_more"] as? Bool == false)
        }
    }

    @Test func listsAreFiltered() async throws {
        try await TestDoor.with { door in
            let first = try await door.enqueue()
            let other = try await door.enqueue(body: #"{"model":"org/n"}"#)
            try await door.finish(try await door.lease())
            func ids(_ query: String) async throws -> [String?] {
                let page = try await door.send("GET", "/v1/requests?\(query)").object()
                return try #require(page["data"] as? [[String: Any]]).map { $0["id"] as? String }
            }
            #expect(try await ids("status=succeeded") == [first])
            #expect(try await ids("status=queued") == [other])
            #expect(try await ids("model=org%2Fn") == [other])
            #expect(try await ids("model=m&status=queued") == [])
            #expect(try await ids("") == [first, other])
        }
    }

    @Test func aRequestThatWaitsIsCancelledAtOnce() async throws {
        try await TestDoor.with { door in
            let id = try await door.enqueue()
            let answer = try await door.send("DELETE", "/v1/requests/\(id)")
            #expect(answer.status == 200)
            #expect(try answer.object()["status"] as? String == "cancelled")
            #expect((try answer.object()["error"] as? [String: Any])?["code"] as? String == "CANCELLED")
            #expect(try await door.queue.lease(limit: 1, duration: .seconds(1), excluding: []).isEmpty)
            // To cancel twice is to cancel once.
            #expect(try await door.send("DELETE", "/v1/requests/\(id)").status == 200)
        }
    }

    @Test func aRequestThatRunsIsTakenBack() async throws {
        try await TestDoor.with { door in
            let id = try await door.enqueue()
            let leased = try await door.lease()
            async let answer = door.send("DELETE", "/v1/requests/\(id)")
            #expect(try await door.queue.nextCancellations() == [leased.lease])
            try await door.finish(leased) { result in
                result.statusCode = nil
                result.payload = nil
                result.errorCode = .cancelled
            }
            #expect(try await answer.status == 200)
            #expect(try await answer.object()["status"] as? String == "cancelled")
        }
    }

    @Test func aRequestThatFinishesFirstStaysFinished() async throws {
        try await TestDoor.with { door in
            let id = try await door.enqueue()
            let leased = try await door.lease()
            async let answer = door.send("DELETE", "/v1/requests/\(id)")
            _ = try await door.queue.nextCancellations()
            try await door.finish(leased)
            #expect(try await answer.status == 409)
            let again = try await door.send("DELETE", "/v1/requests/\(id)")
            #expect(again.status == 409)
            #expect(try again.errorCode() == "already_finished")
            #expect(try await door.send("GET", "/v1/requests/\(id)").object()["status"] as? String == "succeeded")
        }
    }

    @Test func aCancellationThatTakesItsTimeIsNoted() async throws {
        try await TestDoor.with({ $0.clock = ImpatientClock() }) { door in
            let id = try await door.enqueue()
            let leased = try await door.lease()
            let answer = try await door.send("DELETE", "/v1/requests/\(id)")
            #expect(answer.status == 202)
            #expect(try answer.object()["status"] as? String == "running")
            #expect(try await door.queue.nextCancellations() == [leased.lease])
        }
    }

    @Test func resultsOnTheirWayAreBoundedAndKeepNoRequestOut() async throws {
        try await TestDoor.with({ $0.limits.bufferedBodyBytes = 1000 }) { door in
            let client = try await door.connect()
            client.send("POST", "/v1/chat/completions", ["X-Weir-Mode: wait"], body: chat)
            let leased = try await door.lease()
            try await door.finish(leased) { $0.payload = Array(repeating: UInt8(ascii: " "), count: 2000) }
            // One that is larger than the bound passes alone.
            #expect(try #require(await client.readResponse()).body.utf8.count == 2000)
            client.close()
            while door.gateway.status().heldResultBytes > 0 { await Task.yield() }

            let budget = door.gateway.core.resultBudget
            #expect(budget.take(1))
            let target = "/v1/requests/\(leased.message.id)"
            for _ in 0..<6 {
                let refused = try await door.send("GET", target)
                #expect(refused.status == 429)
                #expect(refused.headers["retry-after"] != nil)
                #expect(refused.body.contains("stored results"))
            }
            #expect(budget.take(budget.limit - 1))
            #expect(try await door.send("POST", "/v1/chat/completions", body: chat).status == 200)
            budget.giveBack(budget.limit)
            #expect(try await door.send("GET", target).status == 200)
            while door.gateway.status().heldResultBytes > 0 { await Task.yield() }
        }
    }

    @Test func whatIsNotThereIsNotFound() async throws {
        try await TestDoor.with { door in
            for method in ["GET", "HEAD", "DELETE"] {
                for target in ["/v1/requests/req_0", "/v1/requests/\(String(repeating: "x", count: 600))"] {
                    #expect(try await door.send(method, target).status == 404)
                }
            }
            let unknown = try await door.send("GET", "/v1/requests/req_0")
            #expect(try unknown.errorCode() == "not_found")
            #expect(try await door.send("GET", "/v1/requests/%2e%2e/models").status == 404)
            #expect(try await door.send("GET", "/v1/requests/" + String(repeating: "x", count: 9000)).status == 414)
        }
    }

    @Test func otherMethodsAreToldWhichThereAre() async throws {
        try await TestDoor.with { door in
            let id = try await door.enqueue()
            for method in ["POST", "PUT", "PATCH", "OPTIONS"] {
                let one = try await door.send(method, "/v1/requests/\(id)", body: method == "OPTIONS" ? nil : "{}")
                #expect(one.status == 405)
                #expect(one.headers["allow"] == "GET, HEAD, DELETE")
                #expect(try one.errorCode() == "method_not_allowed")
            }
            let all = try await door.send("DELETE", "/v1/requests")
            #expect(all.status == 405)
            #expect(all.headers["allow"] == "GET, HEAD")
            #expect(try await door.queue.depth().unfinished == 1)
        }
    }

    @Test func headTellsTheLengthAndNoMore() async throws {
        try await TestDoor.with { door in
            let id = try await door.enqueue()
            let client = try await door.connect()
            client.send("HEAD", "/v1/requests/\(id)")
            client.send("GET", "/v1/requests/\(id)")
            let head = try #require(await client.readResponse(to: "HEAD"))
            let whole = try #require(await client.readResponse())
            #expect(head.status == 200)
            #expect(whole.status == 200)
            #expect(head.headers["content-length"] == whole.headers["content-length"])
            client.close()
        }
    }
}

import Basics
import Delivery
import EmbeddedQueue
import MessageQueues
import Testing

/// What those who submitted requests can see of them.
@Suite(.timeLimit(.minutes(5))) struct RequestLedgerTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    /// One request in each state, for tenant "acme" but for the last.
    private func queueOfAllStates() async throws -> EmbeddedQueue {
        let queue = try place.open()
        for code: DeliveryErrorCode? in [nil, .inferenceError, .deadlineExceeded] {
            let id = code?.rawValue ?? "ok"
            _ = try await queue.enqueue([place.message(id, tenant: "acme")])
            let leased = try await queue.leaseOne()
            var result = place.result(leased)
            result.errorCode = code
            if code != nil { result.statusCode = nil }
            result.attempts.dispatches = 2
            _ = try await queue.complete(leased.lease, with: result)
        }
        _ = try await queue.enqueue([place.message("taken back", tenant: "acme")])
        _ = try await queue.cancel("taken back", tenant: "acme", generation: nil)
        _ = try await queue.enqueue([place.message("running", tenant: "acme")])
        _ = try await queue.leaseOne()
        _ = try await queue.enqueue([
            place.message("waiting", model: "other", tenant: "acme", priority: 1), place.message("of nobody"),
        ])
        return queue
    }

    @Test func everyStateIsTold() async throws {
        let queue = try await queueOfAllStates()
        let all = try await queue.requests(matching: RequestFilter(), after: 0, limit: 100).views
        #expect(
            all.map(\.id) == [
                "ok", "INFERENCE_ERROR", "DEADLINE_EXCEEDED", "taken back", "running", "waiting", "of nobody",
            ])
        #expect(all.map(\.state) == [.succeeded, .failed, .expired, .cancelled, .running, .queued, .queued])
        for view in all {
            let single = try #require(try await queue.request(view.id, tenant: nil))
            #expect(single.state == view.state && single.sequence == view.sequence && single.path == "/v1/completions")
            let listed = try await queue.requests(
                matching: RequestFilter(state: view.state, model: view.model), after: view.sequence - 1, limit: 1)
            #expect(listed.views == [view])
        }
        let first = try #require(all.first)
        #expect(first.finished == place.clock.now() && first.statusCode == 200 && first.attempts.dispatches == 2)
        #expect(first.deadline == place.clock.now() + .seconds(3600) && first.model == "llama")
        #expect(all[5].priority == 1 && all[5].finished == nil && all[5].enqueued == place.clock.now())
    }

    @Test func tenantsSeeOnlyTheirOwn() async throws {
        let queue = try await queueOfAllStates()
        let mine = try await queue.requests(matching: RequestFilter(tenant: "acme"), after: 0, limit: 100).views
        #expect(mine.count == 6 && mine.allSatisfy { $0.tenant == "acme" })
        let nobodys = try await queue.requests(matching: RequestFilter(tenant: ""), after: 0, limit: 100).views
        #expect(nobodys.map(\.id) == ["of nobody"])
        #expect(try await queue.requests(matching: RequestFilter(tenant: "other"), after: 0, limit: 9).views == [])
        for id in ["ok", "running"] {
            #expect(try await queue.request(id, tenant: "other") == nil)
            #expect(try await queue.request(id, tenant: "acme") != nil)
        }
        #expect(try await queue.result(of: "ok", tenant: "other") == nil)
        #expect(try await queue.result(of: "ok", tenant: "acme")?.isSuccess == true)
        #expect(try await queue.result(of: "running", tenant: "acme") == nil)
    }

    @Test func aListingIsReadOnFromACursor() async throws {
        let queue = try await queueOfAllStates()
        var ids: [String] = []
        var cursor: Int64 = 0
        while let last = try await queue.requests(matching: RequestFilter(), after: cursor, limit: 2).views.last {
            ids += try await queue.requests(matching: RequestFilter(), after: cursor, limit: 2).views.map(\.id)
            cursor = last.sequence
        }
        #expect(ids.count == 7 && Set(ids).count == 7)
    }

    @Test func howManyAreAheadIsCountedInTheClass() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([
            place.message("later", window: .seconds(500)), place.message("earlier", window: .seconds(100), model: "x"),
            place.message("same time", window: .seconds(300)), place.message("me", window: .seconds(300)),
            place.message("of another class", window: .seconds(100), priority: 1),
        ])
        #expect(try await queue.request("me", tenant: nil)?.ahead == 2)
        #expect(try await queue.request("earlier", tenant: nil)?.ahead == 0)
        #expect(try await queue.request("of another class", tenant: nil)?.ahead == 0)
        _ = try await queue.lease(2)
        #expect(try await queue.request("me", tenant: nil)?.ahead == 1)
        #expect(try await queue.request("earlier", tenant: nil)?.ahead == nil)
    }

    @Test func aPageOfResultsIsBoundedByBytes() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue((0..<5).map { place.message("m\($0)") })
        for leased in try await queue.lease() {
            var result = place.result(leased)
            result.payload = [UInt8](repeating: UInt8(ascii: "x"), count: 7 << 20)
            _ = try await queue.complete(leased.lease, with: result)
        }
        let page = try await queue.results(after: 0, limit: 100)
        #expect(page.map(\.id) == ["m0", "m1", "m2"])
        #expect(try await queue.results(after: page[2].cursor, limit: 100).map(\.id) == ["m3", "m4"])
    }
}

/// Results that are to be posted to somebody.
@Suite(.timeLimit(.minutes(5))) struct WebhookOutboxTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    @Test func aResultIsPutIntoTheOutboxWithItsMessage() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([
            place.message("a", tenant: "acme", webhook: "https://a.example/x"), place.message("silent"),
        ])
        async let waited: Void = queue.waitForWebhooks()
        for leased in try await queue.lease() { _ = try await queue.complete(leased.lease, with: place.result(leased)) }
        try await waited
        let pending = try await queue.dueWebhooks(limit: 9)
        #expect(pending.count == 1)
        let first = try #require(pending.first)
        #expect(first.id == "a" && first.tenant == "acme" && first.url == "https://a.example/x" && first.tries == 0)
        #expect(first.line == (try await queue.result(of: "a", tenant: nil))?.line && first.generation == "1")
        #expect(try await queue.dueWebhooks(limit: 9) == pending, "it stays until it is settled")
        try await queue.settleWebhook(first.number)
        #expect(try await queue.dueWebhooks(limit: 9) == [])
    }

    @Test func aDeferredOneComesBackAtItsTimeWhateverHappensToTheClock() async throws {
        let queue = try place.open { $0.foreignPoll = .milliseconds(1) }
        _ = try await queue.enqueue([place.message("a", webhook: "https://a.example/x")])
        _ = try await queue.cancel("a", tenant: nil, generation: nil)
        let first = try #require(try await queue.dueWebhooks(limit: 1).first)
        _ = try await queue.lease()
        try await queue.deferWebhook(
            first.number, until: place.clock.now() + .seconds(60), error: "status 500",
            countsAsTry: true)
        #expect(try await queue.dueWebhooks(limit: 1) == [])
        place.clock.correct(by: .seconds(1000))
        _ = try await queue.lease()
        #expect(try await queue.dueWebhooks(limit: 1) == [])
        async let waited: Void = queue.waitForWebhooks()
        place.clock.advance(.seconds(60))
        try await waited
        let again = try #require(try await queue.dueWebhooks(limit: 1).first)
        #expect(again.number == first.number && again.tries == 1)
    }

    @Test func waitingForOthersIsNoTry() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a", webhook: "https://a.example/x")])
        _ = try await queue.cancel("a", tenant: nil, generation: nil)
        let number = try #require(try await queue.dueWebhooks(limit: 1).first).number
        try await queue.deferWebhook(number, until: place.clock.now(), error: "waits", countsAsTry: false)
        #expect(try await queue.dueWebhooks(limit: 1).first?.tries == 0)
        try await queue.deferWebhook(number, until: place.clock.now(), error: "status 500", countsAsTry: true)
        #expect(try await queue.dueWebhooks(limit: 1).first?.tries == 1)
    }

    @Test func aNotificationOutlivesItsResult() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a", webhook: "https://a.example/x")])
        _ = try await queue.cancel("a", tenant: nil, generation: nil)
        _ = try await queue.purge(.finished)
        #expect(try await queue.dueWebhooks(limit: 1).map(\.line) == [nil])
        try queue.close()
        #expect(try await place.open().dueWebhooks(limit: 1).count == 1, "it is in the file")
    }
}

import Basics
import Delivery
import EmbeddedQueue
import Foundation
import GRDB
import MessageQueues
import Testing

/// Long lists, read in parts.
@Suite(.timeLimit(.minutes(5))) struct ListingTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    /// All pages of a listing: how many, and the ids on them.
    private func readAll(_ filter: RequestFilter, in queue: EmbeddedQueue) async throws -> (pages: Int, ids: [String]) {
        var pages = 0
        var ids: [String] = []
        var cursor: Int64 = 0
        while true {
            let page = try await queue.requests(matching: filter, after: cursor, limit: 1000)
            pages += 1
            ids += page.views.map(\.id)
            if page.isComplete { return (pages, ids) }
            #expect(page.cursor > cursor)
            cursor = page.cursor
        }
    }

    @Test func aRareRequestIsFoundWithoutLookingAtEverythingAtOnce() async throws {
        let queue = try place.open()
        let common = MessageStore.maximumLook + 500
        _ = try await queue.enqueue((0..<common).map { place.message("m\($0)") })
        _ = try await queue.enqueue([
            place.message("rare", model: "rare"), place.message("other", model: "other", tenant: "acme"),
        ])
        let first = try await queue.requests(matching: RequestFilter(model: "rare"), after: 0, limit: 10)
        #expect(first.views.isEmpty && !first.isComplete)
        #expect(first.lastID == "m\(MessageStore.maximumLook - 1)")
        let second = try await queue.requests(matching: RequestFilter(model: "rare"), after: first.cursor, limit: 10)
        #expect(second.views.map(\.id) == ["rare"] && second.isComplete && second.lastID == "rare")

        #expect(try await readAll(RequestFilter(state: .succeeded), in: queue) == (1, []), "there are no results")
        #expect(try await readAll(RequestFilter(state: .running), in: queue) == (1, []))
        #expect(try await readAll(RequestFilter(tenant: "acme", state: .queued), in: queue) == (1, ["other"]))
        #expect(try await readAll(RequestFilter(), in: queue).ids.count == common + 2)
        #expect(try await readAll(RequestFilter(tenant: "", state: .queued), in: queue).ids.count == common + 1)
    }

    @Test func aPageOfOneTenantDoesNotNameRequestsOfOthers() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("mine")])
        _ = try await queue.enqueue((0..<MessageStore.maximumLook).map { place.message("m\($0)", tenant: "acme") })
        let filter = RequestFilter(tenant: "", model: "none")
        let first = try await queue.requests(matching: filter, after: 0, limit: 10)
        #expect(first.views.isEmpty && !first.isComplete && first.lastID == "mine")
        let second = try await queue.requests(matching: filter, after: 1, limit: 10)
        #expect(second.views.isEmpty && !second.isComplete && second.lastID == nil)
        #expect(try await readAll(filter, in: queue) == (2, []))
    }

    @Test func theCountsAreThoseOfTheRows() async throws {
        let queue = try place.open()
        let client = try place.open(.client)
        _ = try await client.enqueue((0..<20).map { place.message("m\($0)") })
        let leased = try await queue.lease(9)
        for message in leased.prefix(3) { _ = try await queue.complete(message.lease, with: place.result(message)) }
        for message in leased[3..<5] { _ = try await queue.complete(message.lease, with: place.deadLetter(message)) }
        for (message, pause) in zip(leased[5..<7], [10.0, 100]) {
            _ = try await queue.release(
                message.lease, attempts: message.attempts, readyAt: place.clock.now() + .seconds(pause))
        }
        _ = try await client.cancel("m15", tenant: nil, generation: nil)
        _ = try await client.redrive(.ids([leased[3].message.id]), deadline: .distantFuture)
        _ = try await client.purge(.ids([leased[0].message.id]))
        place.clock.advance(.seconds(20))
        let depth = try await queue.depth()
        #expect(depth.ready == 12 && depth.delayed == 1 && depth.leased == 2)
        #expect(depth.results == 5 && depth.deadLetters == 1)
        let counts = try await DatabaseQueue(path: place.path).read { database in
            try ["message", "result", "dead"].map { try Int.fetchOne(database, sql: "SELECT COUNT(*) FROM \($0)") }
        }
        #expect(counts == [depth.unfinished, depth.results, depth.deadLetters])
    }
}

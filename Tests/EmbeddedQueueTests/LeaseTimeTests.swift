import Basics
import Delivery
import EmbeddedQueue
import GRDB
import MessageQueues
import Testing

/// Leases and delays while somebody corrects the clock.
@Suite(.timeLimit(.minutes(5))) struct LeaseTimeTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    @Test(arguments: [86_400.0, -86_400]) func aCorrectedClockEndsNoLease(step: Double) async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a", window: .seconds(1_000_000))])
        let leased = try await queue.leaseOne()
        place.clock.advance(.seconds(29))
        place.clock.correct(by: .seconds(step))
        #expect(try await queue.leaseIDs() == [])
        place.clock.advance(.seconds(2))
        let again = try await queue.leaseOne()
        #expect(again.message.id == "a", "it ran out by the steady clock")
        #expect(try await queue.complete(leased.lease, with: place.result(leased)) == false)
        #expect(try await queue.complete(again.lease, with: place.result(again)))
    }

    @Test(arguments: [3600.0, -3600]) func aPauseLastsAsLongAsItWasMeantTo(step: Double) async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a", window: .seconds(1_000_000))])
        let leased = try await queue.leaseOne()
        _ = try await queue.release(
            leased.lease, attempts: AttemptRecord(), readyAt: place.clock.now() + .seconds(60))
        place.clock.advance(.seconds(30))
        place.clock.correct(by: .seconds(step))
        #expect(try await queue.leaseIDs() == [])
        let view = try #require(try await queue.request("a", tenant: nil))
        #expect(view.nextAttempt == place.clock.now() + .seconds(30))
        place.clock.advance(.seconds(29))
        #expect(try await queue.leaseIDs() == [])
        place.clock.advance(.seconds(1))
        #expect(try await queue.leaseIDs() == ["a"])
    }

    @Test func theLastLookBeforeACorrectionCounts() async throws {
        // Less than half a second between two looks is no correction, however often it comes to that.
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a", window: .seconds(1_000_000))])
        let leased = try await queue.leaseOne()
        let due = place.clock.now() + .seconds(60)
        _ = try await queue.release(leased.lease, attempts: AttemptRecord(), readyAt: due)
        for _ in 0..<10 {
            place.clock.correct(by: .milliseconds(400))
            #expect(try await queue.leaseIDs() == [])
        }
        #expect(try await queue.request("a", tenant: nil)?.nextAttempt == due)
    }

    @Test func manyDelaysThatEndTogetherEndInSeveralTransactions() throws {
        let database = try DatabaseQueue(path: place.path)
        var store = MessageStore(name: "test")
        let time = place.clock.time
        let count = 2 * MessageStore.endingChunk + 10
        try database.write { database in
            try QueueSchema.migrate(database)
            for number in 0..<count {
                _ = try store.enqueue(place.message("m\(number)"), digest: 0, now: time.wall, database)
            }
            try database.execute(sql: "UPDATE message SET state = 1, due = ?", arguments: [time.wall.nanoseconds])
            try store.writeTally(database)
        }
        _ = store.takeChanges()
        for left in [MessageStore.endingChunk + 10, 10, 0] {
            let (delayed, remaining) = try database.write { database in
                try store.tick(time, database)
                return (
                    try Int.fetchOne(database, sql: "SELECT COUNT(*) FROM message WHERE state = 1"),
                    try store.timeUntilReady(excluding: ["llama"], time: time, database)
                )
            }
            #expect(delayed == left)
            #expect(remaining == (left > 0 ? .zero : nil))
            #expect(store.takeChanges().hasReady, "whoever waits is told each time")
        }
        try database.write { try store.tick(time, $0) }
        #expect(try database.read { try MessageStore.depth(now: time.wall, $0) }.ready == count)
        #expect(!store.takeChanges().hasReady)
    }

    @Test func aNewConsumerHasEverythingAtOnce() async throws {
        let first = try place.open()
        _ = try await first.enqueue((0..<5).map { place.message("m\($0)") })
        #expect(try await first.leaseIDs(3).count == 3)
        try first.close()
        let second = try place.open()
        #expect(try await second.leaseIDs() == ["m0", "m1", "m2", "m3", "m4"])
    }

    @Test func extendingKeepsALease() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a"), place.message("b")])
        let leased = try await queue.lease()
        for _ in 0..<10 {
            place.clock.advance(.seconds(20))
            #expect(try await queue.extend([leased[0].lease], duration: .seconds(30)) == [])
        }
        #expect(try await queue.leaseIDs() == ["b"], "the other one ran out")
        #expect(try await queue.extend(leased.map(\.lease), duration: .seconds(30)) == [leased[1].lease])
    }
}

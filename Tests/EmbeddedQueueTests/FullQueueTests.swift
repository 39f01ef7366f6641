import Basics
import Delivery
import EmbeddedQueue
import Foundation
import GRDB
import MessageQueues
import Testing

/// A queue, or a disk, without room.
@Suite(.timeLimit(.minutes(5))) struct FullQueueTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    private func isFull(_ error: (any Error)?) -> Bool {
        if case .full? = error as? MessageQueueError { true } else { false }
    }

    /// Enqueues until there is no more room; returns how many were accepted.
    private func fill(_ queue: EmbeddedQueue, body: String) async throws -> Int {
        var accepted = 0
        let error = await #expect(throws: MessageQueueError.self) {
            while accepted < 100_000 {
                let batch = (0..<10).map { place.message("m\(accepted + $0)", body: body) }
                accepted += try await queue.enqueue(batch).count { $0 == .accepted }
            }
        }
        #expect(isFull(error), "\(String(describing: error))")
        return accepted
    }

    @Test func aFullQueueRefusesNewWorkAndFinishesWhatItHas() async throws {
        let queue = try place.open { $0.maximumFileBytes = 1 << 20 }
        let accepted = try await fill(queue, body: String(repeating: " ", count: 300))
        #expect(accepted > 500)
        var completed = 0
        while case let leased = try await queue.lease(50), !leased.isEmpty {
            for message in leased {
                #expect(try await queue.complete(message.lease, with: place.result(message)))
            }
            completed += leased.count
        }
        #expect(completed == accepted)
        #expect(try await queue.depth().results == accepted)
    }

    @Test func theConsumersLimitBindsClientsAsWell() async throws {
        let queue = try place.open { $0.maximumFileBytes = 1 << 20 }
        let client = try place.open(.client)
        let accepted = try await fill(client, body: String(repeating: " ", count: 300))
        #expect(accepted > 500)
        var completed = 0
        while case let leased = try await queue.lease(50), !leased.isEmpty {
            for message in leased {
                if try await queue.complete(message.lease, with: place.result(message)) { completed += 1 }
            }
        }
        #expect(completed == accepted)
        // A client's own limit counts if it is the smaller one.
        let cautious = try place.open(.client) { $0.maximumFileBytes = 1 << 10 }
        await #expect(throws: MessageQueueError.full(place: place.path, detail: "limit 1024 bytes")) {
            try await cautious.enqueue([place.message("one more")])
        }
    }

    @Test func aLimitLoweredBelowWhatIsThereKeepsNoResultOut() async throws {
        let roomy = try place.open { $0.maximumFileBytes = 4 << 20 }
        let accepted = try await fill(roomy, body: String(repeating: " ", count: 300))
        try roomy.close()
        let queue = try place.open { $0.maximumFileBytes = 1 << 20 }
        await #expect(throws: MessageQueueError.self) { try await queue.enqueue([place.message("one more")]) }
        var completed = 0
        for message in try await queue.lease(accepted) {
            if try await queue.complete(message.lease, with: place.result(message)) { completed += 1 }
        }
        #expect(completed == accepted)
    }

    @Test func nothingAcceptedIsLostWhenSQLiteItselfHasNoRoomForMessages() async throws {
        // The hard limit lies below the one that is looked at before.
        let queue = try place.open {
            $0.maximumFileBytes = 4 << 20
            $0.resultReserve = -(3 << 20)
        }
        let accepted = try await fill(queue, body: String(repeating: " ", count: 300))
        #expect(try await queue.depth().ready == accepted)
        try queue.close()
        #expect(try await place.open().leaseIDs(accepted + 1).count == accepted)
    }

    @Test func nothingAcceptedIsLostWhenSQLiteItselfHasNoRoomForResults() async throws {
        let queue = try place.open {
            $0.maximumFileBytes = 1 << 20
            $0.resultReserve = 128 << 10
        }
        let accepted = try await fill(queue, body: String(repeating: " ", count: 300))
        var stored = 0
        for message in try await queue.lease(accepted) {
            var result = place.result(message)
            result.payload = [UInt8](repeating: UInt8(ascii: "x"), count: 5000)
            do {
                if try await queue.complete(message.lease, with: result) { stored += 1 }
            } catch {
                #expect(isFull(error))
            }
        }
        #expect(stored > 0 && stored < accepted)
        try queue.close()

        let roomier = try place.open()
        #expect(try await roomier.depth().results == stored)
        #expect(try await roomier.leaseIDs(accepted).count == accepted - stored)
    }

    @Test func aLeaseThatCouldNotBeCompletedCanBeCompletedLater() async throws {
        let queue = try place.open {
            $0.maximumFileBytes = 1 << 20
            $0.resultReserve = 0
        }
        _ = try await queue.enqueue([place.message("a"), place.message("b")])
        let leased = try await queue.lease()
        var large = place.result(leased[0])
        large.payload = [UInt8](repeating: UInt8(ascii: "x"), count: 2 << 20)
        let error = await #expect(throws: MessageQueueError.self) {
            try await queue.complete(leased[0].lease, with: large)
        }
        #expect(isFull(error))
        // The memory of the queue went back with the transaction.
        #expect(try await queue.extend(leased.map(\.lease), duration: .seconds(30)) == [])
        for message in leased {
            let isOurs = try await queue.complete(message.lease, with: place.result(message))
            #expect(isOurs)
        }
    }

    @Test func theLastRoomOnTheDiskIsForResults() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a")])
        let leased = try await queue.leaseOne()
        let other = try place.open(.client) { $0.reservedDiskBytes = .max / 2 }
        let error = await #expect(throws: MessageQueueError.self) { try await other.enqueue([place.message("b")]) }
        #expect(isFull(error) && "\(error as Any)".contains("are for results"))
        #expect(try await queue.complete(leased.lease, with: place.result(leased)))
    }

    @Test func completingNeedsNoPageThatItsMessageDoesNotLeaveBehind() throws {
        // At the level of statements: not a single page is left when the results come.
        let database = try DatabaseQueue(path: place.path)
        var store = MessageStore(name: "test")
        try database.write { try QueueSchema.migrate($0) }
        let body = [UInt8](repeating: UInt8(ascii: " "), count: 4000)
        let time = place.clock.time
        try database.write { database in
            for number in 0..<50 {
                var message = place.message("m\(number)")
                message.payload = body
                _ = try store.enqueue(message, digest: 0, now: time.wall, database)
            }
        }
        let leased = try database.write { database in
            try store.lease(LeaseRequest(limit: 50, duration: .seconds(30)), token: 7, time: time, database)
        }
        try database.writeWithoutTransaction { database in
            let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
            _ = try Row.fetchAll(database, sql: "PRAGMA max_page_count = \(pages)")
        }
        for message in leased {
            let result = place.result(message)
            let isOurs = try database.write { database in
                try store.complete(message.lease, with: result, line: ResultCodec.encode(result), database)
            }
            #expect(isOurs)
        }
        #expect(store.takeChanges().finished.count == 50)
    }
}

import Basics
import Delivery
import Foundation
import GRDB
import MessageQueues
import Synchronization
import Testing

@testable import EmbeddedQueue

/// Calls that share a transaction, and what the misfortune of one means for the others.
@Suite(.timeLimit(.minutes(5))) struct GroupCommitTests {
    private let place: QueueDirectory

    /// How often something has run.
    private final class Runs: Sendable {
        let count = Atomic(0)
    }

    init() throws { place = try QueueDirectory() }

    @Test func aRefusedCallDoesNotRollBackItsNeighbours() async throws {
        let queue = try place.open(.client) { $0.maximumFileBytes = 1024 }
        let runs = Runs()
        let refusals = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<400 {
                group.addTask { [place] in
                    do {
                        _ = try await queue.enqueue([place.message("m\(number)")])
                        return false
                    } catch MessageQueueError.full {
                        return true
                    }
                }
                group.addTask {
                    try await queue.writer.perform(isDurable: false) { _, _ in
                        _ = runs.count.wrappingAdd(1, ordering: .relaxed)
                    }
                    return false
                }
            }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(refusals == 400)
        #expect(runs.count.load(ordering: .relaxed) == 400, "each ran once")
    }

    @Test func aBadCallIsTheOnlyOneThatFails() async throws {
        struct Bad: Error {}
        let queue = try place.open(.client)
        let outcomes = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<100 {
                group.addTask { [place] in
                    do {
                        if number % 10 == 0 {
                            try await queue.writer.perform(isDurable: false) { _, _ in throw Bad() }
                        } else {
                            _ = try await queue.enqueue([place.message("m\(number)")])
                        }
                        return true
                    } catch {
                        return false
                    }
                }
            }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(outcomes == 90)
        #expect(try await queue.depth().ready == 90)
    }

    @Test func aForeignLockIsWaitedForOnceNotByEachCaller() async throws {
        let queue = try place.open(.client) { $0.busyTimeout = .milliseconds(300) }
        var configuration = GRDB.Configuration()
        configuration.allowsUnsafeTransactions = true
        let other = try DatabaseQueue(path: place.path, configuration: configuration)
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        let start = ContinuousClock.now
        let locked = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<100 {
                group.addTask { [place] in
                    do {
                        _ = try await queue.enqueue([place.message("m\(number)")])
                        return false
                    } catch {
                        return error as? MessageQueueError == .locked(place: place.path)
                    }
                }
            }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(locked == 100)
        #expect(ContinuousClock.now - start < .seconds(15), "one after the other it would be half a minute")
        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        #expect(try await queue.enqueue([place.message("m0")]) == [.accepted])
    }
}

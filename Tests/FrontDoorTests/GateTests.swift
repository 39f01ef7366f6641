import Synchronization
import Testing

@testable import FrontDoor

@Suite(.timeLimit(.minutes(5))) struct GateTests {
    @Test func neverAreMoreInsideThanThereArePlaces() async throws {
        let gate = Gate(places: 4)
        let inside = Inside()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<200 {
                group.addTask {
                    try await gate.pass {
                        inside.enter()
                        for _ in 0..<5 { await Task.yield() }
                        inside.leave()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect((2...4).contains(inside.most))
        #expect(inside.passed == 200)
        #expect(gate.waitingCount == 0)
    }

    @Test func theyPassInTheOrderInWhichTheyCame() async throws {
        let gate = Gate(places: 1)
        let (key, door) = (Mailbox<Void>(), Mailbox<Int>())
        let first = Task { try await gate.pass { await key.next() } }
        await untilOccupied(gate)
        for number in 0..<5 {
            Task { try await gate.pass { door.put(number) } }
            while gate.waitingCount <= number { await Task.yield() }
        }
        key.put(())
        for number in 0..<5 { #expect(await door.next() == number) }
        try await first.value
    }

    @Test func whoeverIsCancelledLeavesTheLineAndTheOthersMoveUp() async throws {
        let gate = Gate(places: 1)
        let key = Mailbox<Void>()
        let first = Task { try await gate.pass { await key.next() } }
        await untilOccupied(gate)
        let second = Task { try await gate.pass {} }
        while gate.waitingCount < 1 { await Task.yield() }
        let third = Task { try await gate.pass { 3 } }
        while gate.waitingCount < 2 { await Task.yield() }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        #expect(gate.waitingCount == 1)
        key.put(())
        try await first.value
        #expect(try await third.value == 3)
        // The place is free again, even after work that fails.
        await #expect(throws: Failure.self) { try await gate.pass { throw Failure() } }
        #expect(try await gate.pass { 4 } == 4)
    }

    @Test func whoeverIsCancelledAlreadyDoesNotPass() async throws {
        let gate = Gate(places: 1)
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            try await gate.pass {}
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try await gate.pass { 1 } == 1)
    }

    private final class Inside: Sendable {
        private let counts = Mutex((now: 0, most: 0, passed: 0))

        var most: Int { counts.withLock { $0.most } }
        var passed: Int { counts.withLock { $0.passed } }

        func enter() {
            counts.withLock { counts in
                counts.now += 1
                counts.most = max(counts.most, counts.now)
            }
        }

        func leave() {
            counts.withLock { counts in
                counts.now -= 1
                counts.passed += 1
            }
        }
    }

    private struct Failure: Error {}

    /// Returns when the only place is taken.
    private func untilOccupied(_ gate: Gate) async { while gate.freePlaces > 0 { await Task.yield() } }
}

import Basics
import Testing

@testable import Routing

@Suite struct SessionMemoryTests {
    @Test func theLastTurnOfASessionIsRememberedForItsTime() {
        var memory = SessionMemory(limit: 10, timeToLive: .seconds(60))
        #expect(memory.turn(of: "a", now: .zero) == nil)
        memory.note("a", endpoint: 3, tokens: 500, now: .zero)
        memory.note("a", endpoint: 1, tokens: 900, now: Instant(seconds: 10))
        let turn = memory.turn(of: "a", now: Instant(seconds: 70))
        #expect(turn?.endpoint == 1 && turn?.tokens == 900 && turn?.at == Instant(seconds: 10))
        #expect(memory.turn(of: "a", now: Instant(seconds: 70.1)) == nil)
        #expect(memory.turn(of: "b", now: Instant(seconds: 10)) == nil)
    }

    /// The number of sessions of `names` that are remembered.
    private func remembered(_ memory: SessionMemory, _ names: [String], at now: Instant) -> Int {
        names.count { memory.turn(of: $0, now: now) != nil }
    }

    @Test func whenFullTheIdleOnesGoFirstThenTheOlderHalf() {
        var memory = SessionMemory(limit: 100, timeToLive: .seconds(60))
        let names = (0..<100).map { "s\($0)" }
        for (number, name) in names.enumerated() {
            memory.note(name, endpoint: 0, tokens: 1, now: Instant(seconds: Double(number)))
        }
        // At 110 s those of the first 50 s have been idle for too long.
        memory.note("new", endpoint: 0, tokens: 1, now: Instant(seconds: 110))
        #expect(remembered(memory, names, at: Instant(seconds: 110)) == 50)
        for number in 0..<49 { memory.note("t\(number)", endpoint: 0, tokens: 1, now: Instant(seconds: 110)) }
        #expect(remembered(memory, names, at: Instant(seconds: 110)) == 50, "it is full, and nobody had to go")
        memory.note("last", endpoint: 0, tokens: 1, now: Instant(seconds: 110))
        #expect(remembered(memory, names, at: Instant(seconds: 110)) == 0, "the older half")
        #expect(memory.turn(of: "last", now: Instant(seconds: 110)) != nil)
    }

    @Test func aFloodOfSessionsOfOneMomentStaysWithinTheLimit() {
        var memory = SessionMemory(limit: 50)
        let names = (0..<1000).map { "s\($0)" }
        for name in names { memory.note(name, endpoint: 0, tokens: 1, now: .zero) }
        #expect((1...50).contains(remembered(memory, names, at: .zero)))
        #expect(memory.turn(of: "s999", now: .zero) != nil)
    }
}

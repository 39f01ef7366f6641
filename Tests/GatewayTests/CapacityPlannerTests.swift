import Basics
import Testing

@testable import Gateway

@Suite("Credits of remote processors")
struct CapacityPlannerTests {
    private func room(startable: Int = 0, started: Int = 0) -> PoolRoom {
        PoolRoom(isOpen: true, startable: startable, started: started)
    }

    private func load(waiting: Int = 0, running: Int = 0) -> ProcessorLoad {
        ProcessorLoad(waiting: waiting, running: running)
    }

    @Test("a processor may have what runs, and what could be started at once")
    func slack() {
        var planner = CapacityPlanner()
        let credits = planner.credits(for: ["a": load(running: 10)], room: room(startable: 30), now: .zero)
        #expect(credits == ["a": 40])
    }

    @Test("a handful waits even when nothing can be started, and nothing does where nothing ever is")
    func handful() {
        var planner = CapacityPlanner()
        let busy = planner.credits(for: ["a": load(running: 10)], room: room(), now: .zero)
        #expect(busy == ["a": 10 + CapacityPlanner.handful])
        let closed = planner.credits(for: ["a": load(waiting: 3, running: 10)], room: PoolRoom(), now: .zero)
        #expect(closed == ["a": 10])
    }

    @Test("as much is kept ahead as is started within an interval and a round trip")
    func pace() throws {
        var planner = CapacityPlanner()
        var credit = 0
        // 1000 starts a second.
        for tick in 0..<200 {
            let now = Instant(nanoseconds: Int64(tick) * 50_000_000)
            let room = room(started: tick * 50)
            credit = try #require(planner.credits(for: ["a": load(running: 20)], room: room, now: now)["a"])
        }
        #expect((115...125).contains(credit))
    }

    @Test("a rush of starts is expected again for a while, but for no more than half of what runs")
    func rush() throws {
        var planner = CapacityPlanner()
        func credit(tick: Int, started: Int, running: Int) throws -> Int {
            let now = Instant(nanoseconds: Int64(tick) * 50_000_000)
            let room = PoolRoom(isOpen: true, running: running, started: started)
            return try #require(planner.credits(for: ["a": load(running: running)], room: room, now: now)["a"])
                - running
        }
        _ = try credit(tick: 0, started: 0, running: 40)
        _ = try credit(tick: 1, started: 9, running: 40)
        #expect(try credit(tick: 2, started: 18, running: 40) == 18)
        #expect(try credit(tick: 22, started: 18, running: 40) > 8)
        #expect(try credit(tick: 23, started: 100, running: 40) == 20)
        var later = 0
        for tick in 24..<400 { later = try credit(tick: tick, started: 100, running: 40) }
        #expect(later == CapacityPlanner.handful)
    }

    @Test("two that use up what they have share; one that does not leaves all but a handful to the other")
    func shares() throws {
        var planner = CapacityPlanner()
        var credits = planner.credits(for: ["a": load(), "b": load()], room: room(startable: 100), now: .zero)
        #expect(credits == ["a": 50, "b": 50])
        for tick in 1..<20 {
            let now = Instant(nanoseconds: Int64(tick) * 50_000_000)
            let loads = ["a": load(waiting: credits["a"] ?? 0), "b": load()]
            credits = planner.credits(for: loads, room: room(startable: 100), now: now)
        }
        #expect(credits == ["a": 100 - CapacityPlanner.handful, "b": CapacityPlanner.handful])
        // It comes back as soon as it uses its handful.
        let loads = ["a": load(waiting: 96), "b": load(waiting: 4)]
        credits = planner.credits(for: loads, room: room(startable: 100), now: .init(seconds: 2))
        #expect(credits == ["a": 50, "b": 50])
    }

    @Test("what is kept ahead is bounded")
    func bounded() {
        var planner = CapacityPlanner()
        let credits = planner.credits(for: ["a": load()], room: room(startable: .max / 2), now: .zero)
        #expect(credits == ["a": CapacityPlanner.maximumAhead])
    }
}

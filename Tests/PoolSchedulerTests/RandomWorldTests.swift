import Admission
import Basics
import Harvest
import Pool
import PoolScheduler
import Testing

/// Seeded worlds in which requests of every kind come, answer, end, fail and vanish while endpoints go up and down.
@Suite struct RandomWorldTests {
    @Test(arguments: 0..<60) func everyRequestEndsOnceNothingLeaksAndRealtimeGoesFirst(seed: UInt64) {
        var world = World(seed: seed)
        for _ in 0..<1500 { world.step() }
        world.finishEverything()
        #expect(world.scheduler.requestCount == 0)
        #expect(world.scheduler.endpoints.allSatisfy { $0.load == EndpointLoad() })
        #expect(world.ended.count == world.submitted)
        #expect(world.violations == [])
    }

    @Test func equalSeedsTakeEqualDecisions() {
        var first = World(seed: 11)
        var second = World(seed: 11)
        for _ in 0..<500 {
            first.step()
            second.step()
        }
        #expect(first.log == second.log)
    }
}

private struct World {
    var scheduler: PoolScheduler
    var generator: SeededGenerator
    var now = Instant.zero
    var submitted = 0
    var ended: Set<UInt64> = []
    /// Requests in flight, and whether each has answered.
    var running: [UInt64: Bool] = [:]
    var waiting: Set<UInt64> = []
    var realtime: Set<UInt64> = []
    var log: [[SchedulerAction]] = []
    var violations: [String] = []
    private let concurrency: Int

    init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
        concurrency = Int.random(in: 1...12, using: &generator)
        scheduler = makeScheduler(
            endpoints: Int.random(in: 1...4, using: &generator), concurrency: concurrency,
            kvTokens: Bool.random(using: &generator) ? 20_000 : nil,
            admission: .init(maxRequestsPerBand: Int.random(in: 1...20, using: &generator), timeToLive: .seconds(3)))
    }

    mutating func step() {
        now = now + .milliseconds(Double.random(in: 0...120, using: &generator))
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<30: submit(chat(nextID(), priority: Int.random(in: -1...3, using: &generator)))
        case 30..<45: submit(message(nextID(), deadline: now.seconds + Double.random(in: 0...20, using: &generator)))
        case 45..<60:
            if let id = anyRunning() {
                scheduler.firstToken(id, now: now)
                running[id] = true
                if Bool.random(using: &generator) { scheduler.progressed(id, outputTokens: 300, now: .zero) }
            }
        case 60..<80:
            if let id = anyRunning() { end(id, perform: { $0.finished(id, AnswerFacts(outputTokens: 20), now: $1) }) }
        case 80..<85: cancelAnyone()
        case 85..<90:
            if let id = anyRunning(), running[id] == false {
                running[id] = nil
                waiting.insert(id)
                apply(scheduler.failedBeforeAnswer(id, now: now))
            }
        case 90..<93:
            let endpoint = EndpointID(Int.random(in: scheduler.endpoints.indices, using: &generator))
            apply(scheduler.endpointChanged(endpoint, isUp: Bool.random(using: &generator), now: now))
        default: apply(scheduler.tick(now: now))
        }
        checkBounds()
    }

    mutating func finishEverything() {
        for index in scheduler.endpoints.indices {
            apply(scheduler.endpointChanged(EndpointID(index), isUp: true, now: now))
        }
        var rounds = 0
        while scheduler.requestCount > 0, rounds < 10_000 {
            rounds += 1
            now = now + .milliseconds(50)
            if let id = anyRunning() { end(id, perform: { $0.finished(id, AnswerFacts(outputTokens: 20), now: $1) }) }
            apply(scheduler.tick(now: now))
        }
    }

    private mutating func nextID() -> UInt64 {
        submitted += 1
        return UInt64(submitted)
    }

    private mutating func anyRunning() -> UInt64? {
        running.keys.sorted().randomElement(using: &generator)
    }

    private mutating func submit(_ submitted: PoolRequest) {
        var request = submitted
        request.streams = Bool.random(using: &generator)
        if Int.random(in: 0..<20, using: &generator) == 0 { request.promptTokens = 18_000 }
        waiting.insert(request.id)
        if request.priority >= 0 { realtime.insert(request.id) }
        apply(scheduler.submit(request, now: now))
    }

    private mutating func end(_ id: UInt64, perform: (inout PoolScheduler, Instant) -> [SchedulerAction]) {
        running[id] = nil
        recordEnd(id)
        apply(perform(&scheduler, now))
    }

    private mutating func cancelAnyone() {
        guard let id = (Array(running.keys) + Array(waiting)).sorted().randomElement(using: &generator) else { return }
        running[id] = nil
        waiting.remove(id)
        recordEnd(id)
        apply(scheduler.cancelled(id, now: now))
    }

    private mutating func recordEnd(_ id: UInt64) {
        if !ended.insert(id).inserted { violations.append("\(id) ended twice") }
    }

    private mutating func apply(_ actions: [SchedulerAction]) {
        log.append(actions)
        for action in actions {
            switch action {
            case .start(let id, _):
                if waiting.remove(id) == nil { violations.append("\(id) was started without waiting") }
                running[id] = false
                let realtimeWaits = scheduler.queueDepths.contains { $0.priority >= 0 && $0.requests > 0 }
                if !realtime.contains(id), realtimeWaits { violations.append("\(id) overtook real-time work") }
            case .reject(let id, _):
                waiting.remove(id)
                recordEnd(id)
            case .callBack(let id, _):
                if realtime.contains(id) { violations.append("real-time \(id) was called back") }
                running[id] = nil
                recordEnd(id)
            }
        }
    }

    private mutating func checkBounds() {
        for endpoint in scheduler.endpoints where endpoint.load.requests > concurrency {
            violations.append("\(endpoint.name) holds \(endpoint.load.requests) of \(concurrency)")
        }
        if running.count != scheduler.endpoints.reduce(0, { $0 + $1.load.requests }) {
            violations.append("running and reserved differ at \(now.seconds) s")
        }
    }
}

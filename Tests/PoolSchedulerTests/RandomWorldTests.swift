import Admission
import Basics
import Harvest
import InferenceAPI
import Pool
import PoolScheduler
import Routing
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
        #expect(world.scheduler.queueDepths.allSatisfy { $0.requests == 0 && $0.bytes == 0 })
        #expect(world.scheduler.waitingSheddable == 0 && world.scheduler.sheddableInFlight == 0)
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
    var allowed: [UInt64: [EndpointID]] = [:]
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
            admission: .init(maxRequestsPerBand: Int.random(in: 1...20, using: &generator), timeToLive: .seconds(3)),
            routing: Bool.random(using: &generator) ? .cost(.init()) : .weighted(.prefixBlend),
            shadow: Bool.random(using: &generator) ? .weighted(.routerDefault) : nil)
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
            if let id = anyRunning() {
                let answer = anyAnswer()
                end(id, perform: { $0.finished(id, answer, now: $1) })
            }
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
        case 93..<96: publish()
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

    /// What engines say of themselves and of what they have cached.
    private mutating func publish() {
        let endpoint = EndpointID(Int.random(in: scheduler.endpoints.indices, using: &generator))
        let keys = prompt(UInt64.random(in: 0..<6, using: &generator), blocks: 20).hashes.map { $0 ^ 1 << 60 }
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: scheduler.followsResidency(of: endpoint, Bool.random(using: &generator))
        case 1: scheduler.blocksStored(keys, at: endpoint)
        case 2: scheduler.blocksRemoved(keys, at: endpoint)
        case 3: scheduler.blocksCleared(at: endpoint)
        default:
            let metrics = ScrapedMetrics(
                waiting: Int.random(in: 0...3, using: &generator), running: Int.random(in: 0...9, using: &generator),
                kvUsage: Double.random(in: 0...1, using: &generator))
            apply(scheduler.scraped(endpoint, metrics, now: now))
        }
    }

    /// Some of them make no sense.
    private mutating func anyAnswer() -> AnswerFacts {
        var answer = AnswerFacts(outputTokens: Int.random(in: -1...400, using: &generator))
        if Bool.random(using: &generator) { answer.promptTokens = Int.random(in: -1...20_000, using: &generator) }
        if Bool.random(using: &generator) { answer.cachedPromptTokens = Int.random(in: -1...20_000, using: &generator) }
        if Bool.random(using: &generator) {
            answer.blocks = prompt(UInt64.random(in: 0..<6, using: &generator), blocks: 40)
        }
        return answer
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
        request.flow = "flow-\(Int.random(in: 0..<4, using: &generator))"
        request.bytes = Int.random(in: 0...5000, using: &generator)
        request.isExplained = Int.random(in: 0..<4, using: &generator) == 0
        if Bool.random(using: &generator) {
            let blocks = max(1, request.promptTokens / 64)
            request.promptBlocks = prompt(UInt64.random(in: 0..<6, using: &generator), blocks: blocks)
            request.tokenBlocks = PromptBlocks(
                hashes: request.promptBlocks.hashes.map { $0 ^ 1 << 60 }, unitsPerBlock: 64, units: blocks * 64)
        }
        if Bool.random(using: &generator) { request.session = "s\(Int.random(in: 0..<10, using: &generator))" }
        if Int.random(in: 0..<3, using: &generator) == 0 {
            request.ttftLimitMilliseconds = Double.random(in: 1...3000, using: &generator)
            request.tpotLimitMilliseconds = Double.random(in: 1...60, using: &generator)
        }
        if Int.random(in: 0..<6, using: &generator) == 0 {
            request.allowedEndpoints = scheduler.endpoints.indices
                .filter { _ in Bool.random(using: &generator) }.map { EndpointID($0) }
            allowed[request.id] = request.allowedEndpoints
        }
        if Int.random(in: 0..<8, using: &generator) == 0 { request.timeToLive = .milliseconds(400) }
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
            case .start(let id, let endpoint):
                if allowed[id].map({ !$0.contains(endpoint) }) ?? false { violations.append("\(id) went astray") }
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
        for load in scheduler.endpoints.map(\.load) where load.pendingPrefillTokens < 0 || load.reservedKVTokens < 0 {
            violations.append("negative load at \(now.seconds) s")
        }
        if running.count != scheduler.endpoints.reduce(0, { $0 + $1.load.requests }) {
            violations.append("running and reserved differ at \(now.seconds) s")
        }
    }
}

import Basics
import DispatchGates
import Testing

/// Random gates under random events: nothing that was reserved may be lost, and nothing returned twice.
@Suite struct ReservationWorldTests {
    private struct World {
        var random: SeededGenerator
        var gate: DispatchGate
        var now = Instant(seconds: 1)
        var pending: [UInt64: QuotaRequest] = [:]
        var running: Set<UInt64> = []
        /// Acquisitions that are out: granted, or perhaps granted.
        var granted: [String: QuotaRequest] = [:]
        var tokensUsedUp = 0
        var returned = 0
        let limits: [Int]

        init(seed: UInt64) {
            random = SeededGenerator(seed: seed)
            let configuration = Self.configuration(&random, depth: 0)
            limits = Self.limits(configuration)
            gate = DispatchGate(configuration, owner: "w\(seed)")
        }

        static func configuration(_ random: inout SeededGenerator, depth: Int) -> GateConfiguration {
            let kind = Int.random(in: 0..<(depth < 3 ? 10 : 6), using: &random)
            switch kind {
            case 0: return .localMaxConcurrency(.init(limit: Int.random(in: 1...4, using: &random)))
            case 1, 2:
                var quota = GateConfiguration.RedisQuota(address: "r", limit: 3)
                quota.mode = Bool.random(using: &random) ? .concurrency : .rateLimit
                quota.gatingMode = Bool.random(using: &random) ? .blocking : .classifying
                return .redisQuota(quota)
            case 3: return .prometheusQuery(.init(query: "q\(Int.random(in: 0..<3, using: &random))"))
            case 4: return .aimd(.init())
            case 5:
                var scrape = GateConfiguration.EndpointScrape(url: "u", metric: "m")
                scrape.maxCountPerPod = 6
                scrape.admission = .counted
                return .endpointScrape(scrape)
            case 6: return .waitOnRefuse(configuration(&random, depth: depth + 1))
            case 7: return .tierPriorityAdmission(.init(saturationGate: configuration(&random, depth: depth + 1)))
            default:
                let count = Int.random(in: 1...4, using: &random)
                return .composite((0..<count).map { _ in configuration(&random, depth: depth + 1) })
            }
        }

        static func limits(_ configuration: GateConfiguration) -> [Int] {
            switch configuration {
            case .localMaxConcurrency(let gate): [gate.limit]
            case .composite(let gates): gates.flatMap(limits)
            case .waitOnRefuse(let gate): limits(gate)
            // What waits within one goes on past the rest of it.
            case .tierPriorityAdmission: []
            default: []
            }
        }

        mutating func step() {
            now = now + .milliseconds(Double(Int.random(in: 1...400, using: &random)))
            let id = UInt64.random(in: 0..<12, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3 where !running.contains(id): note(gate.apply(subject(id), now: now), of: id)
            case 4, 5: answer()
            case 6:
                for source in gate.sources {
                    let value = Double.random(in: -0.2...6, using: &random)
                    gate.observe(Bool.random(using: &random) ? .value(value) : .absent, of: source, now: now)
                }
            case 7: learn()
            case 8: end(id, wasSent: true)
            default: end(id, wasSent: Bool.random(using: &random))
            }
            collect()
        }

        private mutating func subject(_ id: UInt64) -> GateSubject {
            let classification = ["reserved", "overflow", ""].randomElement(using: &random) ?? ""
            let tier = ["interactive", "async", "batch"].randomElement(using: &random) ?? ""
            return GateSubject(
                id: id, metadata: Bool.random(using: &random) ? ["userid": "u\(id % 3)"] : [:],
                labels: ["classification": classification, "tier": tier])
        }

        private mutating func note(_ verdict: GateVerdict, of id: UInt64) {
            switch verdict {
            case .proceed: running.insert(id)
            case .acquire(let request):
                #expect(pending[id] == nil)
                pending[id] = request
            case .wait, .refuse, .drop: break
            }
        }

        private mutating func answer() {
            guard let id = pending.keys.sorted().randomElement(using: &random),
                let request = pending.removeValue(forKey: id)
            else { return }
            switch Int.random(in: 0..<5, using: &random) {
            case 4: note(gate.unasked(id, now: now), of: id)
            case 0:
                granted[request.owner] = request
                note(gate.acquireFailed(id, now: now), of: id)
            case 1: note(gate.resume(id, granted: false, now: now), of: id)
            default:
                granted[request.owner] = request
                note(gate.resume(id, granted: true, now: now), of: id)
            }
        }

        private mutating func learn() {
            guard let id = running.sorted().randomElement(using: &random) else { return }
            let lessons: [GateLesson] = [
                .accepted, .rejectedForCapacity(retryAfter: nil), .rejectedForCapacity(retryAfter: .seconds(1)),
                .queueExpired, .evicted, .other,
            ]
            let sentAt = now - .milliseconds(Double(Int.random(in: 0...2000, using: &random)))
            gate.learn(lessons.randomElement(using: &random) ?? .other, of: id, sentAt: sentAt, now: now)
        }

        private mutating func end(_ id: UInt64, wasSent: Bool) {
            running.remove(id)
            if wasSent { gate.release(id) } else { gate.withdraw(id) }
        }

        mutating func collect() {
            for request in gate.takeReturns() {
                #expect(granted.removeValue(forKey: request.owner) == request, "returned without having been acquired")
                returned += 1
            }
        }

        mutating func drain() {
            for id in running.union(pending.keys) { end(id, wasSent: true) }
            while !pending.isEmpty { answer() }
            for id in running { end(id, wasSent: true) }
            collect()
        }
    }

    @Test func reservationsNeverLeak() {
        var returned = 0
        for seed in 1...400 as ClosedRange<UInt64> {
            var world = World(seed: seed)
            for _ in 0..<300 {
                world.step()
                // Every request passes every element, so the narrowest limit bounds them all.
                if let limit = world.limits.min() { #expect(world.running.count <= limit, "seed \(seed)") }
            }
            world.drain()
            returned += world.returned
            #expect(world.gate.heldCount == 0, "seed \(seed)")
            for status in world.gate.statuses(now: world.now) {
                if status.type == "local-max-concurrency" { #expect(status.budget == 1, "seed \(seed)") }
                #expect(status.windows.allSatisfy { $0.inFlight == 0 }, "seed \(seed)")
            }
            // What is still out are tokens of rate limits that sent requests used up.
            #expect(world.granted.values.allSatisfy { $0.mode == .rateLimit }, "seed \(seed)")
        }
        #expect(returned > 1000, "the worlds must have had something to return")
    }
}

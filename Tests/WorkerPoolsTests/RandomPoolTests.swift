import Basics
import DispatchGates
import Testing
import WorkerPools

/// A pool among gates that open and close, quotas that are granted or not, and requests that leave when they like.
private struct PoolWorld {
    var generator: SeededGenerator
    var machine: WorkerPoolStateMachine
    let workers: Int
    var now = start
    var lastID: UInt64 = 0
    var alive: Set<UInt64> = []
    var running: Set<UInt64> = []
    var questions: [(id: UInt64, quota: QuotaRequest)] = []
    var granted: Set<QuotaRequest> = []
    var ends = 0

    init(seed: UInt64) throws {
        generator = SeededGenerator(seed: seed)
        workers = 1 + Int(generator.unit() * 6)
        let policy = MergePolicy.allCases[Int(generator.unit() * 2.999)]
        let mode: GateParameter = .text(generator.unit() < 0.5 ? "classifying" : "blocking")
        machine = pool(
            workers: workers, merge: policy, ageing: generator.unit() < 0.5 ? .seconds(5) : nil,
            gate: try Self.poolGate(chance: generator.unit()),
            queues: [
                ("a", try quotaGate(["limit": .number(2), "gating_mode": mode])), ("b", nil),
                ("c", try gate("local-max-concurrency", ["limit": .number(2)])),
            ])
    }

    private static func poolGate(chance: Double) throws -> DispatchGate? {
        if chance < 0.3 { return nil }
        let slack: GateParameter = .object([
            "gate_type": .text("prometheus-query"), "gate_params": .object(["query": .text("slack")]),
        ])
        if chance < 0.6 { return try gate("prometheus-query", ["query": .text("slack")]) }
        let quota: GateParameter = .object([
            "gate_type": .text("redis-quota"),
            "gate_params": .object([
                "address": .text("127.0.0.1:6379"), "limit": .number(2), "mode": .text("concurrency"),
                "gating_mode": .text(chance < 0.8 ? "classifying" : "blocking"), "prefix": .text("pool:"),
            ]),
        ])
        let places: GateParameter = .object([
            "gate_type": .text("local-max-concurrency"), "gate_params": .object(["limit": .number(2)]),
        ])
        return try gate("composite", ["gates": .list([places, quota, slack])])
    }

    mutating func chance(_ probability: Double) -> Bool { generator.unit() < probability }

    mutating func step() {
        now = now + .seconds(generator.unit())
        if chance(0.5) {
            lastID += 1
            alive.insert(lastID)
            let request = subject(
                lastID, queue: ["a", "b", "c"][Int(generator.unit() * 2.999)], due: 100 * generator.unit(),
                user: chance(0.8) ? "u\(Int(generator.unit() * 3))" : nil)
            take(machine.offered(request, now: now))
        }
        if chance(0.5), let id = running.sorted().first {
            running.remove(id)
            alive.remove(id)
            ends += 1
            take(machine.ended(id, chance(0.8) ? .accepted : .other, now: now))
        }
        if chance(0.1), let id = alive.subtracting(running).sorted().first {
            alive.remove(id)
            take(machine.withdrawn(id, now: now))
        }
        if chance(0.3) {
            take(machine.observed(.value(generator.unit()), of: .prometheus(query: "slack"), now: now))
        }
        if chance(0.6), !questions.isEmpty { answer(granting: chance(0.5)) }
        take(machine.tick(now: now))
    }

    mutating func answer(granting: Bool) {
        let question = questions.removeFirst()
        let isAnswered = granting || chance(0.8)
        // Whether a question that failed was granted is unknown: it is returned like one that was.
        if granting || !isAnswered { granted.insert(question.quota) }
        take(
            isAnswered
                ? machine.acquired(question.id, question.quota, granted: granting, now: now)
                : machine.acquireFailed(question.id, question.quota, now: now))
    }

    mutating func take(_ actions: [WorkerPoolStateMachine.Action]) {
        for action in actions {
            switch action {
            case .start(let id, _):
                #expect(alive.contains(id) && running.insert(id).inserted)
            case .postpone(let id, _, _), .drop(let id, _):
                #expect(alive.remove(id) != nil && !running.contains(id))
            case .acquire(let id, let quota): questions.append((id, quota))
            case .giveBack(let quotas):
                for quota in quotas {
                    #expect(granted.remove(quota) != nil, "\(quota.owner) returned, but never granted")
                }
            }
        }
        #expect(running.count <= workers)
        #expect(machine.runningCount == running.count)
    }

    /// Everything is answered, granted and ended: nothing may be left.
    mutating func finish() {
        for _ in 0..<20_000 where !alive.isEmpty || !questions.isEmpty {
            now = now + .seconds(1)
            take(machine.observed(.value(1), of: .prometheus(query: "slack"), now: now))
            while !questions.isEmpty { answer(granting: true) }
            for id in running.sorted() {
                running.remove(id)
                alive.remove(id)
                ends += 1
                take(machine.ended(id, .accepted, now: now))
            }
        }
    }
}

@Suite struct RandomPoolTests {
    @Test(arguments: UInt64(1)...60)
    func nothingIsLostAndEveryQuotaIsReturned(seed: UInt64) throws {
        var world = try PoolWorld(seed: seed)
        for _ in 0..<400 { world.step() }
        world.finish()
        #expect(world.alive.isEmpty && world.machine.waitingCount == 0 && world.ends > 50)
        #expect(world.granted.isEmpty, "kept: \(world.granted.map(\.owner))")
        #expect(["a", "b", "c"].allSatisfy { world.machine.used(by: $0) == 0 })
        #expect(world.machine.poolGate.map { $0.heldCount == 0 } ?? true)
    }
}

import AsyncProcessor
import Basics
import Delivery
import DispatchGates
import MessageQueues
import PooledDispatch
import Synchronization
import Testing
import WorkerPools

/// Carries a request for as long as the test wants.
private final class HeldDispatcher: InferenceDispatcher {
    private struct State {
        var open = false
        var running = 0
        var most = 0
        var order: [String] = []
        var stamps: [String: String] = [:]
    }

    private let state = Mutex(State())
    private let changed = ChangeSignal()

    var running: Int { state.withLock { $0.running } }
    var most: Int { state.withLock { $0.most } }
    var order: [String] { state.withLock { $0.order } }
    var stamps: [String: String] { state.withLock { $0.stamps } }

    func open() {
        state.withLock { $0.open = true }
        changed.notify()
    }

    /// Suspends until so many requests have been started in all.
    func started(_ count: Int) async {
        while true {
            let version = changed.version
            if order.count >= count { return }
            await changed.wait(past: version)
        }
    }

    func perform(_ request: AsyncRequest, started: @escaping @Sendable () -> Void) async -> AttemptOutcome {
        started()
        state.withLock { state in
            state.running += 1
            state.most = max(state.most, state.running)
            state.order.append(request.id)
            state.stamps = request.stamps
        }
        changed.notify()
        while !Task.isCancelled {
            let version = changed.version
            if state.withLock({ $0.open }) { break }
            await changed.wait(past: version)
        }
        state.withLock { $0.running -= 1 }
        return Task.isCancelled ? .withdrawn : .answered(AttemptResponse(statusCode: 200, body: []))
    }
}

/// A quota store that says what it is told to.
private final class ScriptedQuotas: QuotaSource {
    private struct Outage: Error {}
    private struct State {
        var answers: [Bool?]
        var returned = 0
    }

    private let state: Mutex<State>

    /// - Parameter answers: one after the other; nil fails, and after the last everything is granted.
    init(_ answers: [Bool?] = []) { state = Mutex(State(answers: answers)) }

    var returned: Int { state.withLock { $0.returned } }

    func acquire(_ quota: QuotaRequest) async throws -> Bool {
        guard let answer = state.withLock({ $0.answers.isEmpty ? true : $0.answers.removeFirst() }) else {
            throw Outage()
        }
        return answer
    }

    func giveBack(_ quotas: [QuotaRequest]) async { state.withLock { $0.returned += quotas.count } }
}

private func request(_ id: String, due seconds: Double = 60, user: String = "u", tier: String? = nil) -> AsyncRequest {
    var message = InferenceMessage(
        id: id, created: .zero, deadline: Instant(seconds: 2_000_000_000) + .seconds(seconds), path: "/v1/completions",
        payload: Array("{}".utf8), metadata: ["userid": user])
    message.labels = tier.map { ["tier": $0] } ?? [:]
    return AsyncRequest(
        LeasedMessage(
            lease: Lease(sequence: 1, token: 1), message: message, attempts: AttemptRecord(), generation: "g",
            enqueued: .zero))
}

private func gate(_ type: String, _ parameters: [String: GateParameter]) throws -> DispatchGate {
    DispatchGate(try GateConfiguration(type: type, parameters: parameters), owner: "test")
}

private func workerPool(
    _ workers: Int, merge: MergePolicy = .deadline, gate: DispatchGate? = nil, quotas: ScriptedQuotas = .init()
) -> WorkerPool {
    var configuration = WorkerPoolConfiguration(name: "default", workers: workers)
    configuration.merge = merge
    return WorkerPool(configuration, gate: gate, quotas: quotas, seed: 1)
}

@Suite struct PooledDispatcherTests {
    private let next = HeldDispatcher()

    @Test func onlyAsManyRequestsAsWorkersAreUnderWayAndTheEarliestDeadlineIsNext() async {
        let pool = workerPool(2)
        let dispatcher = pool.dispatcher(for: "q", labels: [:], gate: nil, to: next)
        await withTaskGroup(of: AttemptOutcome.self) { group in
            group.addTask { await dispatcher.perform(request("first")) {} }
            group.addTask { await dispatcher.perform(request("second")) {} }
            await next.started(2)
            for id in 1...20 { group.addTask { await dispatcher.perform(request("\(id)", due: Double(id))) {} } }
            while pool.counts.waiting < 20 { await Task.yield() }
            #expect(next.running == 2)
            next.open()
            for await outcome in group { #expect(outcome == .answered(AttemptResponse(statusCode: 200, body: []))) }
        }
        #expect(next.most == 2)
        #expect(next.order.count == 22)
        #expect(Set(next.order[2...3]) == ["1", "2"])
        #expect(pool.counts == (waiting: 0, running: 0))
    }

    @Test func aRequestThatWaitsIsTakenBackAtOnce() async {
        let pool = workerPool(1)
        let dispatcher = pool.dispatcher(for: "q", labels: [:], gate: nil, to: next)
        let first = Task { await dispatcher.perform(request("first")) {} }
        await next.started(1)
        let second = Task { await dispatcher.perform(request("second")) {} }
        while pool.counts.waiting < 1 { await Task.yield() }
        second.cancel()
        #expect(await second.value == .withdrawn)
        #expect(pool.counts == (waiting: 0, running: 1))
        first.cancel()
        #expect(await first.value == .withdrawn)
        #expect(next.order == ["first"] && pool.counts == (waiting: 0, running: 0))
    }

    @Test func aReadingOpensAClosedGate() async throws {
        let source = GateSource.prometheus(query: "slack")
        let pool = workerPool(1, gate: try gate("prometheus-query", ["query": .text("slack")]))
        let dispatcher = pool.dispatcher(for: "q", labels: [:], gate: nil, to: next)
        let outcome = Task { await dispatcher.perform(request("a")) {} }
        while pool.counts.waiting < 1 { await Task.yield() }
        #expect(pool.limit == 0)
        next.open()
        pool.observe(.value(0.4), of: source)
        #expect(await outcome.value == .answered(AttemptResponse(statusCode: 200, body: [])))
    }

    @Test func aDroppedRequestIsNeverSent() async throws {
        let tiers = try gate(
            "tier-priority-admission",
            ["saturation_gate": .text("constant"), "saturation_gate_params": .object(["budget": .number(0)])])
        let pool = workerPool(1)
        let dispatcher = pool.dispatcher(
            for: "q", labels: ["tier": "interactive", "classification": "overflow"], gate: tiers, to: next)
        guard case .dropped(let reason) = await dispatcher.perform(request("a"), started: {}) else {
            Issue.record("expected a drop")
            return
        }
        #expect(reason.contains("Too Many Requests") && next.order.isEmpty)
    }

    @Test func aQuotaThatIsExhaustedOrUnreachableIsAskedForAgain() async throws {
        let quotas = ScriptedQuotas([false, nil, true])
        let pool = workerPool(1, quotas: quotas)
        let quota = try gate(
            "redis-quota",
            ["address": .text("127.0.0.1:6379"), "limit": .number(1), "mode": .text("concurrency")])
        let dispatcher = pool.dispatcher(for: "q", labels: [:], gate: quota, to: next)
        next.open()
        let keeper = Task { await pool.run() }
        let outcome = await dispatcher.perform(request("a")) {}
        #expect(outcome == .answered(AttemptResponse(statusCode: 200, body: [])))
        keeper.cancel()
        await keeper.value
        while quotas.returned < 2 { await Task.yield() }
        #expect(quotas.returned == 2)
    }

    @Test func theLaneIsToldToTheGatewayIfAHeaderIsNamed() async {
        let pool = workerPool(1, merge: .tierPriority)
        let stamp = LaneStamp(
            priorityHeader: "x-gateway-priority", objectiveHeader: "x-llm-d-inference-objective",
            objectives: ["overflow-async": "spare", "reserved-async": "paid"])
        let dispatcher = pool.dispatcher(for: "q", labels: [:], gate: nil, stamp: stamp, to: next)
        next.open()
        _ = await dispatcher.perform(request("a", tier: "async")) {}
        #expect(next.stamps == ["x-gateway-priority": "4", "x-llm-d-inference-objective": "spare"])
    }

    @Test func requestsThatLeaveAtAnyMomentLeaveNothingBehind() async throws {
        let pool = workerPool(3, gate: try gate("local-max-concurrency", ["limit": .number(2)]))
        let quota = try gate(
            "redis-quota",
            ["address": .text("127.0.0.1:6379"), "limit": .number(5), "mode": .text("concurrency")])
        let dispatcher = pool.dispatcher(for: "q", labels: [:], gate: quota, to: next)
        next.open()
        let keeper = Task { await pool.run() }
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<600 {
                group.addTask {
                    let task = Task { await dispatcher.perform(request("\(number)", user: "u\(number % 7)")) {} }
                    for _ in 0..<(number % 5) { await Task.yield() }
                    if number % 3 == 0 { task.cancel() }
                    let outcome = await task.value
                    if number % 3 != 0 { #expect(outcome != .withdrawn) }
                }
            }
        }
        while pool.counts != (waiting: 0, running: 0) { await Task.yield() }
        #expect(pool.gateReport?.held == 0)
        keeper.cancel()
        await keeper.value
    }
}

import AsyncProcessor
import Basics
import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues
import Synchronization

/// A clock that stands still until it is moved; sleepers wake when their time has come.
final class ManualClock: DeliveryClock {
    private struct State {
        var now = Instant(seconds: 1_800_000_000)
        var sleepers: [UUID: Instant] = [:]
    }

    private let state = Mutex(State())
    private let moved = ChangeSignal()
    private let slept = ChangeSignal()

    func now() -> Instant { state.withLock { $0.now } }

    func sleep(until instant: Instant) async throws {
        let id = UUID()
        state.withLock { $0.sleepers[id] = instant }
        slept.notify()
        defer { state.withLock { $0.sleepers[id] = nil } }
        while true {
            let version = moved.version
            if now() >= instant { return }
            await moved.wait(past: version)
            try Task.checkCancellation()
        }
    }

    func advance(_ span: TimeSpan) {
        state.withLock { $0.now = $0.now + span }
        moved.notify()
    }

    /// Suspends until there is a sleeper whose time has not come.
    func untilSomebodySleeps() async {
        while true {
            let version = slept.version
            if state.withLock({ state in state.sleepers.values.contains { $0 > state.now } }) { return }
            await slept.wait(past: version)
        }
    }
}

/// A pool that does what the test says: requests wait until it starts them, and then until it ends them.
final class ScriptedPool: InferenceDispatcher {
    private struct Waiting {
        let request: AsyncRequest
        let started: @Sendable () -> Void
        var hasStarted = false
        let end: CheckedContinuation<AttemptOutcome, Never>
    }

    private struct State {
        var waiting: [Int: Waiting] = [:]
        var nextTicket = 0
        /// Every request ever offered, in order.
        var offers: [String] = []
        var highestOffered = 0
        /// Decides at once how a request ends, instead of the test.
        var script: (@Sendable (AsyncRequest, Int) -> AttemptOutcome)?
    }

    private let state = Mutex(State())
    private let changes = ChangeSignal()

    init(script: (@Sendable (_ request: AsyncRequest, _ offer: Int) -> AttemptOutcome)? = nil) {
        state.withLock { $0.script = script }
    }

    func perform(_ request: AsyncRequest, started: @escaping @Sendable () -> Void) async -> AttemptOutcome {
        let (script, offer) = state.withLock { state in
            state.offers.append(request.id)
            return (state.script, state.offers.count { $0 == request.id })
        }
        changes.notify()
        if let script {
            let outcome = script(request, offer)
            if case .rejected = outcome {} else { started() }
            return outcome
        }
        let ticket = state.withLock { state in
            state.nextTicket += 1
            return state.nextTicket
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if Task.isCancelled { return true }
                    state.waiting[ticket] = Waiting(request: request, started: started, end: continuation)
                    state.highestOffered = max(state.highestOffered, state.waiting.count { !$0.value.hasStarted })
                    return false
                }
                if isCancelled { continuation.resume(returning: .withdrawn(.stopping)) }
                changes.notify()
            }
        } onCancel: {
            end(ticket, .withdrawn(.stopping))
        }
    }

    private func end(_ ticket: Int, _ outcome: AttemptOutcome) {
        state.withLock { $0.waiting.removeValue(forKey: ticket) }?.end.resume(returning: outcome)
        changes.notify()
    }

    /// Ids of the requests that wait to be started.
    var offered: Set<String> {
        state.withLock { Set($0.waiting.values.filter { !$0.hasStarted }.map(\.request.id)) }
    }

    /// How often each id was offered.
    var offers: [String: Int] { state.withLock { $0.offers.reduce(into: [:]) { $0[$1, default: 0] += 1 } } }

    var highestOffered: Int { state.withLock { $0.highestOffered } }

    func start(_ id: String) {
        let started = state.withLock { state -> (@Sendable () -> Void)? in
            guard let ticket = state.waiting.first(where: { $0.value.request.id == id })?.key else { return nil }
            state.waiting[ticket]?.hasStarted = true
            return state.waiting[ticket]?.started
        }
        started?()
    }

    func end(_ id: String, _ outcome: AttemptOutcome) {
        let ticket = state.withLock { state in state.waiting.first { $0.value.request.id == id }?.key }
        if let ticket { end(ticket, outcome) }
    }

    /// Suspends until `condition` holds for the pool.
    func until(_ condition: (ScriptedPool) -> Bool) async {
        while true {
            let version = changes.version
            if condition(self) { return }
            await changes.wait(past: version)
        }
    }
}

extension AttemptOutcome {
    static func status(_ code: Int, retryAfter: TimeSpan? = nil) -> AttemptOutcome {
        .answered(
            AttemptResponse(statusCode: code, body: Array("{}".utf8), retryAfter: retryAfter, endpoint: "http://a"))
    }
}

/// A processor at work on a queue file of its own.
final class Plant: Sendable {
    let url: URL
    let clock = ManualClock()
    let queue: EmbeddedQueue

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("weir-processor-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        var configuration = EmbeddedQueue.Configuration(path: url.appendingPathComponent("queue.db").path)
        configuration.clock = clock
        configuration.flushesForPowerLoss = false
        configuration.foreignPoll = .milliseconds(2)
        queue = try EmbeddedQueue(configuration, role: .consumer)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func processor(
        _ pool: ScriptedPool, _ change: (inout AsyncProcessor.Configuration) -> Void = { _ in }
    ) -> AsyncProcessor {
        var configuration = AsyncProcessor.Configuration()
        configuration.clock = clock
        change(&configuration)
        return AsyncProcessor(queue: queue, dispatcher: pool, configuration: configuration)
    }

    func submit(_ ids: [String], window: TimeSpan = .seconds(3600)) async throws {
        let now = clock.now()
        let messages = ids.map {
            InferenceMessage(
                id: $0, created: now, deadline: now + window, path: "/v1/completions", payload: Array("{}".utf8))
        }
        _ = try await queue.enqueue(messages)
    }

    /// Suspends until there are so many results, and returns them.
    func results(_ count: Int) async throws -> [StoredResult] {
        var results: [StoredResult] = []
        while results.count < count {
            try await queue.waitForResults(after: results.last?.cursor ?? 0)
            results += try await queue.results(after: results.last?.cursor ?? 0, limit: 1000)
        }
        return results
    }

    /// Suspends until the queue is in the state that `condition` describes; its depth has no event to wait for.
    func until(_ condition: (QueueDepth) -> Bool) async throws {
        while !condition(try await queue.depth()) { await Task.yield() }
    }
}

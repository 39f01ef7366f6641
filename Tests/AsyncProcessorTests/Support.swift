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
        var wall = Instant(seconds: 1_800_000_000)
        var steady = Instant(seconds: 5000)
        var sleepers: [UUID: Instant] = [:]
    }

    private let state = Mutex(State())
    private let moved = ChangeSignal()
    private let slept = ChangeSignal()

    func now() -> Instant { state.withLock { $0.wall } }

    func steady() -> Instant { state.withLock { $0.steady } }

    func sleep(for span: TimeSpan) async throws {
        let id = UUID()
        let end = state.withLock { state in
            let end = state.steady + span
            state.sleepers[id] = end
            return end
        }
        slept.notify()
        defer { state.withLock { $0.sleepers[id] = nil } }
        while true {
            let version = moved.version
            if steady() >= end { return }
            await moved.wait(past: version)
            try Task.checkCancellation()
        }
    }

    func advance(_ span: TimeSpan) {
        state.withLock { state in
            state.wall = state.wall + span
            state.steady = state.steady + span
        }
        moved.notify()
    }

    /// Suspends until there is a sleeper whose time has not come.
    func untilSomebodySleeps() async {
        while true {
            let version = slept.version
            if state.withLock({ state in state.sleepers.values.contains { $0 > state.steady } }) { return }
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
        var requests: [AsyncRequest] = []
        var offers: [String: Int] = [:]
        var isStubborn = false
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
            state.requests.append(request)
            state.offers[request.id, default: 0] += 1
            return (state.script, state.offers[request.id] ?? 0)
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
                    if Task.isCancelled, !state.isStubborn { return true }
                    state.waiting[ticket] = Waiting(request: request, started: started, end: continuation)
                    state.highestOffered = max(state.highestOffered, state.waiting.count { !$0.value.hasStarted })
                    return false
                }
                if isCancelled { continuation.resume(returning: .withdrawn) }
                changes.notify()
            }
        } onCancel: {
            if !state.withLock({ $0.isStubborn }) { end(ticket, .withdrawn) }
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

    /// Whether a request with this id waits or runs.
    func isHolding(_ id: String) -> Bool {
        state.withLock { state in state.waiting.values.contains { $0.request.id == id } }
    }

    /// How often each id was offered.
    var offers: [String: Int] { state.withLock { $0.offers } }

    /// Every request that was offered, in order.
    var requests: [AsyncRequest] { state.withLock { $0.requests } }

    /// Whether requests that are taken back go on as if nothing had been said.
    var isStubborn: Bool {
        get { state.withLock { $0.isStubborn } }
        set { state.withLock { $0.isStubborn = newValue } }
    }

    var highestOffered: Int { state.withLock { $0.highestOffered } }

    func start(_ id: String) {
        let started = state.withLock { state -> (@Sendable () -> Void)? in
            let tickets = state.waiting.filter { $0.value.request.id == id && !$0.value.hasStarted }
            guard let ticket = tickets.keys.min() else { return nil }
            state.waiting[ticket]?.hasStarted = true
            return state.waiting[ticket]?.started
        }
        started?()
    }

    /// Ends a request; of several with one id the first that was started, or else the first.
    func end(_ id: String, _ outcome: AttemptOutcome) {
        let ticket = state.withLock { state in
            let tickets = state.waiting.filter { $0.value.request.id == id }
            return tickets.filter(\.value.hasStarted).keys.min() ?? tickets.keys.min()
        }
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
    static func status(
        _ code: Int, body: String = "{}", retryAfter: TimeSpan? = nil, dropReason: String? = nil
    ) -> AttemptOutcome {
        .answered(
            AttemptResponse(
                statusCode: code, body: Array(body.utf8), retryAfter: retryAfter, dropReason: dropReason,
                endpoint: "http://a"))
    }

    static let noRoom = AttemptOutcome.rejected(.capacity, reason: "saturated", retryAfter: nil)
}

/// A processor at work on a queue file of its own.
final class Plant: Sendable {
    let url: URL
    let clock = ManualClock()
    let queue: EmbeddedQueue

    /// Opens a queue. What others write is noticed within `foreignPoll` if their bell is not heard; the queue's own waits
    /// wake as often, since they cannot see that a test has moved the clock.
    init(foreignPoll: TimeSpan = .milliseconds(2), usesSystemClock: Bool = false) throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("weir-processor-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        var configuration = EmbeddedQueue.Configuration(path: url.appendingPathComponent("queue.db").path)
        if !usesSystemClock { configuration.clock = clock }
        configuration.flushesForPowerLoss = false
        configuration.foreignPoll = foreignPoll
        queue = try EmbeddedQueue(configuration, role: .consumer)
    }

    deinit {
        // A queue may still be closing; its files that go meanwhile make a removal fail half way.
        for _ in 0..<100 where FileManager.default.fileExists(atPath: url.path) {
            try? FileManager.default.removeItem(at: url)
        }
    }

    /// The same queue as another process has it.
    func client() throws -> EmbeddedQueue {
        var configuration = EmbeddedQueue.Configuration(path: url.appendingPathComponent("queue.db").path)
        configuration.flushesForPowerLoss = false
        return try EmbeddedQueue(configuration, role: .client)
    }

    func processor(
        _ pool: ScriptedPool, queue: (any MessageQueue)? = nil, clock: (any DeliveryClock)? = nil,
        _ change: (inout ConsumerConfiguration) -> Void = { _ in }
    ) -> AsyncProcessor {
        var configuration = AsyncProcessor.Configuration()
        configuration.clock = clock ?? self.clock
        change(&configuration.consumer)
        return AsyncProcessor(queue: queue ?? self.queue, dispatcher: pool, configuration: configuration)
    }

    func message(
        _ id: String, window: TimeSpan = .seconds(3600), model: String? = nil, tenant: String = "", priority: Int = 0
    ) -> InferenceMessage {
        let now = clock.now()
        return InferenceMessage(
            id: id, created: now, deadline: now + window, path: "/v1/completions", payload: Array("{}".utf8),
            model: model, tenant: tenant, priority: priority)
    }

    func submit(_ messages: [InferenceMessage]) async throws { _ = try await queue.enqueue(messages) }

    func submit(_ ids: [String], window: TimeSpan = .seconds(3600), model: String? = nil) async throws {
        try await submit(ids.map { message($0, window: window, model: model) })
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

    /// Moves the clock in small steps until so many results are there, and returns them.
    func results(_ count: Int, advancing step: TimeSpan) async throws -> [StoredResult] {
        while try await queue.depth().results < count {
            clock.advance(step)
            await Task.yield()
        }
        return try await results(count)
    }
}

extension StoredResult {
    /// A member of the result's line that is a string.
    func text(_ member: String) -> String? {
        let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
        return object?[member] as? String
    }

    /// A member of the result's line that is a time in Unix seconds.
    func seconds(_ member: String) -> Double? {
        let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
        return object?[member] as? Double
    }

    /// A member of the result's line that is a whole number.
    func number(_ member: String) -> Int? {
        let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
        return object?[member] as? Int
    }
}

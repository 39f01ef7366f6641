import Basics
import DequeModule
import MessageQueues
import Synchronization

/// Puts items of many callers into few calls, and gives each caller its own answer.
final class Batcher<Item: Sendable, Answer: Sendable>: Sendable {
    private struct Waiter {
        let item: Item
        let continuation: CheckedContinuation<Answer, any Error>
    }

    private struct State {
        var plan: BatchPlan
        var waiters: Deque<Waiter> = []
        var hasTimer = false
    }

    private let state: Mutex<State>
    private let clock: any DeliveryClock
    private let send: @Sendable ([Item]) async -> [Result<Answer, any Error>]

    /// Creates a batcher; `send` returns one answer for each item, in order.
    init(
        limits: BatchPlan.Limits, clock: any DeliveryClock,
        send: @escaping @Sendable ([Item]) async -> [Result<Answer, any Error>]
    ) {
        state = Mutex(State(plan: BatchPlan(limits: limits)))
        self.clock = clock
        self.send = send
    }

    /// Hands an item in and waits for its answer, whether or not the calling task is cancelled.
    func submit(_ item: Item, bytes: Int) async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            state.withLock { state in
                state.plan.add(bytes: bytes, now: clock.steady())
                state.waiters.append(Waiter(item: item, continuation: continuation))
            }
            advance()
        }
    }

    private func advance() {
        while let batch = nextBatch() { Task { await perform(batch) } }
        startTimer()
    }

    private func nextBatch() -> [Waiter]? {
        state.withLock { state in
            guard let count = state.plan.next(now: clock.steady()) else { return nil }
            let batch = Array(state.waiters.prefix(count))
            state.waiters.removeFirst(count)
            return batch
        }
    }

    private func perform(_ batch: [Waiter]) async {
        let answers = await send(batch.map(\.item))
        state.withLock { $0.plan.finished() }
        advance()
        for (index, waiter) in batch.enumerated() {
            if index < answers.count {
                waiter.continuation.resume(with: answers[index])
            } else {
                waiter.continuation.resume(throwing: PubSubError(.other, place: "batch", detail: "no answer"))
            }
        }
    }

    /// Looks again when the oldest item has waited long enough; there is one timer at most.
    private func startTimer() {
        let wake: Instant? = state.withLock { state in
            guard !state.hasTimer, let wake = state.plan.wake else { return nil }
            state.hasTimer = true
            return wake
        }
        guard let wake else { return }
        Task {
            try? await clock.sleep(for: wake - clock.steady())
            state.withLock { $0.hasTimer = false }
            advance()
        }
    }
}

/// Calls `body` with all items; if that fails in a way for which `isToBeSplit` says yes, with each half, and so on down
/// to single ones, so that one bad item does not fail the others. At most `2 * items.count` calls.
func bisecting<Item: Sendable, Answer: Sendable>(
    _ items: ArraySlice<Item>, isToBeSplit: @Sendable (PubSubError, Int) -> Bool,
    _ body: @Sendable ([Item]) async -> Result<[Answer], PubSubError>
) async -> [Result<Answer, PubSubError>] {
    let outcome = await body(Array(items))
    switch outcome {
    case .success(let answers): return answers.map { .success($0) }
    case .failure(let error):
        guard items.count > 1, isToBeSplit(error, items.count) else { return items.map { _ in .failure(error) } }
        let middle = items.startIndex + items.count / 2
        return await bisecting(items[..<middle], isToBeSplit: isToBeSplit, body)
            + bisecting(items[middle...], isToBeSplit: isToBeSplit, body)
    }
}

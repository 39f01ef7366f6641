import Basics
import Delivery
import EmbeddedQueue
import MessageQueues

/// Puts messages into the queue at the same pace as the direct push, from outside the service, as `weir submit` does.
struct QueuePush: Sendable {
    let queuePath: String
    let ledger: Ledger

    /// Enqueues every body at its time and returns when each has its result.
    func run(_ bodies: [[UInt8]], perSecond: Double, act: Act) async throws {
        let queue = try EmbeddedQueue(.init(path: queuePath), role: .client)
        let start = ContinuousClock.now
        var cursor: Int64 = 0
        let batch = max(1, Int(perSecond / 10))
        for first in stride(from: 0, to: bodies.count, by: batch) {
            try await Task.sleep(until: start + .seconds(Double(first) / perSecond), clock: .continuous)
            let now = SystemClock().now()
            let messages = (first..<min(first + batch, bodies.count)).map { index in
                InferenceMessage(
                    id: "demo-\(index)", created: now, deadline: now + .seconds(3600), path: "/v1/chat/completions",
                    payload: bodies[index])
            }
            let accepted = try await queue.enqueue(messages).count { $0 == .accepted }
            ledger.update(act) { $0.submitted += accepted }
            cursor = try await countResults(after: cursor, in: queue, act: act, since: start)
        }
        while ledger.record(act).served + ledger.record(act).dropped < bodies.count {
            try Task.checkCancellation()
            try await queue.waitForResults(after: cursor)
            cursor = try await countResults(after: cursor, in: queue, act: act, since: start)
        }
        try queue.close()
    }

    /// Counts what has been stored since the last look; returns the place of the last result.
    private func countResults(
        after last: Int64, in queue: EmbeddedQueue, act: Act, since start: ContinuousClock.Instant
    ) async throws -> Int64 {
        var cursor = last
        while true {
            let page = try await queue.results(after: cursor, limit: 1000)
            guard let end = page.last else { return cursor }
            cursor = end.cursor
            let served = page.count { $0.isSuccess }
            ledger.update(act) { record in
                record.served += served
                record.dropped += page.count - served
                record.batchSeconds = (ContinuousClock.now - start).milliseconds / 1000
            }
        }
    }
}

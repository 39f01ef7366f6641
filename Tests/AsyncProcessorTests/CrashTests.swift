import AsyncProcessor
import Basics
import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where a message is when the process dies.
enum Moment: String, Codable, CaseIterable, Sendable {
    /// Accepted, and in nobody's hands.
    case submitted
    /// In the processor's hands, offered, with no endpoint.
    case offered
    /// An endpoint works on it.
    case started
    /// Waiting for the time of its next attempt.
    case delayed
    /// Answered; the result is about to be stored.
    case answered
    /// The result is stored, and the processor has not heard of that.
    case stored
    /// About to be given back.
    case handingBack
    /// In work, and its owner has asked to cancel it.
    case cancelling
}

/// Which messages were run, in a file that outlives the process.
private struct ExecutionLog: Sendable {
    let path: String

    func append(_ id: String) {
        let line = Array((id + "\n").utf8)
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT, 0o600)
        _ = write(descriptor, line, line.count)
        close(descriptor)
    }

    /// How often each message was run.
    func counts() throws -> [String: Int] {
        guard FileManager.default.fileExists(atPath: path) else { return [:] }
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
            .reduce(into: [:]) { $0[String($1), default: 0] += 1 }
    }
}

private func die() { kill(getpid(), SIGKILL) }

private func messages(_ range: Range<Int>) -> [InferenceMessage] {
    let now = SystemClock().now()
    return range.map { number in
        InferenceMessage(
            id: "m\(number)", created: now, deadline: now + .seconds(3600), path: "/v1/completions",
            payload: Array("{}".utf8))
    }
}

/// Works on a queue until it dies with 40 messages at a certain place.
private func workUntilKilled(at moment: Moment, path: String, log: ExecutionLog) async throws {
    let queue = try EmbeddedQueue(EmbeddedQueue.Configuration(path: path), role: .consumer)
    _ = try await queue.enqueue(messages(0..<40))
    if moment == .submitted { die() }
    let observed = ObservedQueue(queue) { call in
        if moment == .answered, call == .complete { die() }
        if moment == .handingBack, call == .release { die() }
    } after: { call in
        if moment == .stored, call == .complete { die() }
    }
    let pool = ScriptedPool()
    let processor = AsyncProcessor(queue: observed, dispatcher: pool, configuration: .init())
    async let run: Void = processor.run()
    await pool.until { $0.offered.count == 40 }
    if moment == .offered { die() }
    for id in pool.offered where moment != .handingBack {
        log.append(id)
        pool.start(id)
    }
    switch moment {
    case .started: die()
    case .cancelling:
        pool.isStubborn = true
        for number in 0..<40 { _ = try await queue.cancel("m\(number)", tenant: nil, generation: nil) }
        die()
    case .delayed:
        for number in 0..<40 { pool.end("m\(number)", .status(500, retryAfter: .seconds(3))) }
        while try await queue.depth().delayed < 40 { await Task.yield() }
        die()
    case .handingBack: processor.stop()
    case .answered, .stored: for number in 0..<40 { pool.end("m\(number)", .status(200)) }
    case .submitted, .offered: break
    }
    await run
}

/// Processors that are killed in the middle of their work, for real.
@Suite(.timeLimit(.minutes(2))) final class CrashTests {
    private let directory: URL
    private let path: String
    private let log: ExecutionLog

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("weir-crash-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        path = directory.appendingPathComponent("queue.db").path
        log = ExecutionLog(path: directory.appendingPathComponent("executions").path)
    }

    deinit {
        // A queue may still be closing; its files that go meanwhile make a removal fail half way.
        for _ in 0..<100 where FileManager.default.fileExists(atPath: directory.path) {
            try? FileManager.default.removeItem(at: directory)
        }
    }

    /// Works on the queue until there are so many results.
    private func finish(_ queue: EmbeddedQueue, count: Int) async throws -> [StoredResult] {
        let log = log
        let pool = ScriptedPool { request, _ in
            log.append(request.id)
            return .status(200)
        }
        let processor = AsyncProcessor(queue: queue, dispatcher: pool, configuration: .init())
        async let run: Void = processor.run()
        var results: [StoredResult] = []
        while results.count < count {
            results += try await queue.results(after: results.last?.cursor ?? 0, limit: 5000)
            if results.count < count { try await queue.waitForResults(after: results.last?.cursor ?? 0) }
        }
        processor.stop()
        await run
        return results
    }

    @Test(arguments: Moment.allCases)
    func whereverAMessageIsAKillCostsItNothing(moment: Moment) async throws {
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [path = path as String, record = log.path as String, name = moment.rawValue as String] in
            try await workUntilKilled(
                at: try #require(Moment(rawValue: name)), path: path, log: ExecutionLog(path: record))
        }

        let queue = try EmbeddedQueue(EmbeddedQueue.Configuration(path: path), role: .consumer)
        let before = try await queue.depth()
        #expect(before.leased == 0, "nothing waits for a lease to run out")
        switch moment {
        case .submitted, .offered, .started, .handingBack: #expect(before.ready == 40)
        case .delayed: #expect(before.delayed + before.ready == 40)
        case .cancelling: #expect(before.results == 40)
        case .answered: #expect(before.results == 0 && before.ready == 40)
        case .stored: #expect(before.results >= 1 && before.results + before.ready == 40)
        }
        let results = try await finish(queue, count: 40)
        #expect(results.count == 40 && Set(results.map(\.id)).count == 40)
        #expect(try await queue.depth().unfinished == 0)
        let runs = try log.counts().values
        switch moment {
        case .submitted, .offered, .handingBack:
            #expect(results.allSatisfy { $0.isSuccess && $0.number("attempts") == 1 })
            #expect(runs.count == 40 && runs.allSatisfy { $0 == 1 }, "nothing had been run")
        case .delayed:
            let attempts = results.map { $0.number("attempts") }
            #expect(results.allSatisfy { $0.isSuccess } && attempts.allSatisfy { $0 == 2 })
        case .started, .answered:
            #expect(results.allSatisfy(\.isSuccess) && runs.allSatisfy { $0 == 2 })
        case .stored:
            #expect(results.allSatisfy { $0.isSuccess })
            #expect(runs.reduce(0, +) == 40 + before.ready, "what has a result is not run again")
        case .cancelling:
            #expect(results.allSatisfy { $0.errorCode == "CANCELLED" } && runs.allSatisfy { $0 == 1 })
        }
    }

    @Test func afterAKillAmongManyEveryMessageStillGetsExactlyOneResult() async throws {
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let queue = try EmbeddedQueue(EmbeddedQueue.Configuration(path: path), role: .consumer)
            _ = try await queue.enqueue(messages(0..<2000))
            let calls = Mutex(0)
            let pool = ScriptedPool { _, _ in
                let call = calls.withLock { calls in
                    calls += 1
                    return calls
                }
                if call == 700 { die() }
                return .status(200)
            }
            await AsyncProcessor(queue: queue, dispatcher: pool, configuration: .init()).run()
        }

        let queue = try EmbeddedQueue(EmbeddedQueue.Configuration(path: path), role: .consumer)
        let before = try await queue.results(after: 0, limit: 2000)
        #expect(before.count < 700)
        #expect(try await queue.depth().ready == 2000 - before.count, "nothing waits for a lease to run out")
        let results = try await finish(queue, count: 2000)
        #expect(Set(results.map(\.id)).count == 2000 && results.count == 2000)
        #expect(try await queue.depth().unfinished == 0)
    }
}

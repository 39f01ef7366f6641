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

/// Processors that are killed in the middle of their work, for real.
@Suite(.timeLimit(.minutes(2))) struct CrashTests {
    @Test func afterAKillEveryMessageStillGetsExactlyOneResult() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weir-crash-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("queue.db").path

        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let queue = try EmbeddedQueue(EmbeddedQueue.Configuration(path: path), role: .consumer)
            let now = SystemClock().now()
            _ = try await queue.enqueue(
                (0..<2000).map { number in
                    InferenceMessage(
                        id: "m\(number)", created: now, deadline: now + .seconds(3600), path: "/v1/completions",
                        payload: Array("{}".utf8))
                })
            let calls = Mutex(0)
            let pool = ScriptedPool { _, _ in
                let call = calls.withLock { calls in
                    calls += 1
                    return calls
                }
                if call == 700 { kill(getpid(), SIGKILL) }
                return .status(200)
            }
            await AsyncProcessor(queue: queue, dispatcher: pool, configuration: .init()).run()
        }

        let queue = try EmbeddedQueue(EmbeddedQueue.Configuration(path: path), role: .consumer)
        let before = try await queue.results(after: 0, limit: 2000)
        #expect(before.count < 700)
        #expect(try await queue.depth().ready == 2000 - before.count, "nothing waits for a lease to run out")
        let pool = ScriptedPool { _, _ in .status(200) }
        let processor = AsyncProcessor(queue: queue, dispatcher: pool, configuration: .init())
        async let run: Void = processor.run()
        var results = before
        while results.count < 2000 {
            try await queue.waitForResults(after: results.last?.cursor ?? 0)
            results += try await queue.results(after: results.last?.cursor ?? 0, limit: 2000)
        }
        processor.stop()
        await run
        #expect(Set(results.map(\.id)).count == 2000 && results.count == 2000)
        #expect(try await queue.depth().unfinished == 0)
    }
}

import Basics
import DispatchGates
import GateSources

/// Collects what a watcher reports and lets a test wait for it.
final class ReadingLog: Sendable {
    private typealias Entry = (source: GateSource, reading: GateReading)

    private let stream: AsyncStream<Entry>
    private let continuation: AsyncStream<Entry>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func note(_ source: GateSource, _ reading: GateReading) { continuation.yield((source, reading)) }

    /// The next reading of `source` that is as wanted, if one comes within a minute.
    func next(
        of source: GateSource, where isWanted: @escaping @Sendable (GateReading) -> Bool = { _ in true }
    ) async -> GateReading? {
        await withTaskGroup(of: GateReading?.self) { group in
            group.addTask { [stream] in
                for await entry in stream where entry.source == source && isWanted(entry.reading) {
                    return entry.reading
                }
                return nil
            }
            group.addTask {
                try? await Task.sleep(for: .seconds(60))
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    func failure(of source: GateSource) async -> String? {
        let reading = await next(of: source) { reading in
            if case .failed = reading { true } else { false }
        }
        if case .failed(let sentence) = reading { return sentence }
        return nil
    }
}

/// Watches `sources` while `body` runs.
func withWatcher(
    of sources: Set<GateSource>, _ change: (inout GateWatcherConfiguration) throws -> Void = { _ in },
    onChange: @escaping @Sendable (String, String?) -> Void = { _, _ in },
    body: (ReadingLog, GateWatcher) async throws -> Void
) async throws {
    var configuration = GateWatcherConfiguration()
    configuration.interval = .milliseconds(30)
    try change(&configuration)
    let (log, redis) = (ReadingLog(), RedisClients())
    let watcher = GateWatcher(configuration, sources: sources, redis: redis, onChange: onChange) {
        log.note($0, $1)
    }
    let running = Task { await watcher.run() }
    let result: Result<Void, any Error>
    do { result = .success(try await body(log, watcher)) } catch { result = .failure(error) }
    running.cancel()
    await running.value
    await redis.close()
    try result.get()
}

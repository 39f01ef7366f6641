import Basics
import InferenceAPI
import Pool
import PoolScheduler

/// What the whole scheduler spends on one real-time request at 8 endpoints, from its arrival to the end of its answer.
func schedulerFigures() -> [Figure] {
    let model = StepTimeModel(
        baseMilliseconds: 6.65, perDecodeMilliseconds: 0.0228, perContextTokenMilliseconds: 5.5e-5,
        perPrefillTokenMilliseconds: 0.02)
    let endpoints = (0..<8).map {
        Endpoint(
            name: "endpoint-\($0)",
            capacity: .init(stepTime: model, kvTokens: 421_000, maxConcurrentRequests: 256))
    }
    var scheduler = PoolScheduler(
        configuration: PoolConfiguration(name: "benchmark", endpoints: endpoints), now: .zero)
    var now = Instant.zero
    var id: UInt64 = 0
    let cycle = bestMicroseconds(runs: 100, calls: 500) { _ in
        id += 1
        // Sixteen blocks that recur, and sixteen of its own.
        let hashes = (0..<32 as Range<UInt64>).map { $0 < 16 ? id % 64 << 32 | $0 : id << 40 | $0 }
        var request = PoolRequest(
            id: id, priority: 0, promptTokens: 2048, maxOutputTokens: 200, flow: "tenant-\(id % 8)")
        request.promptBlocks = PromptBlocks(hashes: hashes, unitsPerBlock: 256, units: 32 * 256)
        _ = scheduler.submit(request, now: now)
        now = now + .milliseconds(50)
        scheduler.firstToken(id, now: now)
        now = now + .milliseconds(160)
        scheduler.progressed(id, outputTokens: 17, now: now)
        now = now + .milliseconds(40)
        _ = scheduler.finished(id, AnswerFacts(outputTokens: 21), now: now)
    }
    return [
        Figure(
            name: "scheduler: one request at 8 endpoints, start to end", value: cycle, unit: "us", bar: .none)
    ]
}

import Basics
import EngineModel

/// Runs an engine in virtual time and keeps what it reported.
final class EngineDriver {
    var engine: Engine
    var now = Instant.zero
    var events: [EngineEvent] = []
    /// The contents of each step, in order.
    var steps: [StepContents] = []
    var spans: [TimeSpan] = []

    init(_ configuration: EngineConfiguration, seed: UInt64 = 1, emitsEveryToken: Bool = false) {
        engine = Engine(configuration: configuration, seed: seed, emitsEveryToken: emitsEveryToken)
    }

    @discardableResult
    func submit(_ request: EngineRequest) -> Bool { engine.submit(request, now: now) }

    /// Submits a request by its lengths.
    @discardableResult
    func submit(
        _ id: UInt64, prompt: Int, output: Int, priority: Int = 0, isBatch: Bool = false, hashes: [UInt64] = []
    ) -> Bool {
        submit(
            EngineRequest(
                id: id, promptTokens: prompt, outputTokens: output, priority: priority, isBatch: isBatch,
                promptBlockHashes: hashes))
    }

    @discardableResult
    func abort(_ id: UInt64) -> Bool { engine.abort(id) }

    /// Begins a step without ending it.
    func begin() -> TimeSpan? { engine.beginStep(now: now) }

    /// Ends the step that `begin` began.
    func finish(after span: TimeSpan) {
        now = now + span
        engine.finishStep(now: now, into: &events)
    }

    /// Runs one step; false if there was nothing to do. The events of the step are the last ones of `events`.
    @discardableResult
    func step() -> Bool {
        guard let span = begin() else { return false }
        steps.append(engine.step)
        spans.append(span)
        finish(after: span)
        return true
    }

    /// Runs until nothing is left; false if that takes more than `limit` steps.
    func drain(limit: Int = 100_000) -> Bool {
        for _ in 0..<limit where !step() { return engine.isIdle }
        return false
    }

    var finished: [UInt64] {
        events.compactMap { if case .finished(let id, _, _, _) = $0 { id } else { nil } }
    }

    var preempted: [UInt64] {
        events.compactMap { if case .preempted(let id) = $0 { id } else { nil } }
    }

    var admitted: [UInt64] {
        events.compactMap { if case .admitted(let id, _) = $0 { id } else { nil } }
    }

    func cachedTokens(of request: UInt64) -> Int? {
        for case .finished(request, _, let cachedTokens, _) in events { return cachedTokens }
        return nil
    }
}

extension EngineConfiguration {
    /// A small engine whose step takes 1 ms + 0.1 per decode + 0.01 per prompt token.
    static func small(kvBlocks: Int = 1000) -> EngineConfiguration {
        EngineConfiguration(
            stepTime: StepTimeModel(
                baseMilliseconds: 1, perDecodeMilliseconds: 0.1, perContextTokenMilliseconds: 0,
                perPrefillTokenMilliseconds: 0.01),
            kvBlocks: kvBlocks, maxSequences: 8, maxBatchedTokens: 64)
    }
}

import Basics
import EngineModel

/// Watches, in a window of time, how long steps stay above a limit while they carry batch work (`workloads.md` D.6,
/// control quality).
struct StepWatch: Sendable {
    let from: Instant
    let to: Instant
    let limitMilliseconds: Double
    private let stepTime: StepTimeModel
    private var aboveSince: [Instant?]
    /// The longest unbroken time above the limit, in seconds.
    private(set) var longestAboveSeconds = 0.0
    /// The longest decode part of a step in the window, in milliseconds.
    private(set) var worstStepMilliseconds = 0.0

    init(from: Instant, to: Instant, limitMilliseconds: Double, stepTime: StepTimeModel, replicas: Int) {
        self.from = from
        self.to = to
        self.limitMilliseconds = limitMilliseconds
        self.stepTime = stepTime
        aboveSince = Array(repeating: nil, count: replicas)
    }

    /// Looks at a step; only its decode part counts, since single prompts pass.
    mutating func observe(
        _ step: StepContents, replica: Int, from begin: Instant, to end: Instant, carriesBatch: Bool
    ) {
        guard begin >= from, begin < to else { return }
        let decodePart = stepTime.stepMilliseconds(
            decodes: step.decodes, contextTokens: step.contextTokens, prefillTokens: 0)
        worstStepMilliseconds = max(worstStepMilliseconds, decodePart)
        guard carriesBatch, decodePart > limitMilliseconds else {
            aboveSince[replica] = nil
            return
        }
        let since = aboveSince[replica] ?? begin
        aboveSince[replica] = since
        longestAboveSeconds = max(longestAboveSeconds, (end - since).seconds)
    }
}

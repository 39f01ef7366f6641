import Basics

/// What is known of one endpoint apart from its class.
struct EndpointTracker: Sendable {
    /// How far one outcome moves the endpoint's own correction, usually and while it drifts.
    private static let calmPace = 0.002
    private static let driftPace = 0.1
    /// How far one outcome pulls the correction back to none: what is not seen again is forgotten.
    private static let leak = 0.0005
    /// An endpoint this far from its class, as a logarithm, is another kind of engine.
    private static let foreign = 0.2
    /// Traffic makes the errors of one endpoint come in runs; it takes twice the evidence that a class needs.
    private static let alarmThreshold = 60.0
    /// A drift lasts so long and for so many outcomes.
    private static let driftSpan = TimeSpan.seconds(30)
    private static let driftOutcomes = 40
    /// One outcome is taken for at most this much, as a logarithm.
    private static let largestError = 0.5
    private static let largestCorrection = 3.0
    private static let mostComputed = 16

    let classIndex: Int
    var backlog = PrefillBacklog()
    var law = StepLaw()
    /// Prompt tokens that fit in a step beside what is decoded.
    var budget = 2048.0
    /// Tokens of KV cache for everything that the gateway knows of; infinite while the endpoint has not reported any.
    var kvRoom = Double.infinity
    var stretches = StepStretches()
    var deadlines = FirstTokenDeadlines()
    /// The prompts that were computed last, oldest first.
    private var computed: [StepBudgetLearner.Prompt] = []
    /// The logarithm of how much slower it is than its class.
    private(set) var logCorrection = 0.0
    private var drift = DriftDetector(threshold: EndpointTracker.alarmThreshold)
    private var driftsUntil = Instant(nanoseconds: .min)
    private var driftOutcomesLeft = 0
    var ttft = AccuracyWindow()
    var tpot = AccuracyWindow()

    init(classIndex: Int) { self.classIndex = classIndex }

    /// Whether the endpoint has lately turned out to differ from its class.
    func isDrifting(now: Instant) -> Bool { now < driftsUntil || driftOutcomesLeft > 0 }

    /// Whether its outcomes say nothing about its class.
    func isForeign(now: Instant) -> Bool { isDrifting(now: now) && logCorrection.magnitude > Self.foreign }

    /// A prompt is computed.
    mutating func note(_ prompt: StepBudgetLearner.Prompt) {
        if computed.count >= Self.mostComputed { computed.removeFirst() }
        computed.append(prompt)
    }

    /// The largest of the latest prompts that were sent and computed since `began`.
    func largestPrompt(since began: Instant) -> StepBudgetLearner.Prompt? {
        var largest: StepBudgetLearner.Prompt?
        for prompt in computed where prompt.sent >= began && prompt.uncachedTokens > largest?.uncachedTokens ?? 0 {
            largest = prompt
        }
        return largest
    }

    /// Counts the error of a prediction.
    mutating func observe(logError: Double, isClassDrifting: Bool, now: Instant) {
        if isClassDrifting {
            drift = DriftDetector(threshold: Self.alarmThreshold)
        } else if drift.observe(logError) {
            driftsUntil = now + Self.driftSpan
            driftOutcomesLeft = Self.driftOutcomes
        }
        let pace = isDrifting(now: now) ? Self.driftPace : Self.calmPace
        driftOutcomesLeft = max(0, driftOutcomesLeft - 1)
        let error = min(max(logError, -Self.largestError), Self.largestError)
        let next = logCorrection * (1 - Self.leak) + pace * error
        logCorrection = min(max(next, -Self.largestCorrection), Self.largestCorrection)
    }
}

/// What a prediction needs of one endpoint: plain numbers, so that the loop over endpoints stays cheap.
struct EndpointView: Sendable {
    var classIndex: Int32 = 0
    /// How much slower it is than its class.
    var correction = 1.0
    var stepBegan = Instant.zero
    var stepMilliseconds = 0.0
    var stepTokens = 0.0
    var stepsUnseen = 0.0
    var computedTokens = 0.0
    var remainingTokens = 0.0
    var kvRoom = Double.infinity
    /// Attention work beyond the step under way.
    var attentionAhead = 0.0
    var waitingContextTokens = 0.0
    var arrivals = 0.0
    var arrivalsAt = Instant.zero

    init(_ tracker: EndpointTracker, correction: Double) {
        classIndex = Int32(tracker.classIndex)
        self.correction = correction
        kvRoom = tracker.kvRoom
        take(tracker.backlog)
    }

    mutating func take(_ backlog: PrefillBacklog) {
        stepBegan = backlog.stepBegan
        stepMilliseconds = backlog.stepMilliseconds
        stepTokens = backlog.stepTokens
        stepsUnseen = backlog.stepsUnseen
        computedTokens = backlog.computedTokens
        remainingTokens = backlog.remainingTokens
        attentionAhead = max(0, backlog.remainingAttention - backlog.stepAttention)
        waitingContextTokens = backlog.waitingContextTokens
        arrivals = backlog.arrivals
        arrivalsAt = backlog.arrivalsAt
    }
}

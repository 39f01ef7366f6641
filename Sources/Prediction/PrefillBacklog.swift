import Basics

/// What one endpoint is believed to be computing: a shadow of its queue of prompts, step by step.
///
/// A continuous-batching engine computes prompts in order of arrival, up to a budget of tokens per step (`workloads.md`
/// A.5). A token that is seen coming from the endpoint marks the end of a step, and a first token tells exactly which
/// prompts are done; between the two the shadow moves on by the step times that have been learned.
struct PrefillBacklog: Sendable {
    private struct Prompt: Sendable {
        var id: UInt64
        var remainingTokens: Double
        /// Tokens before the next one to compute.
        var precedingTokens: Double
        var sentTokens: Double

        var totalTokens: Double { precedingTokens + remainingTokens }
        var attention: Double { remainingTokens * (precedingTokens + remainingTokens / 2) }
    }

    /// Prompts that are followed one by one; what comes on top counts only in the gateway's own counters.
    private static let mostPrompts = 4096
    /// A step that should have brought a first token is waited for this much longer than it should take.
    private static let patienceMilliseconds = 100.0
    /// Over how long arrivals are averaged.
    private static let arrivalMilliseconds = 2000.0

    private var prompts: [Prompt] = []
    private(set) var stepBegan = Instant.zero
    private(set) var stepMilliseconds = 0.0
    /// Prompt tokens in the step under way, and their attention work.
    private(set) var stepTokens = 0.0
    private(set) var stepAttention = 0.0
    /// Whether the step under way computes the end of a prompt.
    private var stepBringsFirstToken = false
    /// Steps of decodes alone since a token was seen: the longer, the less certain is the phase.
    private(set) var stepsUnseen = 0.0
    /// Tokens of the listed prompts that are computed already.
    private(set) var computedTokens = 0.0
    /// Tokens and attention work of the listed prompts that are not, the step under way included.
    private(set) var remainingTokens = 0.0
    private(set) var remainingAttention = 0.0
    /// All tokens and attention work that were ever computed here.
    private(set) var totalTokens = 0.0
    private(set) var totalAttention = 0.0
    /// The part of the tokens that only first tokens or a fuller KV cache have shown to be computed.
    private(set) var shownTokens = 0.0
    /// The lengths of the listed prompts, summed.
    private(set) var waitingContextTokens = 0.0
    /// Uncached tokens sent lately, per millisecond, as of `arrivalsAt`.
    private(set) var arrivals = 0.0
    private(set) var arrivalsAt = Instant.zero

    /// How much of `arrivals` is left after `milliseconds`: an exponential to second order, for this is the hot path.
    static func fading(_ milliseconds: Double) -> Double {
        let age = max(0, milliseconds) / arrivalMilliseconds
        return 1 / (1 + age + 0.5 * age * age)
    }

    /// A request was sent there.
    mutating func sent(
        _ id: UInt64, uncachedTokens: Double, precedingTokens: Double, isIdle: Bool, law: StepLaw, budget: Double,
        now: Instant
    ) {
        roll(law: law, budget: budget, now: now)
        arrivals =
            arrivals * Self.fading((now - arrivalsAt).milliseconds) + uncachedTokens / Self.arrivalMilliseconds
        arrivalsAt = now
        guard prompts.count < Self.mostPrompts else { return }
        let prompt = Prompt(
            id: id, remainingTokens: uncachedTokens, precedingTokens: precedingTokens, sentTokens: uncachedTokens)
        prompts.append(prompt)
        remainingTokens += prompt.remainingTokens
        remainingAttention += prompt.attention
        waitingContextTokens += prompt.totalTokens
        if isIdle { begin(now, law: law, budget: budget) }
    }

    /// A first token was seen: the prompt and all before it are computed.
    mutating func firstToken(_ id: UInt64, law: StepLaw, budget: Double, now: Instant) {
        boundary(law: law, budget: budget, now: now)
        if let index = prompts.firstIndex(where: { $0.id == id }) {
            for earlier in 0...index {
                shownTokens += prompts[earlier].remainingTokens
                take(prompts[earlier].remainingTokens, from: earlier)
            }
            remove(index)
        }
        begin(now, law: law, budget: budget)
    }

    /// A later token was seen: a step has ended.
    mutating func tokenSeen(law: StepLaw, budget: Double, now: Instant) {
        boundary(law: law, budget: budget, now: now)
        begin(now, law: law, budget: budget)
    }

    /// The request left without a first token.
    mutating func withdrew(_ id: UInt64) {
        guard let index = prompts.firstIndex(where: { $0.id == id }) else { return }
        take(prompts[index].remainingTokens, from: index)
        remove(index)
    }

    /// Moves on to `now` by the learned step times.
    mutating func roll(law: StepLaw, budget: Double, now: Instant) {
        while remainingTokens > 0 {
            let elapsed = (now - stepBegan).milliseconds
            guard elapsed > stepMilliseconds else { return }
            if stepBringsFirstToken, elapsed < stepMilliseconds + Self.patienceMilliseconds { return }
            let end = stepBegan + .milliseconds(stepMilliseconds)
            commit()
            begin(end, law: law, budget: budget)
        }
        // Steps of decodes alone repeat.
        stepTokens = 0
        stepAttention = 0
        stepMilliseconds = law.decodeMilliseconds
        let elapsed = (now - stepBegan).milliseconds
        guard elapsed > stepMilliseconds else { return }
        let steps = (elapsed / stepMilliseconds).rounded(.down)
        stepsUnseen += steps
        stepBegan = stepBegan + .milliseconds(steps * stepMilliseconds)
    }

    /// A step has ended now: the one under way, unless that has hardly begun and the one before it ended late.
    private mutating func boundary(law: StepLaw, budget: Double, now: Instant) {
        roll(law: law, budget: budget, now: now)
        if (now - stepBegan).milliseconds > 0.5 * stepMilliseconds { commit() }
        stepsUnseen = 0
    }

    private mutating func commit() {
        var tokens = stepTokens
        for index in prompts.indices where prompts[index].remainingTokens > 0 {
            guard tokens > 0 else { break }
            let part = min(tokens, prompts[index].remainingTokens)
            take(part, from: index)
            tokens -= part
        }
        // What rounding has left over is nothing.
        if !prompts.contains(where: { $0.remainingTokens > 0 }) {
            remainingTokens = 0
            remainingAttention = 0
        }
    }

    private mutating func take(_ part: Double, from index: Int) {
        guard part > 0 else { return }
        let attention = part * (prompts[index].precedingTokens + part / 2)
        totalTokens += part
        totalAttention += attention
        remainingAttention -= attention
        prompts[index].remainingTokens -= part
        prompts[index].precedingTokens += part
        remainingTokens -= part
        computedTokens += part
    }

    /// So many more prompt tokens are computed than was thought, or fewer if below zero: those of the latest are lost
    /// then, as an engine takes its KV cache back from whom it admitted last.
    mutating func correct(by tokens: Double, law: StepLaw, budget: Double, now: Instant) {
        if tokens < 0 {
            var left = -tokens
            for index in prompts.indices.reversed() where prompts[index].remainingTokens < prompts[index].sentTokens {
                let part = min(left, prompts[index].sentTokens - prompts[index].remainingTokens)
                giveBack(part, at: index)
                left -= part
                if left <= 0 { break }
            }
        } else {
            var left = tokens
            for index in prompts.indices where prompts[index].remainingTokens > 0 {
                let part = min(left, prompts[index].remainingTokens)
                shownTokens += part
                take(part, from: index)
                left -= part
                if left <= 0 { break }
            }
        }
        begin(now, law: law, budget: budget)
    }

    /// So many tokens fewer have been computed than was thought.
    mutating func turnBack(_ tokens: Double, law: StepLaw, budget: Double, now: Instant) {
        let before = (tokens: remainingTokens, attention: remainingAttention)
        correct(by: -tokens, law: law, budget: budget, now: now)
        totalTokens -= remainingTokens - before.tokens
        totalAttention -= remainingAttention - before.attention
    }

    /// So many tokens of a prompt have to be computed again.
    private mutating func giveBack(_ lost: Double, at index: Int) {
        remainingAttention -= prompts[index].attention
        prompts[index].remainingTokens += lost
        prompts[index].precedingTokens -= lost
        remainingAttention += prompts[index].attention
        remainingTokens += lost
        computedTokens -= lost
    }

    private mutating func remove(_ index: Int) {
        let prompt = prompts.remove(at: index)
        computedTokens -= prompt.sentTokens
        waitingContextTokens -= prompt.totalTokens
        guard prompts.isEmpty else { return }
        computedTokens = 0
        remainingTokens = 0
        remainingAttention = 0
        waitingContextTokens = 0
    }

    private mutating func begin(_ now: Instant, law: StepLaw, budget: Double) {
        stepBegan = now
        stepTokens = 0
        stepAttention = 0
        stepBringsFirstToken = false
        var left = budget
        var room = law.roomTokens - computedTokens
        for index in prompts.indices where prompts[index].remainingTokens > 0 {
            let prompt = prompts[index]
            let part = min(left, prompt.remainingTokens)
            if part > room {
                // The engine takes back what the prompt holds, and computes it again.
                giveBack(prompt.sentTokens - prompt.remainingTokens, at: index)
                break
            }
            room -= part
            stepTokens += part
            stepAttention += part * (prompt.precedingTokens + part / 2)
            if part == prompt.remainingTokens { stepBringsFirstToken = true }
            left -= part
            if left <= 0 { break }
        }
        stepMilliseconds = law.milliseconds(tokens: stepTokens, attention: stepAttention)
    }
}

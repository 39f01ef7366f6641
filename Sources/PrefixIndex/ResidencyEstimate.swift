/// What one endpoint's answers say about its prefix cache: how many tokens it keeps, and which share of what is
/// expected to be cached is.
///
/// Both are closed loops over `cached_tokens`; nothing about the engine need be known.
struct ResidencyEstimate: Sendable {
    /// Deviations up to this many tokens, plus `toleratedShare` of the prompt, say nothing: engines count whole blocks of
    /// their own size (16 to 128 tokens) and ours are cut elsewhere.
    private static let toleratedTokens = 128.0
    private static let toleratedShare = 0.03
    /// How far one observation that is entirely wrong moves the capacity.
    private static let capacityStep = 0.1
    /// Blocks in the older half count fully as evicted, younger ones in proportion to their age.
    private static let ageWeight = 2.0
    /// From this share of the capacity on the index evicts, so that it can have evicted too much.
    private static let fullShare = 0.9
    /// The learned capacity stays within these multiples of the one that was told, if one was.
    private static let leastShare = 1.0 / 64
    private static let largestShare = 8.0
    /// The calibration starts as if so many predicted tokens had been right, and forgets at this rate per observation.
    private static let priorTokens = 4096.0
    private static let memory = 0.9
    /// A ratio above this is taken for it: more may be cached than is known, but not systematically.
    private static let largestRatio = 1.25

    /// Tokens that the engine is said to keep, from its configuration or metrics.
    private var toldTokens: Double?
    /// Tokens that it seems to keep; nil: no limit is known.
    private(set) var capacityTokens: Double?
    /// Whether any answer has told a number of cached tokens.
    private(set) var isReporting = false
    private var predictedSum = priorTokens
    private var cachedSum = priorTokens

    /// The share of predicted tokens that were cached, lately.
    var ratio: Double { min(cachedSum / predictedSum, Self.largestRatio) }

    /// Takes what the engine's configuration or metrics say; starts anew from it if it differs from what they said before.
    mutating func tell(_ tokens: Double?) {
        guard tokens != toldTokens else { return }
        toldTokens = tokens
        capacityTokens = tokens
    }

    /// Takes one answer.
    ///
    /// - Parameter heldTokens: what the index believes to be there in all.
    /// - Parameter ageShare: how near to eviction the last of the predicted blocks was, 0 to 1.
    mutating func observe(predicted: Double, cached: Int?, prompt: Double, heldTokens: Double, ageShare: Double) {
        if cached != nil { isReporting = true }
        guard isReporting, prompt > 0 else { return }
        let actual = min(Double(cached ?? 0), prompt)
        if predicted > 0 {
            predictedSum = Self.memory * predictedSum + predicted
            cachedSum = Self.memory * cachedSum + actual
        }
        let tolerated = Self.toleratedTokens + Self.toleratedShare * prompt
        let missing = predicted - actual - tolerated
        let surplus = actual - predicted - tolerated
        if missing > 0 {
            // What is held now is more than what the engine keeps, whatever the limit says. But what was used a moment ago
            // was not evicted: another request is just computing it, or the engine caches nothing.
            let believed = min(capacityTokens ?? heldTokens, heldTokens)
            let weight = min(1, Self.ageWeight * ageShare)
            if weight > 0.1 { limit(believed * (1 - Self.capacityStep * weight * missing / predicted)) }
        } else if surplus > 0, let capacity = capacityTokens,
            heldTokens + Self.toleratedTokens > Self.fullShare * capacity
        {
            limit(capacity + Self.capacityStep * max(capacity, prompt) * surplus / prompt)
        }
    }

    private mutating func limit(_ tokens: Double) {
        guard let told = toldTokens else {
            capacityTokens = tokens
            return
        }
        capacityTokens = min(max(tokens, told * Self.leastShare), told * Self.largestShare)
    }
}

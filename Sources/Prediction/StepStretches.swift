import Basics

/// Follows a few of the answers that an endpoint streams: each token of an answer is one step, so that the steps in a
/// stretch of it are counted exactly, whatever is believed of their length.
struct StepStretches: Sendable {
    /// The steps in a stretch, and how many of their prompt tokens were shown to be computed, not guessed.
    struct Stretch: Sendable {
        var began: Instant
        var sample: StepSample
        var shownTokens: Double
    }

    private struct Probe: Sendable {
        var id: UInt64
        var tokens: Int
        var at: Instant
        var decodeTime: Double
        var contextTime: Double
        var prefillTokens: Double
        var attention: Double
        var shownTokens: Double
    }

    private static let mostProbes = 8
    private static let fewestSteps = 8
    /// An answer that is silent for so many times the latest stretch has ended.
    private static let patience = 3.0

    private var probes: [Probe] = []
    /// Whether any stretch has been counted yet.
    private(set) var isCounting = false
    private var latestStretchMilliseconds = 1000.0
    private var decodes = 0.0
    private var contextTokens = 0.0
    /// The two above summed over time.
    private var decodeTime = 0.0
    private var contextTime = 0.0
    private var readAt = Instant.zero

    /// The endpoint decodes this much from now on.
    mutating func loads(decodes: Double, contextTokens: Double, now: Instant) {
        let elapsed = max(0, (now - readAt).milliseconds)
        decodeTime += self.decodes * elapsed
        contextTime += self.contextTokens * elapsed
        readAt = now
        self.decodes = decodes
        self.contextTokens = contextTokens
    }

    /// An answer has so many tokens; the stretch since it was last heard of, if it is one of those that are followed.
    ///
    /// - Parameters:
    ///   - prefillTokens: prompt tokens that the endpoint has computed, ever.
    ///   - attention: their attention work.
    ///   - shownTokens: those of them that only first tokens or a fuller KV cache have shown to be computed.
    mutating func progressed(
        _ id: UInt64, outputTokens: Int, prefillTokens: Double, attention: Double, shownTokens: Double, now: Instant
    ) -> Stretch? {
        let probe = Probe(
            id: id, tokens: outputTokens, at: now, decodeTime: decodeTime, contextTime: contextTime,
            prefillTokens: prefillTokens, attention: attention, shownTokens: shownTokens)
        guard let index = probes.firstIndex(where: { $0.id == id }) else {
            if probes.count < Self.mostProbes {
                probes.append(probe)
            } else if let silent = probes.firstIndex(where: {
                (now - $0.at).milliseconds > Self.patience * latestStretchMilliseconds
            }) {
                probes[silent] = probe
            }
            return nil
        }
        let began = probes[index]
        let steps = outputTokens.subtractingReportingOverflow(began.tokens)
        let elapsed = (now - began.at).milliseconds
        guard !steps.overflow, steps.partialValue >= Self.fewestSteps else { return nil }
        probes[index] = probe
        guard elapsed > 0 else { return nil }
        latestStretchMilliseconds = elapsed
        isCounting = true
        let sample = StepSample(
            steps: Double(steps.partialValue), milliseconds: elapsed,
            decodes: (probe.decodeTime - began.decodeTime) / elapsed,
            contextTokens: (probe.contextTime - began.contextTime) / elapsed,
            prefillTokens: probe.prefillTokens - began.prefillTokens, attention: probe.attention - began.attention)
        return Stretch(began: began.at, sample: sample, shownTokens: probe.shownTokens - began.shownTokens)
    }
}

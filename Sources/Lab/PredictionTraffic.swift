import Basics

/// One request of the prediction world.
struct PredictionRequest {
    var arrival: Instant
    var promptTokens: Int
    var outputTokens: Int
    /// The shared prefix that the prompt begins with; nil for none.
    var prefix: Int?
    /// Its length in tokens, in whole blocks.
    var prefixTokens: Int
    /// Whether the endpoint has lost the prefix without the router's knowledge.
    var isStale: Bool
    /// Where it goes if the router spreads it at random (0..<1); nil if the router chooses by load.
    var place: Double?
}

/// The traffic of the experiment in shared reference `scheduling.md` 4.6: bursty two-state arrivals, log-normal prompts of
/// 64 to 60,000 tokens, half of them behind one of forty shared prefixes, 5 % of the prefix entries stale, 30 % of the
/// requests routed at random.
///
/// 4.6 does not give the parameters of its distributions; these are set so that its quantiles of the time to first token
/// come out at the four loads.
struct PredictionTraffic {
    static let prefixes = 40
    private static let calmSeconds = 8.0
    private static let burstSeconds = 2.0
    /// Arrivals in a burst come so many times as fast as in the calm.
    private static let burstFactor = 3.0
    private static let longestPrompt = 60_000
    private static let staleShare = 0.05
    private static let randomShare = 0.3
    private static let prefixShare = 0.5

    private let calmRate: Double
    private let prefixLengths: [Int]
    private var generator: SeededGenerator
    private var now = 0.0
    private var isBurst = false
    private var stateEnds: Double

    init(requestsPerSecond: Double, blockTokens: Int, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let cycle = Self.calmSeconds + Self.burstSeconds
        calmRate = requestsPerSecond * cycle / (Self.calmSeconds + Self.burstFactor * Self.burstSeconds)
        prefixLengths = (0..<Self.prefixes).map { _ in
            let tokens = Self.logNormal(median: 1500, sigma: 0.8, in: 128...8000, using: &generator)
            return tokens / blockTokens * blockTokens
        }
        stateEnds = Self.span(mean: Self.calmSeconds, using: &generator)
        self.generator = generator
    }

    mutating func next() -> PredictionRequest {
        now = nextArrival()
        let own = Self.logNormal(median: 680, sigma: 1.7, in: 64...Self.longestPrompt, using: &generator)
        let output = Self.logNormal(median: 130, sigma: 0.8, in: 2...1000, using: &generator)
        let isStale = generator.unit() < Self.staleShare
        let isRandom = generator.unit() < Self.randomShare
        let place = generator.unit()
        let hasPrefix = generator.unit() < Self.prefixShare
        // The square makes some prefixes much more popular than others.
        let choice = generator.unit()
        let prefix = Int(choice * choice * Double(Self.prefixes))
        let fits = hasPrefix && own + prefixLengths[prefix] <= Self.longestPrompt
        return PredictionRequest(
            arrival: Instant(seconds: now), promptTokens: own + (fits ? prefixLengths[prefix] : 0),
            outputTokens: output, prefix: fits ? prefix : nil, prefixTokens: fits ? prefixLengths[prefix] : 0,
            isStale: isStale, place: isRandom ? place : nil)
    }

    private mutating func nextArrival() -> Double {
        while true {
            let rate = calmRate * (isBurst ? Self.burstFactor : 1)
            let arrival = now + Self.span(mean: 1 / rate, using: &generator)
            if arrival <= stateEnds { return arrival }
            now = stateEnds
            isBurst.toggle()
            stateEnds = now + Self.span(mean: isBurst ? Self.burstSeconds : Self.calmSeconds, using: &generator)
        }
    }

    private static func span(mean: Double, using generator: inout SeededGenerator) -> Double {
        -mean * naturalLogarithm(1 - generator.unit())
    }

    private static func logNormal(
        median: Double, sigma: Double, in range: ClosedRange<Int>, using generator: inout SeededGenerator
    ) -> Int {
        let value = median * exponential(sigma * standardNormal(using: &generator))
        return min(max(Int(min(value, 1e7)), range.lowerBound), range.upperBound)
    }
}

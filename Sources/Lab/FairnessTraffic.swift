import Basics

/// The traffic of `fairness`, made of tenants that each send conversations of their own: a Poisson stream of a given
/// rate, the same requests whoever else is there.
struct FairnessTraffic {
    static let lowBand = 0
    private static let highBand = 10
    /// For which part of its time a flood is left to build up before shares are counted: until those have been answered
    /// that came before there was a line.
    static let buildUpShare = 1.0 / 3
    /// What an output token counts beside one of the prompt: the scheduler's own weight.
    static let outputTokenWeight = 2.0
    /// The share by which the aggressor may delay the others' first tokens, where the policy is Weir's.
    static let isolationTolerance = 0.04
    /// How long the low band waits at most behind the high one where its wait is bounded.
    static let ageingBound = TimeSpan.seconds(5)
    private static let aggressor = "aggressor"
    private static let aggression = 10.0
    private static let steadyTenants = 10
    /// Requests per second of conversations that fill one `llama-8b-h100`: with 256 running at a mean context of 1,260
    /// tokens a step takes 30 ms, which makes 25 ms for the 211 tokens of a mean answer and 23 ms for its prompt; 48 ms are
    /// 20.9 requests/s (`workloads.md` A.5, B.2).
    private static let fullRate = 20.0
    private static let steadyLoad = 0.5
    private static let floodWeights = [1.0, 1, 2, 2, 4, 8]
    private static let floodLoad = 4.0
    private static let highBandLoad = 1.3
    private static let lowBandLoad = 0.05

    let replicas: Int
    let scale: Double
    let seed: UInt64
    let duration: TimeSpan

    static func isSteady(_ flow: String) -> Bool { flow != aggressor }

    /// Steady tenants at half of what the pool can do.
    var alone: Trace { Trace(name: name, requests: steady) }

    /// The same, and one that sends ten times as much as each of them: the pool is all but full.
    var beside: Trace {
        Trace(
            name: name,
            requests: steady + stream(Self.aggressor, rate: Self.aggression * steadyRate, priority: 0, stream: 99))
    }

    /// Tenants who all ask for more than their share, some for eight times as much as others.
    var flood: Trace {
        let unit = fullRate * Self.floodLoad / Self.floodWeights.reduce(0, +)
        return Trace(
            name: name,
            requests: Self.floodWeights.enumerated().flatMap { index, weight in
                stream("tenant-\(index)", rate: unit * weight, priority: 0, stream: 200 + index)
            })
    }

    /// A high band that asks for 130 % of the pool, and a few requests of a low one.
    var bands: Trace {
        Trace(
            name: name,
            requests: stream("high", rate: Self.highBandLoad * fullRate, priority: Self.highBand, stream: 301)
                + stream("low", rate: Self.lowBandLoad * fullRate, priority: Self.lowBand, stream: 302))
    }

    private var name: String { "tenants (generated)" }
    private var fullRate: Double { Self.fullRate * Double(replicas) * scale }
    private var steadyRate: Double { Self.steadyLoad * fullRate / Double(Self.steadyTenants) }

    private var steady: [TraceRequest] {
        (0..<Self.steadyTenants).flatMap { stream("tenant-\($0)", rate: steadyRate, priority: 0, stream: $0) }
    }

    private func stream(_ flow: String, rate: Double, priority: Int, stream: Int) -> [TraceRequest] {
        var generator = SeededGenerator(seed: seed &* 0x1_0000_01B3 &+ UInt64(stream))
        let rates = Array(repeating: rate, count: max(1, Int(duration.seconds.rounded(.up))))
        return poissonArrivals(rates: rates, duration: duration, using: &generator, lengths: Trace.conversationLengths)
            .map { request in
                var request = request
                request.flow = flow
                request.priority = priority
                return request
            }
    }
}

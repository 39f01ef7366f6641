public import Basics

/// Tells at the door whether a deadline can be kept.
///
/// A request is answered after the work ahead of it has drained, its first token has come and its answer is complete.
/// As long as an estimate rests on little, only part of it is held against the request: nobody is refused on a guess.
public struct DeadlineFeasibility: Hashable, Sendable {
    /// Whether requests are refused at all.
    public var isEnabled: Bool
    /// A drain rate counts in full when it rests on this many dispatches, and in proportion before.
    public var trustedDispatches: Int
    /// A prediction of times counts in full when it rests on this many answers, and in proportion before.
    public var trustedPredictions: Int
    /// What is expected must exceed the time left by this factor before it is called too much.
    public var tolerance: Double

    /// Creates a judge.
    public init(
        isEnabled: Bool = true, trustedDispatches: Int = 50, trustedPredictions: Int = 50, tolerance: Double = 1
    ) {
        self.isEnabled = isEnabled
        self.trustedDispatches = trustedDispatches
        self.trustedPredictions = trustedPredictions
        self.tolerance = tolerance
    }

    /// What is known about the time that a request will take.
    public struct Forecast: Hashable, Sendable {
        /// Tokens that go before it (`WaitingRoom.workAhead`).
        public var tokensAhead: Int
        /// How fast they go; nil if unknown.
        public var drain: DrainEstimate?
        /// The predicted time from dispatch to the first token.
        public var timeToFirstToken: TimeSpan
        /// The predicted time from there to the end of the answer.
        public var outputTime: TimeSpan
        /// How many answers these two predictions rest on.
        public var observedAnswers: Int

        /// Creates a forecast.
        public init(
            tokensAhead: Int, drain: DrainEstimate?, timeToFirstToken: TimeSpan, outputTime: TimeSpan,
            observedAnswers: Int
        ) {
            self.tokensAhead = tokensAhead
            self.drain = drain
            self.timeToFirstToken = timeToFirstToken
            self.outputTime = outputTime
            self.observedAnswers = observedAnswers
        }
    }

    /// Whether a deadline can be kept.
    public enum Verdict: Hashable, Sendable {
        /// It can, as far as is known.
        case feasible
        /// It cannot. The answer could be there at `earliest`.
        case infeasible(earliest: Instant)
    }

    /// Judges a deadline.
    public func judge(deadline: Instant, _ forecast: Forecast, now: Instant) -> Verdict {
        guard isEnabled, deadline < .distantFuture else { return .feasible }
        let wait = Self.waitSeconds(forecast)
        let service = max(0, forecast.timeToFirstToken.seconds) + max(0, forecast.outputTime.seconds)
        let waitTrust = Self.trust(forecast.drain?.observedRequests ?? 0, of: trustedDispatches)
        let serviceTrust = Self.trust(forecast.observedAnswers, of: trustedPredictions)
        let expected = wait * waitTrust + service * serviceTrust
        guard expected > max(0, (deadline - now).seconds) * max(1, tolerance) else { return .feasible }
        return .infeasible(earliest: now + .seconds(wait + service))
    }

    /// What is wrong with the settings, a sentence each.
    var problems: [String] {
        var problems: [String] = []
        if trustedDispatches < 1 || trustedPredictions < 1 {
            problems.append("Estimates must rest on at least one observation before they are trusted.")
        }
        if !(tolerance >= 1) {
            problems.append("The tolerance of deadlines must be at least 1, not \(tolerance).")
        }
        return problems
    }

    private static func trust(_ observed: Int, of enough: Int) -> Double {
        min(1, Double(max(0, observed)) / Double(max(1, enough)))
    }

    private static func waitSeconds(_ forecast: Forecast) -> Double {
        guard let rate = forecast.drain?.tokensPerSecond, forecast.tokensAhead > 0 else { return 0 }
        // A room that has not drained for as long as it was watched: nobody knows when it will.
        return rate > 0 ? Double(forecast.tokensAhead) / rate : 0
    }
}

public import Basics

/// Lets flows that have got far more than the others start only while those hardly notice.
///
/// What the others would notice is how much later their first tokens come, and that has two parts. Each request that
/// decodes makes every step longer, and a first token is a few steps away. Each prompt that is computed makes those wait
/// that come in behind it: one that takes `s` of the engine's time and has its own first token after `T` delays whoever
/// comes until the queue is next empty by `s`, or by what is then left of it. Were the queue only what was there, that
/// would be `s (T - s / 2)` in all; those who come meanwhile put it off, `1 / (1 - u)` times as long where prompts take a
/// share `u` of the engine's time (the busy period of an M/G/1 queue: Kleinrock, "Queueing systems", 1975). Summed over
/// prompts, per time, that is the mean delay of the others.
///
/// Nor does one start where the queue is longer than the others find it on average: there are better moments. That alone
/// holds for a flow that has no more than the others have now: it is its share, but it chooses when to take it.
///
/// Both parts together may reach a share of the time to first token that the others have anyway. The share is larger the
/// less there is of the others: it is meant of all requests, so that a few do not hold up many for little.
public struct IsolationGate: Sendable {
    /// Steps of the engine until a first token: what is left of one, and at least one of the prompt's own.
    private static let stepsToFirstToken = 2.0
    /// How much of the tolerated delay can be saved up, in milliseconds of time.
    private static let saved = 1000.0
    /// How many of the others' answers their time to first token is averaged over.
    private static let answers = 64.0
    /// The largest share of the time that prompts are taken to need: what is measured may be all of it for a while.
    private static let mostBusy = 0.9

    private struct Place: Sendable {
        /// Requests in flight of flows that were kept back when these started, and their contexts.
        var requests = 0
        var contextTokens = 0
        /// Delay of others that prompts may still cause: milliseconds of delay times milliseconds of time.
        var allowance = 0.0
        var updated = Instant.zero
        /// Milliseconds of prompts started per second, anybody's.
        var prompts = RateEstimate(timeConstant: .seconds(10))
    }

    private let tolerance: Double
    private var places: [Place]
    /// The others' mean time to first token in milliseconds, and the part of it that is not their own prompts.
    private var others: (ttft: Double, queue: Double)?

    /// Creates the gate of a pool.
    ///
    /// - Parameter tolerance: the tolerated delay, as a share of the times to first token of all.
    public init(endpoints: Int, tolerance: Double) {
        self.tolerance = max(0, tolerance)
        places = Array(repeating: Place(), count: max(0, endpoints))
    }

    /// A request of a flow that is not kept back had its first token.
    ///
    /// - Parameters:
    ///   - ttftMilliseconds: how long after it was sent.
    ///   - prefillMilliseconds: how long the engine computed its prompt.
    public mutating func othersAnswered(ttftMilliseconds: Double, prefillMilliseconds: Double) {
        guard ttftMilliseconds.isFinite, prefillMilliseconds.isFinite, ttftMilliseconds >= 0 else { return }
        let queue = max(0, ttftMilliseconds - max(0, prefillMilliseconds))
        guard let mean = others else {
            others = (ttftMilliseconds, queue)
            return
        }
        others = (
            mean.ttft + (ttftMilliseconds - mean.ttft) / Self.answers, mean.queue + (queue - mean.queue) / Self.answers
        )
    }

    /// Whether a request may start at an endpoint.
    ///
    /// - Parameters:
    ///   - standing: how its flow stands to the others.
    ///   - contextTokens: the mean context of the request.
    ///   - queueMilliseconds: what its first token would wait for there beside its own prompt.
    ///   - model: the endpoint's step time.
    ///   - othersPart: what the others get of all that is started, 0 to 1.
    public mutating func mayStart(
        at endpoint: Int, standing: FlowStanding, contextTokens: Int, queueMilliseconds: Double, model: StepTimeModel,
        othersPart: Double, now: Instant
    ) -> Bool {
        guard standing != .free, let others, othersPart > 0 else { return true }
        if standing == .withinShare { return queueMilliseconds <= others.queue }
        let tolerated = tolerance * others.ttft / othersPart
        let place = places[endpoint]
        func delay(_ requests: Int, _ contextTokens: Int) -> Double {
            Self.stepsToFirstToken
                * (model.perDecodeMilliseconds * Double(requests)
                    + model.perContextTokenMilliseconds * Double(contextTokens))
        }
        let elapsed = max(0, (now - place.updated).milliseconds)
        let rest = max(0, tolerated - delay(place.requests, place.contextTokens))
        places[endpoint].allowance = min(place.allowance + rest * elapsed, tolerated * Self.saved)
        places[endpoint].updated = now
        return places[endpoint].allowance > 0 && queueMilliseconds <= others.queue
            && delay(place.requests + 1, place.contextTokens + contextTokens) <= tolerated
    }

    /// Anybody's request starts.
    ///
    /// - Parameter prefillMilliseconds: how long the engine computes its prompt.
    public mutating func promptStarted(at endpoint: Int, prefillMilliseconds: Double, now: Instant) {
        guard prefillMilliseconds.isFinite else { return }
        places[endpoint].prompts.add(max(0, prefillMilliseconds), now: now)
    }

    /// A request of a flow that is kept from the others starts.
    ///
    /// - Parameters:
    ///   - prefillMilliseconds: how long the engine computes its prompt.
    ///   - ttftMilliseconds: when its first token is expected, from now.
    public mutating func started(
        at endpoint: Int, contextTokens: Int, prefillMilliseconds: Double, ttftMilliseconds: Double, now: Instant
    ) {
        places[endpoint].requests += 1
        places[endpoint].contextTokens += contextTokens
        let busy = min(places[endpoint].prompts.perSecond(now: now) / 1000, Self.mostBusy)
        let delay =
            prefillMilliseconds * max(ttftMilliseconds - prefillMilliseconds / 2, prefillMilliseconds / 2) / (1 - busy)
        if delay.isFinite { places[endpoint].allowance -= delay }
    }

    /// Such a request has ended, or left.
    public mutating func ended(at endpoint: Int, contextTokens: Int) {
        places[endpoint].requests -= 1
        places[endpoint].contextTokens -= contextTokens
    }
}

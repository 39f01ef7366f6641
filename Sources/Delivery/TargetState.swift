import Basics
import DequeModule
import InferenceAPI

/// What a consumer knows of one target, and which messages in its hands are for it.
struct TargetState {
    /// What the end of an attempt has shown.
    enum Lesson {
        case none
        /// The target had no room.
        case isFull
        /// The target fails: it has just been found out.
        case isFailing
    }

    private(set) var breaker: CircuitBreaker
    private(set) var window = CapacityWindow()
    private(set) var serviceTimes = ServiceTimes()
    /// Messages in hand that are not offered, in the order in which they are to be.
    var waiting: Deque<Lease> = []
    /// Requests that the pool has been offered and has not started.
    private(set) var offered = 0
    /// Requests with endpoints.
    private(set) var inFlight = 0
    /// When something was last heard of it; what is idle longest is forgotten first.
    var lastUsed = Instant.zero

    /// When the request went out that probes a target found failing. How those end that were sent before it says nothing new.
    private var probedAt = Instant.zero

    init(breaker: CircuitBreaker) { self.breaker = breaker }

    var outstanding: Int { offered + inFlight }

    /// Messages in hand that no endpoint has yet.
    var notStarted: Int { waiting.count + offered }

    /// Whether nothing is known that speaks against offering it as much as there is.
    var isSound: Bool { breaker.isClosed && window.size == nil }

    /// Whether nothing in hand is for it.
    var isIdle: Bool { waiting.isEmpty && outstanding == 0 }

    func admits(now: Instant) -> Bool {
        window.admits(outstanding: outstanding, now: now) && breaker.admits(now: now)
    }

    /// When it may admit by the passing of time alone; nil if that is not what it waits for.
    func opensAt(now: Instant) -> Instant? {
        switch (breaker.opensAt, window.opensAt(now: now)) {
        case (let breaker?, let window?): max(breaker, window)
        case (let breaker?, nil): breaker
        case (nil, let window): window
        }
    }

    /// The next message to be offered, taken out of the line.
    mutating func takeNext() -> Lease? { waiting.popFirst() }

    /// Puts a message into the line again, ahead of those that it `precedes`.
    mutating func putBack(_ lease: Lease, where precedes: (Lease) -> Bool) {
        waiting.insert(lease, at: waiting.firstIndex(where: precedes) ?? waiting.count)
    }

    /// Takes a message out of the line, wherever it stands.
    mutating func remove(_ lease: Lease) {
        if let index = waiting.firstIndex(of: lease) { waiting.remove(at: index) }
    }

    mutating func offer(now: Instant) {
        offered += 1
        if !breaker.isClosed { probedAt = now }
        breaker.sent()
    }

    mutating func start() {
        offered -= 1
        inFlight += 1
    }

    /// The attempt is over.
    mutating func end(hadStarted: Bool) {
        if hadStarted { inFlight -= 1 } else { offered -= 1 }
    }

    /// Takes note of how an attempt ended that was sent at `sentAt` and, if it was started, took `duration`.
    mutating func learn(
        from outcome: AttemptOutcome, timedOut: Bool, sentAt: Instant, duration: TimeSpan?, capacityPause: TimeSpan,
        now: Instant, using generator: inout SeededGenerator
    ) -> Lesson {
        let isOldNews = !breaker.isClosed && sentAt < probedAt
        switch outcome {
        case .answered(let response):
            switch AnswerVerdict(statusCode: response.statusCode, dropReason: response.dropReason) {
            case .final:
                breaker.succeeded()
                window.answered(now: now)
                if let duration, response.statusCode < 400 {
                    serviceTimes.observe(duration, tokens: response.usage?.completionTokens)
                }
                return .none
            case .capacity:
                breaker.succeeded()
                refuse(response.retryAfter, sentAt: sentAt, capacityPause, now: now, using: &generator)
                return .isFull
            case .unavailable where isOldNews, .retry where isOldNews: return .none
            case .unavailable: return breaker.trip(now: now, using: &generator) ? .isFailing : .none
            case .retry: return breaker.failed(now: now, using: &generator) ? .isFailing : .none
            }
        case .failed(.answerTooLong, _):
            breaker.succeeded()
            window.answered(now: now)
            return .none
        case .failed where isOldNews, .rejected(.unavailable, _, _) where isOldNews: return .none
        case .failed: return breaker.failed(now: now, using: &generator) ? .isFailing : .none
        case .rejected(.capacity, _, let retryAfter):
            if !isOldNews { breaker.toldNothing() }
            refuse(retryAfter, sentAt: sentAt, capacityPause, now: now, using: &generator)
            return .isFull
        case .rejected(.unavailable, _, _): return breaker.trip(now: now, using: &generator) ? .isFailing : .none
        case .rejected(.stopping, _, _):
            // Its messages are free for others; asked again at once it would turn them away at once.
            breaker.toldNothing()
            window.refused(sentAt: sentAt, outstanding: outstanding, pause: capacityPause, now: now)
            return .none
        case .rejected(.postponed, _, _), .dropped, .evicted:
            // Our own scheduler or gate did that: it says nothing of the target.
            if !isOldNews { breaker.toldNothing() }
            return .none
        case .withdrawn where isOldNews: return .none
        case .withdrawn where timedOut: return breaker.failed(now: now, using: &generator) ? .isFailing : .none
        case .withdrawn:
            breaker.toldNothing()
            return .none
        }
    }

    /// Stays away as long as was asked for, but no longer than a minute; and for a moment if nothing that is out could bring
    /// news of room.
    private mutating func refuse(
        _ retryAfter: TimeSpan?, sentAt: Instant, _ capacityPause: TimeSpan, now: Instant,
        using generator: inout SeededGenerator
    ) {
        var pause = retryAfter.map { min(max($0, .zero), .seconds(60)) }
        if outstanding == 0 { pause = max(pause ?? .zero, capacityPause * (0.5 + 0.5 * generator.unit())) }
        window.refused(sentAt: sentAt, outstanding: outstanding, pause: pause, now: now)
    }
}

public import Basics

/// Keeps work away from a target that fails everything, and lets one request through from time to time to see.
///
/// Times are steady.
public struct CircuitBreaker: Sendable {
    private enum State: Hashable {
        case closed(failures: Int)
        /// Nothing goes out before this instant.
        case open(until: Instant)
        /// One request is out, or may go out, to find out.
        case halfOpen(isProbing: Bool)
    }

    private let failureLimit: Int
    private let cap: TimeSpan
    private static let firstPause = TimeSpan.seconds(1)
    private var state = State.closed(failures: 0)
    private var pause = Self.firstPause

    /// - Parameters:
    ///   - failureLimit: failures in a row that open it, at least 1.
    ///   - cap: the longest pause between two probes; the first is a second, then it doubles.
    public init(failureLimit: Int, cap: TimeSpan) {
        self.failureLimit = max(1, failureLimit)
        self.cap = cap
    }

    /// Whether the target is taken to be sound.
    public var isClosed: Bool { if case .closed = state { true } else { false } }

    /// When a probe may go out; nil if nothing is being waited for.
    public var opensAt: Instant? { if case .open(let until) = state { until } else { nil } }

    /// Whether a request may go out now.
    public func admits(now: Instant) -> Bool {
        switch state {
        case .closed: true
        case .open(let until): now >= until
        case .halfOpen(let isProbing): !isProbing
        }
    }

    /// A request goes out; if the breaker is not closed, it is the probe.
    public mutating func sent() {
        if !isClosed { state = .halfOpen(isProbing: true) }
    }

    /// A request came back without having told anything about the target (it was withdrawn, say).
    public mutating func toldNothing() {
        if case .halfOpen = state { state = .halfOpen(isProbing: false) }
    }

    /// The target answered, well or not: it is alive.
    public mutating func succeeded() {
        state = .closed(failures: 0)
        pause = Self.firstPause
    }

    /// The target failed a request. Says whether that opened the breaker anew.
    public mutating func failed(now: Instant, using generator: inout SeededGenerator) -> Bool {
        switch state {
        case .closed(let failures):
            guard failures + 1 >= failureLimit else {
                state = .closed(failures: failures + 1)
                return false
            }
            open(now: now, using: &generator)
            return true
        case .halfOpen:
            pause = min(pause * 2, cap)
            open(now: now, using: &generator)
            return false
        case .open: return false
        }
    }

    /// Nobody serves the target: there is no point in further tries before a pause.
    public mutating func trip(now: Instant, using generator: inout SeededGenerator) -> Bool {
        if case .closed = state { state = .closed(failures: failureLimit - 1) }
        return failed(now: now, using: &generator)
    }

    private mutating func open(now: Instant, using generator: inout SeededGenerator) {
        state = .open(until: now + pause * (0.5 + 0.5 * generator.unit()))
    }
}

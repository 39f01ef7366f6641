import Basics

/// Decides when one endpoint is looked at, and how: scrapes while it is up, probes with growing pauses while it is down,
/// and a question for its models until it has answered one.
struct EndpointHealth {
    /// A look at the endpoint.
    enum Check: Hashable {
        /// Is it there?
        case probe
        /// Which models does it serve?
        case models
        /// What is its load?
        case metrics
    }

    private static let firstBackoff = TimeSpan.milliseconds(250)
    private static let longestBackoff = TimeSpan.seconds(5)
    /// Models can be loaded at run time (adapters), so the question is asked again after this long.
    private static let modelsInterval = TimeSpan.seconds(10)

    private let scrapeInterval: TimeSpan?
    private let asksForModels: Bool
    private var isChecking = false
    private var hasBeenChecked = false
    private var backoff = Self.firstBackoff
    private var nextProbe: Instant?
    private var nextScrape = Instant.zero
    private var nextModels = Instant.zero

    /// - Parameter scrapeInterval: nil if the endpoint has no metrics.
    init(scrapeInterval: TimeSpan?, asksForModels: Bool) {
        self.scrapeInterval = scrapeInterval
        self.asksForModels = asksForModels
    }

    /// The check to begin now, if one is due. Its outcome must be reported before the next one is given out.
    mutating func dueCheck(isUp: Bool, now: Instant) -> Check? {
        guard !isChecking, let check = check(isUp: isUp, now: now) else { return nil }
        isChecking = true
        return check
    }

    private mutating func check(isUp: Bool, now: Instant) -> Check? {
        if !hasBeenChecked { return asksForModels ? .models : .probe }
        guard isUp else {
            guard let nextProbe else {
                // It has just gone down.
                self.nextProbe = now + backoff
                return nil
            }
            return now >= nextProbe ? .probe : nil
        }
        if asksForModels, now >= nextModels { return .models }
        if scrapeInterval != nil, now >= nextScrape { return .metrics }
        return nil
    }

    /// The endpoint answered a check.
    mutating func succeeded(_ check: Check, now: Instant) {
        isChecking = false
        hasBeenChecked = true
        nextProbe = nil
        backoff = Self.firstBackoff
        switch check {
        case .probe:
            nextModels = now
            nextScrape = now
        case .models: nextModels = now + Self.modelsInterval
        case .metrics: nextScrape = now + (scrapeInterval ?? .zero)
        }
    }

    /// The check came to nothing.
    mutating func failed(_ check: Check, now: Instant) {
        isChecking = false
        hasBeenChecked = true
        switch check {
        case .probe:
            nextProbe = now + backoff
            backoff = min(backoff * 2, Self.longestBackoff)
        case .models: nextModels = now + Self.firstBackoff
        case .metrics: nextScrape = now + (scrapeInterval ?? .zero)
        }
    }
}

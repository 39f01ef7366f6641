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

    /// An endpoint counts as down after so many checks in a row without an answer. A single one may be an accident of
    /// a busy server.
    private static let silentChecksUntilDown = 3
    private static let firstBackoff = TimeSpan.milliseconds(250)
    private static let longestBackoff = TimeSpan.seconds(5)
    /// Models can be loaded at run time (adapters), so the question is asked again after this long.
    private static let modelsInterval = TimeSpan.seconds(10)

    private let scrapeInterval: TimeSpan?
    private let asksForModels: Bool
    private var isChecking = false
    private var hasBeenChecked = false
    /// Checks without an answer since the last answer.
    private var silentChecks = 0
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
        // A page that stays away may be alone in that: whether the endpoint does is for the plainest question to say.
        if silentChecks > 0, let nextProbe { return now >= nextProbe ? .probe : nil }
        let scrapeIsDue = scrapeInterval != nil && now >= nextScrape
        // What has been due for longer goes first, so that neither keeps the other away.
        if asksForModels, now >= nextModels, !scrapeIsDue || nextModels <= nextScrape { return .models }
        return scrapeIsDue ? .metrics : nil
    }

    /// Whether so many checks in a row have got no answer that the endpoint counts as down.
    var isSilent: Bool { silentChecks >= Self.silentChecksUntilDown }

    /// The endpoint answered a check.
    mutating func succeeded(_ check: Check, now: Instant) {
        isChecking = false
        hasBeenChecked = true
        nextProbe = nil
        backoff = Self.firstBackoff
        let wasInDoubt = silentChecks > 0 && !isSilent
        silentChecks = 0
        switch check {
        case .probe where wasInDoubt: break
        case .probe:
            nextModels = now
            nextScrape = now
        case .models: nextModels = now + Self.modelsInterval
        case .metrics: nextScrape = now + (scrapeInterval ?? .zero)
        }
    }

    /// The check got no answer, or not in time.
    mutating func gotNoAnswer(_ check: Check, now: Instant) {
        let before = silentChecks
        failed(check, now: now)
        silentChecks = before + 1
        if check != .probe { nextProbe = now + backoff }
    }

    /// The check came to nothing.
    mutating func failed(_ check: Check, now: Instant) {
        isChecking = false
        hasBeenChecked = true
        silentChecks = 0
        switch check {
        case .probe:
            nextProbe = now + backoff
            backoff = min(backoff * 2, Self.longestBackoff)
        case .models: nextModels = now + Self.firstBackoff
        case .metrics: nextScrape = now + (scrapeInterval ?? .zero)
        }
    }
}

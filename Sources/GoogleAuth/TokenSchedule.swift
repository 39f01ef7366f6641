import Basics

/// A token that Google's APIs take as a proof of who calls.
struct AccessToken: Hashable, Sendable {
    /// What is sent; a secret.
    let value: String
    /// When it was asked for.
    let issued: Instant
    /// When Google stops taking it.
    let expires: Instant
}

/// Decides when a token is fetched, who gets which answer meanwhile, and when a failed fetch is repeated.
///
/// Pure: the shell tells the time and what came of a fetch. At most one fetch is under way. A token is replaced ahead of
/// its expiry while callers go on using it, and one that could not be replaced is used as long as it is valid.
struct TokenSchedule: Sendable {
    /// The fixed times.
    enum Limits {
        /// A token is replaced when it has so long to live. Google's metadata server gives the same token again until it
        /// has less than four to five minutes left, so asking much earlier would change nothing; its own libraries use
        /// the same figure.
        static let refreshAhead = TimeSpan.seconds(225)
        /// A token is not handed out for the last so many seconds, so that it is valid when it arrives.
        static let reserve = TimeSpan.seconds(10)
        /// Fetches of one round before those who wait are told that it failed.
        static let triesPerRound = 4
        /// The pause after the first failure; it doubles with each further one.
        static let firstPause = TimeSpan.milliseconds(500)
        /// The longest pause between two fetches.
        static let longestPause = TimeSpan.seconds(60)
    }

    /// What a caller is told.
    enum Answer: Hashable, Sendable {
        /// This token; whether a fetch is to be started beside it.
        case token(String, startsFetch: Bool)
        /// To wait for the fetch under way, or for the one that is to be started.
        case wait(startsFetch: Bool)
        /// That there is none.
        case failed(GoogleAuthError)
    }

    /// What comes after a failed fetch.
    enum AfterFailure: Hashable, Sendable {
        /// Fetch again after this pause.
        case fetchAgain(after: TimeSpan)
        /// The round is over: those who wait are told.
        case giveUp
    }

    private var token: AccessToken?
    private var isFetching = false
    private var triesInRound = 0
    private var failuresInARow = 0
    private var lastError: GoogleAuthError?
    private var quietUntil = Instant.zero
    private var generator: SeededGenerator

    /// - Parameter seed: of the pauses' jitter.
    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// A caller wants a token.
    mutating func ask(now: Instant) -> Answer {
        if let token, now < Self.endOfUse(token) {
            let isDue = now >= Self.refreshTime(token) && now >= quietUntil && !isFetching
            if isDue { beginRound() }
            return .token(token.value, startsFetch: isDue)
        }
        if isFetching { return .wait(startsFetch: false) }
        if let lastError, now < quietUntil { return .failed(lastError) }
        beginRound()
        return .wait(startsFetch: true)
    }

    /// The fetch under way brought a token.
    mutating func noteFetched(_ fetched: AccessToken, now: Instant) {
        isFetching = false
        failuresInARow = 0
        lastError = nil
        // A server may give the token that it gave before; asking again at once would not change that.
        quietUntil = fetched.value == token?.value ? now + .seconds(10) : now
        token = fetched
    }

    /// The fetch under way failed.
    mutating func noteFailed(_ error: GoogleAuthError, now: Instant) -> AfterFailure {
        failuresInARow += 1
        triesInRound += 1
        lastError = error
        let pause = nextPause()
        if error.isTransient, triesInRound < Limits.triesPerRound { return .fetchAgain(after: pause) }
        isFetching = false
        quietUntil = now + pause
        return .giveUp
    }

    /// Someone was told that this token is not taken any more; it is not handed out again.
    mutating func discard(_ value: String) {
        guard token?.value == value else { return }
        token = nil
    }

    private mutating func beginRound() {
        isFetching = true
        triesInRound = 0
    }

    /// Doubling, with up to a quarter less so that many processes do not ask at the same moment.
    private mutating func nextPause() -> TimeSpan {
        var pause = Limits.firstPause
        for _ in 1..<max(1, min(failuresInARow, 16)) { pause = pause * 2 }
        return min(pause, Limits.longestPause) * (1 - 0.25 * Double.random(in: 0..<1, using: &generator))
    }

    /// A short-lived token is replaced in the last quarter of its life.
    private static func refreshTime(_ token: AccessToken) -> Instant {
        token.expires - min(Limits.refreshAhead, (token.expires - token.issued) * 0.25)
    }

    private static func endOfUse(_ token: AccessToken) -> Instant {
        token.expires - min(Limits.reserve, (token.expires - token.issued) * 0.1)
    }
}

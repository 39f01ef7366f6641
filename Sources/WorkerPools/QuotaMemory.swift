import Basics
import DispatchGates

/// What the last answers about quotas were, so that those that were bad are not asked for again at once.
///
/// A quota that is used up and one that could not be asked for are different things: only the first is an answer.
struct QuotaMemory: Sendable {
    /// What is remembered of a quota.
    enum Finding: Hashable {
        case exhausted
        case unreachable
    }

    private struct Name: Hashable {
        let address: String
        let key: String

        init(_ quota: QuotaRequest) {
            address = quota.address
            key = quota.key
        }
    }

    private struct Entry {
        var finding: Finding
        var until: Instant
        var pause: TimeSpan
    }

    /// Pauses between two questions for one quota.
    static let shortestPause = TimeSpan.milliseconds(100)
    static let longestPause = TimeSpan.seconds(1)
    /// Quotas that are remembered.
    private static let capacity = 4096

    private var entries: [Name: Entry] = [:]

    /// What is known of a quota, as long as it is worth believing.
    func finding(of quota: QuotaRequest, now: Instant) -> Finding? {
        entries[Name(quota)].flatMap { $0.until > now ? $0.finding : nil }
    }

    /// Until when that is believed.
    func end(of quota: QuotaRequest) -> Instant? { entries[Name(quota)]?.until }

    /// A bad answer came; `chance` is from 0 to 1 and spreads the next questions.
    mutating func note(_ finding: Finding, of quota: QuotaRequest, now: Instant, chance: Double) {
        let name = Name(quota)
        let pause = Self.pause(after: entries[name]?.pause)
        if entries.count >= Self.capacity { entries = entries.filter { $0.value.until > now } }
        guard entries.count < Self.capacity || entries[name] != nil else { return }
        entries[name] = Entry(finding: finding, until: now + Self.spread(pause, chance), pause: pause)
    }

    /// A good answer came.
    mutating func forget(_ quota: QuotaRequest) { entries[Name(quota)] = nil }

    /// A unit is on its way back: who waits for one need not wait for the time of the next question. Whether its server
    /// answers again is not known by that.
    mutating func noteReturn(_ quota: QuotaRequest) {
        if entries[Name(quota)]?.finding == .exhausted { forget(quota) }
    }

    /// When something may be asked for again, if time alone brings that.
    func next(after now: Instant) -> Instant? { entries.values.lazy.map(\.until).filter { $0 > now }.min() }

    /// The pause that follows a pause.
    static func pause(after former: TimeSpan?) -> TimeSpan { min(former.map { $0 * 2 } ?? shortestPause, longestPause) }

    /// From half of a pause to the whole.
    static func spread(_ pause: TimeSpan, _ chance: Double) -> TimeSpan { pause * (0.5 + 0.5 * chance) }
}

import Basics

/// The latest reading of each source, and when it came.
struct ReadingBoard: Sendable {
    private struct Entry {
        var reading: GateReading
        var at: Instant
    }

    /// A reading older than this counts as failed.
    let staleAfter: TimeSpan
    private var entries: [GateSource: Entry] = [:]

    init(staleAfter: TimeSpan) { self.staleAfter = staleAfter }

    mutating func post(_ reading: GateReading, of source: GateSource, now: Instant) {
        if case .value(let value) = reading, !value.isFinite {
            entries[source] = Entry(reading: .absent, at: now)
        } else {
            entries[source] = Entry(reading: reading, at: now)
        }
    }

    /// What is known of a source now.
    func reading(of source: GateSource, now: Instant) -> GateReading {
        guard let entry = entries[source] else { return .failed("not read yet") }
        guard now - entry.at <= staleAfter else { return .failed("the last reading is too old") }
        return entry.reading
    }

    /// When the reading of a source becomes too old, if it is not yet.
    func staleAt(_ source: GateSource, now: Instant) -> Instant? {
        guard let entry = entries[source], now - entry.at <= staleAfter else { return nil }
        return entry.at + staleAfter + TimeSpan(nanoseconds: 1)
    }
}

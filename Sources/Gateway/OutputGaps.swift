import Basics

/// The longest time between two tokens of an answer that streams.
///
/// It is known only while events come one by one: of several that arrive together nobody can tell how long each took.
struct OutputGaps {
    private var events = 0
    private var lastEvent: Instant?
    private var longest = TimeSpan.zero
    private var isKnown = true

    /// So many events with output have arrived by now, since the answer began.
    mutating func arrived(events total: Int, now: Instant) {
        guard total > events else { return }
        if total > events + 1 { isKnown = false }
        if let lastEvent { longest = max(longest, now - lastEvent) }
        events = total
        lastEvent = now
    }

    /// The longest gap since the last call; nil if it is not known.
    mutating func take() -> TimeSpan? {
        let taken = isKnown ? longest : nil
        longest = .zero
        isKnown = true
        return taken
    }
}

import Basics

/// When nothing more is read from the stream because there is enough in stock.
///
/// What lies unread runs out without anybody extending it, is delivered again elsewhere and counts as one more attempt.
/// So a pause is bounded; after it everything that has arrived is read, and kept alive, before the next pause. How many
/// messages that can be is bounded by what the stream asked for when it was opened. A broker that does not keep to
/// that, as the emulator, is held up at twice as many, however long it takes.
struct ReadingPace {
    /// How much there is.
    enum Supply: Comparable {
        /// More is wanted.
        case wanting
        /// More would only lie about.
        case sated
        /// More must not be.
        case full
    }

    /// A burst of reading lasts so long, and until the reader has had to wait: then all that had arrived is read.
    static let burst = TimeSpan.milliseconds(100)

    /// No pause is longer than this.
    let longestPause: TimeSpan
    private var burstEnd: Instant?

    init(longestPause: TimeSpan) { self.longestPause = longestPause }

    /// How long to pause now at most; nil to go on reading.
    mutating func pause(_ supply: Supply, hasWaited: Bool, now: Instant) -> TimeSpan? {
        switch supply {
        case .wanting:
            burstEnd = nil
            return nil
        case .sated:
            if let burstEnd, now < burstEnd || !hasWaited { return nil }
        case .full: break
        }
        burstEnd = nil
        return longestPause
    }

    /// The pause is over.
    mutating func resumed(_ supply: Supply, now: Instant) { burstEnd = supply == .sated ? now + Self.burst : nil }
}

/// How old what is read from the stream may be.
///
/// A reader that had to wait found nothing unread: what then comes has just been sent. What is there at once may have
/// been lying there since the reader last had to wait.
struct ArrivalEstimate {
    /// A reader that is back sooner has not waited, but been slow.
    static let shortestWait = TimeSpan.milliseconds(5)

    private var returned: Instant?
    private var earliest = Instant.zero

    /// Something has been read; returns when it was sent at the earliest.
    mutating func read(now: Instant) -> Instant {
        if returned.map({ now - $0 >= Self.shortestWait }) ?? true { earliest = now }
        return earliest
    }

    /// The reader goes back to reading.
    mutating func resumed(now: Instant) { returned = now }

    /// A new stream has nothing unread.
    mutating func reset() { returned = nil }
}

/// How long to wait before a stream that ended is opened again.
struct ReopeningPause {
    static let first = TimeSpan.milliseconds(100)
    static let longest = TimeSpan.seconds(10)

    private var next = Self.first

    /// The next pause: twice the former one, up to 10 s, and up to a quarter of it at random so that replicas spread.
    mutating func take(jitter: Double) -> TimeSpan {
        defer { next = min(next * 2, Self.longest) }
        return next * (0.75 + 0.25 * jitter)
    }

    /// The stream worked.
    mutating func reset() { next = Self.first }
}

import Basics

/// The search for messages among those of targets that nothing may be taken of. Pure.
///
/// A look at what waits costs the server time in which it does nothing else, and most looks are in vain while what waits is
/// all of those targets. So each look in vain doubles the pause, none takes more than a share of the server's time, and once
/// all has been seen nothing is looked at before something has been added or a target has become free.
struct TargetSearch {
    /// When the search goes on.
    enum Turn: Hashable {
        /// At this time, steady.
        case at(Instant)
        /// Once the queue has changed.
        case afterChange
    }

    private var targets: Set<String> = []
    /// Messages from the head of the queue that need not be looked at again.
    private(set) var passed = 0
    private var next = Instant.zero
    /// Before this nothing is looked at even if other targets are left out.
    private var earliest = Instant.zero
    private var pause = shortestPause
    /// The queue's version when the search began at its head.
    private var begun: UInt64 = 0
    /// The queue's version of which all has been seen, in vain.
    private var exhausted: UInt64?

    private static let shortestPause = TimeSpan.milliseconds(20)
    private static let longestPause = TimeSpan.milliseconds(500)
    /// After messages have been claimed in vain, which costs more than a look.
    private static let pauseAfterWaste = TimeSpan.milliseconds(100)
    /// For each look, so many times as long is left to others.
    private static let leisure = 19.0

    /// Sets the targets that are left out. Where there are only more of them, what has been seen in vain still is; else the
    /// search begins anew.
    mutating func leaveOut(_ targets: Set<String>) {
        defer { self.targets = targets }
        guard !targets.isSuperset(of: self.targets) else { return }
        passed = 0
        exhausted = nil
        next = min(next, earliest)
        pause = Self.shortestPause
    }

    /// When to look; without being told of changes (`isTold`) it is never certain that there is nothing new.
    func turn(version: UInt64, isTold: Bool) -> Turn {
        isTold && exhausted == version ? .afterChange : .at(next)
    }

    /// Begins a look at the queue in this version; returns how many messages to pass over.
    mutating func look(version: UInt64) -> Int {
        if passed == 0 { begun = version }
        return passed
    }

    /// Notes what a look brought and how long it took. `wasted`: messages were claimed that had to go back.
    mutating func looked(
        found: Bool, wasted: Bool, passed: Int, reachedEnd: Bool, took span: TimeSpan, now: Instant
    ) {
        self.passed = reachedEnd ? 0 : passed
        exhausted = reachedEnd && !found && !wasted ? begun : nil
        if found {
            (next, earliest, pause) = (now, now, Self.shortestPause)
            return
        }
        let leisure = min(span * Self.leisure, Self.longestPause)
        if wasted { pause = max(pause, Self.pauseAfterWaste) }
        // On the way to the end the share of the server's time is what counts.
        let limit = reachedEnd || wasted ? Self.longestPause : max(leisure, Self.shortestPause)
        earliest = now + leisure
        next = now + max(min(pause, limit), leisure)
        pause = min(pause * 2, Self.longestPause)
    }
}

import Basics

/// The windows of an `aimd` gate: how many requests of each lane may be in flight, learned from how requests end (shared
/// reference `async-processor.md` 7.2; upstream's `docs/aimd-gate.md`).
///
/// A window grows by `increase` for each accepted request while it is below its slow-start threshold, and by
/// `increase / window` above it. A rejection for capacity multiplies it by `decrease_factor`, an expiry in the gateway's
/// queue by 0.9, and `Retry-After` closes it until then. Lanes are served in strict order, so what a lane learns is
/// evidence for the others: lanes below a rejection shrink with it, lanes above stop growing for `hold_duration` or until
/// a lower lane is accepted again.
///
/// Answers come out of order. What a request tells is evidence of the time when it was sent: only one that was sent after
/// the last decrease may decrease again, or grow the window.
struct AIMDWindows: Sendable {
    private struct Band {
        var window: Double
        var slowStartThreshold: Double
        var inFlight = 0
        var lastDecrease: Instant?
        var closedUntil: Instant?
        var heldUntil: Instant?
        var heldAt: Instant?
    }

    /// What an expiry in the gateway's queue, or a wait there of twice the target, leaves of the window.
    static let gentleFactor = 0.9

    let configuration: GateConfiguration.AIMD
    private var bands: [Band?] = Array(repeating: nil, count: PriorityLane.count)

    init(_ configuration: GateConfiguration.AIMD) { self.configuration = configuration }

    /// The lane of a request.
    func lane(labels: [String: String]) -> PriorityLane {
        PriorityLane(labels: labels, tierLabel: configuration.tierLabel)
    }

    /// Takes a place in a lane's window, if it has one free.
    mutating func enter(_ lane: PriorityLane, now: Instant) -> Bool {
        var band = bands[lane.rank] ?? fresh
        defer { bands[lane.rank] = band }
        guard isOpen(band, now: now) else { return false }
        band.inFlight += 1
        return true
    }

    /// Gives the place back.
    mutating func leave(_ lane: PriorityLane) {
        guard var band = bands[lane.rank] else { return }
        band.inFlight = max(0, band.inFlight - 1)
        bands[lane.rank] = band
    }

    /// Learns how a request that was sent at `sentAt` ended.
    mutating func learn(
        _ lesson: GateLesson, of lane: PriorityLane, sentAt: Instant, now: Instant, advice: GateAdvice
    ) {
        var band = bands[lane.rank] ?? fresh
        if let headroom = advice.bandHeadroom, headroom.isFinite {
            limit(&band, to: Double(band.inFlight) + max(0, headroom))
        }
        let isNewEvidence = band.lastDecrease.map { sentAt > $0 } ?? true
        switch lesson {
        case .accepted:
            for rank in 0..<lane.rank { releaseHold(rank, sentAt: sentAt, now: now) }
            accepted(&band, isNewEvidence: isNewEvidence, now: now, queued: advice.queueDuration ?? .zero)
            bands[lane.rank] = band
        case .rejectedForCapacity(let retryAfter):
            if isNewEvidence { decrease(&band, by: configuration.decreaseFactor, now: now) }
            if let retryAfter, retryAfter > .zero { close(&band, until: now + retryAfter) }
            bands[lane.rank] = band
            guard isNewEvidence else { return }
            for rank in (lane.rank + 1)..<max(lane.rank + 1, bands.count) {
                follow(rank, band, sentAt: sentAt, now: now)
            }
            for rank in 0..<lane.rank { hold(rank, now: now) }
        case .queueExpired:
            if isNewEvidence { decrease(&band, by: Self.gentleFactor, now: now) }
            bands[lane.rank] = band
            guard isNewEvidence else { return }
            for rank in 0..<lane.rank { hold(rank, now: now) }
        case .evicted, .other:
            bands[lane.rank] = band
        }
    }

    /// The widest share of a window that is free, as upstream reports it; 1 before the first request.
    func budget(now: Instant) -> Double {
        let seen = bands.compactMap { $0 }
        if seen.isEmpty { return 1 }
        return seen.lazy.filter { isOpen($0, now: now) }.map { ($0.window - Double($0.inFlight)) / $0.window }.max()
            ?? 0
    }

    /// Whether any lane would take a request: also one that has not been used yet.
    func hasRoom(now: Instant) -> Bool { bands.contains { $0.map { isOpen($0, now: now) } ?? true } }

    /// When the next closed lane opens by itself.
    func opensAt(now: Instant) -> Instant? {
        bands.lazy.compactMap { $0?.closedUntil }.filter { $0 > now }.min()
    }

    /// Requests in flight over all lanes.
    var inFlight: Int { bands.reduce(0) { $0 + ($1?.inFlight ?? 0) } }

    /// The state of the lanes in use.
    var statuses: [GateWindowStatus] {
        bands.enumerated().compactMap { rank, band in
            band.map {
                GateWindowStatus(
                    band: PriorityLane(rank: rank).name, window: $0.window, slowStartThreshold: $0.slowStartThreshold,
                    inFlight: $0.inFlight)
            }
        }
    }

    private var fresh: Band { Band(window: configuration.minWindow, slowStartThreshold: configuration.maxWindow) }

    private func isOpen(_ band: Band, now: Instant) -> Bool {
        band.closedUntil.map { now >= $0 } ?? true && Double(band.inFlight) < band.window
    }

    private func accepted(_ band: inout Band, isNewEvidence: Bool, now: Instant, queued: TimeSpan) {
        let target = configuration.queueDurationTarget
        if target > .zero, queued >= target * 2 {
            if isNewEvidence { decrease(&band, by: Self.gentleFactor, now: now) }
        } else if target > .zero, queued >= target {
            return
        } else if isNewEvidence, band.heldUntil.map({ now >= $0 }) ?? true {
            let step = band.window < band.slowStartThreshold ? 1 : 1 / band.window
            band.window = min(configuration.maxWindow, band.window + configuration.increase * step)
        }
    }

    private func decrease(_ band: inout Band, by factor: Double, now: Instant) {
        band.slowStartThreshold = max(configuration.minWindow, band.window * factor)
        band.window = band.slowStartThreshold
        band.lastDecrease = now
    }

    private func close(_ band: inout Band, until reopening: Instant) {
        band.closedUntil = max(band.closedUntil ?? reopening, reopening)
        band.window = configuration.minWindow
    }

    private func limit(_ band: inout Band, to most: Double) {
        let ceiling = max(configuration.minWindow, most)
        guard band.window > ceiling else { return }
        band.window = ceiling
        band.slowStartThreshold = min(band.slowStartThreshold, ceiling)
    }

    /// A lane below one that was rejected has it no better.
    private mutating func follow(_ rank: Int, _ rejected: Band, sentAt: Instant, now: Instant) {
        guard var band = bands[rank] else { return }
        if band.lastDecrease.map({ sentAt > $0 }) ?? true {
            decrease(&band, by: configuration.decreaseFactor, now: now)
        }
        if let reopening = rejected.closedUntil, reopening > now, band.closedUntil.map({ reopening > $0 }) ?? true {
            close(&band, until: reopening)
        }
        bands[rank] = band
    }

    /// A lane above one that was rejected may be next: it does not grow for a while.
    private mutating func hold(_ rank: Int, now: Instant) {
        guard var band = bands[rank] else { return }
        band.heldUntil = max(band.heldUntil ?? now, now + configuration.holdDuration)
        band.heldAt = now
        bands[rank] = band
    }

    /// What a lower lane was accepted with since the hold proves that there is room.
    private mutating func releaseHold(_ rank: Int, sentAt: Instant, now: Instant) {
        guard var band = bands[rank], let heldAt = band.heldAt, sentAt > heldAt else { return }
        band.heldUntil = nil
        band.heldAt = nil
        bands[rank] = band
    }
}

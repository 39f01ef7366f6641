import Basics

/// Puts an engine's batches in order, finds holes and restarts, and says when to ask for a replay. Pure.
///
/// Batches are numbered from 0. While a replay runs, what the subscription brings is held back, so that everything is
/// applied in order and once. A replay begins one batch early: if that one is not the one we had, or is not there any
/// more, the engine is another one (or its memory too short), and what we know is worth nothing. Without a replay socket,
/// or when it does not help, a hole (and without one, each new connection) means to forget all and to go on from there.
struct KVEventSequencer: Sendable {
    /// Bounds and pauses.
    struct Settings: Hashable, Sendable {
        var hasReplay: Bool
        /// The pauses before further attempts when a replay brings nothing. After the last one it is given up.
        var retryPauses: [TimeSpan]
        /// Bounds on what is held back during a replay; what is beyond is dropped and asked for again.
        var maximumHeldBatches = 4_096
        var maximumHeldBytes = 16 << 20
    }

    enum Action: Hashable {
        case apply(payload: [UInt8], isLive: Bool)
        case forget
        case requestReplay(from: UInt64, after: TimeSpan)
    }

    private struct Held {
        let sequence: UInt64
        let payload: [UInt8]
    }

    private struct Repair {
        /// Whether the first answer is to be one that we have.
        var isAnchored: Bool
        var from: UInt64
        var hasAnswers = false
        var hasProgress = false
        /// The replay itself had a hole.
        var hasHole = false
    }

    private(set) var counters = SequenceCounters()
    private let settings: Settings
    /// The sequence to be applied next; nil while nothing is known.
    private var next: UInt64?
    /// The print of the batch before that.
    private var lastPrint: UInt64 = 0
    /// No batch up to this one can come again, unless the engine has started anew.
    private var lastLive: UInt64?
    private var repair: Repair?
    /// Replays in a row that did not bring us on.
    private var stalls = 0
    private var held: [Held] = []
    private var heldBytes = 0

    init(_ settings: Settings) { self.settings = settings }

    /// Whether batches are applied as they come.
    var isFollowing: Bool { repair == nil }

    // MARK: The subscription

    mutating func connected(into actions: inout [Action]) {
        drop()
        lastLive = next.flatMap { $0 > 0 ? $0 - 1 : nil }
        stalls = 0
        if settings.hasReplay { return beginRepair(into: &actions) }
        // It may be another engine, and nobody can be asked.
        lose(into: &actions)
        lastLive = nil
    }

    mutating func disconnected() {
        drop()
        repair = nil
    }

    mutating func live(_ sequence: UInt64, _ payload: [UInt8], into actions: inout [Action]) {
        if let last = lastLive, sequence <= last { startAnew(into: &actions) }
        lastLive = sequence
        if repair == nil, sequence == next ?? sequence, next != nil || !settings.hasReplay {
            return apply(sequence, payload, isLive: true, into: &actions)
        }
        hold(sequence, payload)
        if repair == nil { drain(into: &actions) }
    }

    /// The engine counts from the beginning again.
    private mutating func startAnew(into actions: inout [Action]) {
        counters.restarts += 1
        lose(into: &actions)
        drop()
        lastLive = nil
        stalls = 0
        repair = nil
        if settings.hasReplay { beginRepair(into: &actions) }
    }

    private mutating func hold(_ sequence: UInt64, _ payload: [UInt8]) {
        guard held.count < settings.maximumHeldBatches, heldBytes + payload.count <= settings.maximumHeldBytes else {
            counters.droppedBatches += 1
            return
        }
        held.append(Held(sequence: sequence, payload: payload))
        heldBytes += payload.count
    }

    private mutating func drop() {
        held = []
        heldBytes = 0
    }

    // MARK: Replays

    mutating func replayed(_ sequence: UInt64, _ payload: [UInt8], into actions: inout [Action]) {
        guard var current = repair, sequence >= current.from else { return }
        let isFirst = !current.hasAnswers
        current.hasAnswers = true
        repair = current
        if isFirst, current.isAnchored, sequence == current.from {
            if Self.fingerprint(payload) != lastPrint { startOverFromReplay(into: &actions) }
            return
        }
        if isFirst, current.isAnchored || sequence > next ?? 0 {
            // The engine no longer has what we miss, or what would tell us that it is still the same.
            miss(from: next ?? 0, to: sequence)
            lose(into: &actions)
        }
        if next == nil { next = sequence }
        if sequence == next {
            counters.replayedBatches += 1
            stalls = 0
            repair?.hasProgress = true
            apply(sequence, payload, isLive: false, into: &actions)
        } else if sequence > next ?? 0 {
            repair?.hasHole = true
        }
    }

    mutating func replayEnded(into actions: inout [Action]) {
        guard let current = repair else { return }
        if current.isAnchored, !current.hasAnswers { return startOverFromReplay(into: &actions) }
        if current.hasHole { return retry(into: &actions) }
        repair = nil
        if !current.hasProgress { stalls += 1 }
        // Nothing is kept: nothing has been published, or what has been cannot be known.
        if next == nil { next = held.first?.sequence ?? 0 }
        drain(into: &actions)
    }

    mutating func replayFailed(into actions: inout [Action]) {
        guard repair != nil else { return }
        counters.failedReplays += 1
        retry(into: &actions)
    }

    /// The engine of the replay is not the one whose batches we have.
    private mutating func startOverFromReplay(into actions: inout [Action]) {
        counters.restarts += 1
        lose(into: &actions)
        lastLive = held.last?.sequence
        beginRepair(into: &actions)
    }

    private mutating func beginRepair(into actions: inout [Action]) {
        let anchor = next.flatMap { $0 > 0 ? $0 - 1 : nil }
        repair = Repair(isAnchored: anchor != nil, from: anchor ?? 0)
        counters.replays += 1
        let pause = stalls == 0 ? .zero : settings.retryPauses.prefix(stalls).last ?? .zero
        actions.append(.requestReplay(from: anchor ?? 0, after: pause))
    }

    private mutating func retry(into actions: inout [Action]) {
        if stalls < settings.retryPauses.count {
            stalls += 1
            return beginRepair(into: &actions)
        }
        giveUp(into: &actions)
    }

    /// Goes on with what there is.
    private mutating func giveUp(into actions: inout [Action]) {
        repair = nil
        stalls = 0
        if let first = held.first, let known = next, first.sequence > known { lose(into: &actions) }
        if next == nil { next = held.first?.sequence }
        drain(into: &actions)
    }

    // MARK: In order

    /// Applies what is held back as far as there is no hole.
    private mutating func drain(into actions: inout [Action]) {
        var index = 0
        while index < held.count, repair == nil {
            let batch = held[index]
            guard let known = next else {
                beginRepair(into: &actions)
                break
            }
            if batch.sequence > known {
                if stalls == 0 { counters.gaps += 1 }
                if settings.hasReplay, stalls <= settings.retryPauses.count {
                    beginRepair(into: &actions)
                    break
                }
                stalls = 0
                miss(from: known, to: batch.sequence)
                lose(into: &actions)
                next = batch.sequence
            }
            if batch.sequence == next { apply(batch.sequence, batch.payload, isLive: true, into: &actions) }
            heldBytes -= batch.payload.count
            index += 1
        }
        held.removeFirst(index)
        if repair == nil { stalls = 0 }
    }

    private mutating func apply(
        _ sequence: UInt64, _ payload: [UInt8], isLive: Bool, into actions: inout [Action]
    ) {
        counters.batches += 1
        next = sequence &+ 1
        if settings.hasReplay { lastPrint = Self.fingerprint(payload) }
        actions.append(.apply(payload: payload, isLive: isLive))
    }

    private mutating func miss(from known: UInt64, to sequence: UInt64) {
        guard sequence > known else { return }
        let (sum, overflows) = counters.missedBatches.addingReportingOverflow(Int(clamping: sequence - known))
        counters.missedBatches = overflows ? .max : sum
    }

    /// What is known is worth nothing any more.
    private mutating func lose(into actions: inout [Action]) {
        if next != nil { actions.append(.forget) }
        next = nil
    }

    /// FNV-1a, 64 bits.
    private static func fingerprint(_ payload: [UInt8]) -> UInt64 {
        payload.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    }
}

/// What has been seen of the numbering of one publisher's batches. All only grow.
public struct SequenceCounters: Hashable, Sendable {
    /// Batches applied.
    public var batches = 0
    /// Of these, batches that a replay brought.
    public var replayedBatches = 0
    /// Holes in the numbering of the subscription.
    public var gaps = 0
    /// Batches that nobody can tell us any more.
    public var missedBatches = 0
    /// Batches that came while too many were held back; a replay brings them again.
    public var droppedBatches = 0
    /// Times that the engine was found to have started anew.
    public var restarts = 0
    /// Replays asked for.
    public var replays = 0
    /// Replays that did not come to their end.
    public var failedReplays = 0

    /// Nothing yet.
    public init() {}
}

import Basics
import Delivery
import DequeModule

/// What the broker has delivered to this process and is not over: under which acknowledgement ids, until when, and in
/// whose hands.
///
/// Deliveries are told apart by acknowledgement id, never by message id: a message that is delivered again while it is
/// in hand gets the new id and is not run a second time. With exactly-once delivery the new id takes the place of the
/// former one; without it each id stands for its own delivery, and all are acknowledged.
///
/// Messages with an ordering key are handed out one at a time, as they came; the next when the one before is over. If
/// one has to go back to the broker, those behind it go back as well, so that all come again in order.
///
/// What the processor gives back stays here, since whatever goes back to the broker costs one of the deliveries after
/// which it gives the message up. Only beyond a bound, and when nothing is taken any more, it goes back.
///
/// Times are steady.
struct DeliveryLedger {
    /// Where a delivery is.
    enum Stage: Hashable {
        /// In stock.
        case stocked
        /// An earlier message of its ordering key is not over.
        case behind
        /// Given back, and to be tried again then.
        case resting(until: Instant)
        /// With the processor, until it fails to extend its lease.
        case held(until: Instant)
        /// Its result is being published, or the message acknowledged.
        case settling
        /// It cannot be read, and is on its way to the dead-letter topic.
        case discarding

        /// Whether nobody works on it.
        var isIdle: Bool {
            switch self {
            case .stocked, .behind, .resting: true
            case .held, .settling, .discarding: false
            }
        }
    }

    struct Entry {
        let messageID: String
        let orderingKey: String
        let deliveryAttempt: Int
        /// Nil for what cannot be read.
        var message: LeasedMessage?
        var stage: Stage
        /// The deliveries that have not run out, as far as is known; without one the message is lost to us.
        var ackIDs: [String]
        /// When the newest delivery runs out.
        var deadline: Instant
        var isPublished = false
        var isDeadLetterPublished = false
        var wasAcknowledged = false
    }

    /// What a delivery means.
    enum Admission: Hashable {
        /// A message that is not in hand.
        case fresh
        /// A message that is in hand came again; nothing is to be done.
        case inHand
        /// Its result has been published already: acknowledge this delivery too.
        case finished
    }

    /// Acknowledgement ids of one message that are kept at most; more deliveries without an end of any of them mean
    /// that the broker is confused.
    static let ackIDLimit = 8
    /// What a message whose result could not be published may take until the processor tries again.
    static let retryGrace = TimeSpan.seconds(60)

    let ackDeadline: TimeSpan
    /// With more messages out than this, those that are given back go back to the broker.
    let keptLimit: Int
    /// Whether everything that is given back goes back to the broker.
    var isReturning = false
    var isExactlyOnce = false
    var isOrdered = false
    /// The broker's own pauses before it delivers again, if its subscription has a retry policy.
    var backoff: BrokerBackoff?

    var entries: [Lease: Entry] = [:]
    var stock = MessageStock()
    /// The processor would have taken more than there was.
    private(set) var isHungry = false

    var leasesByMessage: [String: Lease] = [:]
    var leasesByAckID: [String: Lease] = [:]
    /// Messages of one ordering key, in the order in which they came.
    var lines: [String: Deque<Lease>] = [:]
    /// Messages whose result has been published.
    private var finished: BoundedMemory<Void>
    /// What had happened to messages that were given back.
    private var records: BoundedMemory<AttemptRecord>
    private var lastSequence: Int64 = 0
    private let token: Int64

    init(
        ackDeadline: TimeSpan, token: Int64, keptLimit: Int, finishedMemory: Int = 100_000, recordMemory: Int = 10_000
    ) {
        self.ackDeadline = ackDeadline
        self.keptLimit = keptLimit
        self.token = token
        finished = BoundedMemory(limit: finishedMemory)
        records = BoundedMemory(limit: recordMemory)
    }

    /// Deliveries that are out.
    var count: Int { entries.count }

    /// How much there is, measured by what may be out and by what may lie in stock unasked.
    func supply(maximumOutstanding: Int, maximumBytes: Int, lowWater: Int) -> ReadingPace.Supply {
        if count >= 2 * maximumOutstanding || stock.bytes >= 2 * maximumBytes { return .full }
        if count >= maximumOutstanding || stock.bytes >= maximumBytes { return .sated }
        return !isHungry && stock.count >= lowWater ? .sated : .wanting
    }

    // MARK: Coming in

    /// Notes a delivery of a message that is in hand or over; a fresh one is to be inserted.
    mutating func admit(ackID: String, messageID: String, now: Instant) -> Admission {
        if let lease = leasesByMessage[messageID], var entry = entries[lease] {
            if !entry.ackIDs.contains(ackID) {
                if isExactlyOnce || entry.ackIDs.count >= Self.ackIDLimit {
                    let former = isExactlyOnce ? entry.ackIDs : [entry.ackIDs[0]]
                    for id in former { leasesByAckID[id] = nil }
                    entry.ackIDs.removeFirst(former.count)
                }
                entry.ackIDs.append(ackID)
                leasesByAckID[ackID] = lease
            }
            entry.deadline = now + ackDeadline
            entries[lease] = entry
            return .inHand
        }
        return finished[messageID] == nil ? .fresh : .finished
    }

    /// Takes in a fresh delivery.
    mutating func insert(_ received: ReceivedMessage, ackID: String, now: Instant) {
        let lease = nextLease()
        let attempts = records[received.messageID] ?? received.attempts
        let message = LeasedMessage(
            lease: lease, message: received.message, attempts: attempts, generation: received.generation,
            enqueued: received.published)
        var stage = Stage.stocked
        if isOrdered, !received.orderingKey.isEmpty {
            lines[received.orderingKey, default: []].append(lease)
            if lines[received.orderingKey]?.first != lease { stage = .behind }
        }
        add(
            Entry(
                messageID: received.messageID, orderingKey: received.orderingKey,
                deliveryAttempt: received.deliveryAttempt, message: message, stage: stage, ackIDs: [ackID],
                deadline: now + ackDeadline), lease)
        if stage == .stocked { stock.insert(message) }
    }

    /// Takes in a fresh delivery of what cannot be read. It does not hold up others of its ordering key.
    mutating func insertUnreadable(messageID: String, ackID: String, now: Instant) -> Lease {
        let lease = nextLease()
        add(
            Entry(
                messageID: messageID, orderingKey: "", deliveryAttempt: 0, message: nil, stage: .discarding,
                ackIDs: [ackID], deadline: now + ackDeadline), lease)
        return lease
    }

    private mutating func nextLease() -> Lease {
        lastSequence += 1
        return Lease(sequence: lastSequence, token: token)
    }

    private mutating func add(_ entry: Entry, _ lease: Lease) {
        entries[lease] = entry
        leasesByMessage[entry.messageID] = lease
        for id in entry.ackIDs { leasesByAckID[id] = lease }
    }

    // MARK: In the processor's hands

    /// Hands out up to `limit` messages until `duration` from now.
    mutating func take(limit: Int, duration: TimeSpan, excluding targets: Set<String>, now: Instant) -> [LeasedMessage]
    {
        let taken = stock.take(limit: limit, excluding: targets)
        isHungry = taken.count < limit
        hold(taken, until: now + duration)
        return taken
    }

    /// Hands out up to `limit` messages whose deadline, in calendar time, lies before `instant`.
    mutating func takeOverdue(
        before instant: Instant, limit: Int, duration: TimeSpan, now: Instant
    ) -> [LeasedMessage] {
        let resting = entries.values.compactMap { entry -> LeasedMessage? in
            guard case .resting = entry.stage, let message = entry.message, message.message.deadline < instant
            else { return nil }
            return message
        }
        let stocked = stock.takeOverdue(before: instant, limit: limit)
        let taken =
            stocked
            + resting.sorted { $0.message.deadline < $1.message.deadline }.prefix(limit - stocked.count)
        hold(taken, until: now + duration)
        return taken
    }

    private mutating func hold(_ messages: [LeasedMessage], until end: Instant) {
        for message in messages { entries[message.lease]?.stage = .held(until: end) }
    }

    /// The processor still works on these; returns those that are lost.
    mutating func extend(_ leases: [Lease], duration: TimeSpan, now: Instant) -> [Lease] {
        leases.filter { lease in
            guard let entry = entries[lease], !entry.ackIDs.isEmpty else { return true }
            if case .held = entry.stage { entries[lease]?.stage = .held(until: now + duration) }
            return false
        }
    }

    /// What is to be told the broker of messages that leave our hands.
    struct HandBack: Hashable {
        var ackIDs: [String] = []
        /// The broker is to deliver them again so many seconds from now; 0 leaves the pause to it.
        var seconds: Int32 = 0
    }

    /// The processor gives a message back, to be tried again after `pause`: it stays here under another lease, or goes
    /// back to the broker. `tookEffect` is false if the message was lost.
    mutating func release(
        _ lease: Lease, attempts: AttemptRecord, pause: TimeSpan, now: Instant
    ) -> (tookEffect: Bool, handBack: HandBack) {
        guard let entry = entries[lease], case .held = entry.stage else { return (false, HandBack()) }
        guard !entry.ackIDs.isEmpty else {
            return (false, HandBack(ackIDs: forget(lease, isOver: false)))
        }
        records.insert(attempts, for: entry.messageID)
        let rests = isOrdered && !entry.orderingKey.isEmpty && pause > .zero
        if !isReturning, count <= keptLimit || rests {
            keep(lease, entry, attempts: attempts, until: pause > .zero ? now + pause : nil)
            return (true, HandBack())
        }
        let isBrokersPause = pause <= backoff?.pause(afterDelivery: entry.deliveryAttempt) ?? .zero
        let seconds = isBrokersPause ? 0 : Self.pauseSeconds(pause)
        return (true, HandBack(ackIDs: forget(lease, isOver: false), seconds: seconds))
    }

    /// Whole seconds, at most as long as an ack deadline may be.
    static func seconds(_ span: TimeSpan) -> Int32 {
        Int32(min(600, max(0, (span.seconds).rounded(.up))))
    }

    /// Pauses of messages that go back to the broker: few, as each takes a call of its own for those that have it.
    private static let pauseSteps: [Int32] = [0, 10, 30, 60, 120, 300, 600]

    /// A pause as the broker is told it, the next longer step.
    static func pauseSeconds(_ span: TimeSpan) -> Int32 {
        let wanted = seconds(span)
        return pauseSteps.first { $0 >= wanted } ?? wanted
    }

    /// Keeps a message under a new lease, in stock or out of it for a while.
    private mutating func keep(_ lease: Lease, _ entry: Entry, attempts: AttemptRecord, until end: Instant?) {
        guard let message = entry.message else { return }
        let next = nextLease()
        var entry = entry
        let kept = LeasedMessage(
            lease: next, message: message.message, attempts: attempts, generation: message.generation,
            enqueued: message.enqueued)
        entry.stage = end.map { .resting(until: $0) } ?? .stocked
        entry.message = kept
        entries[lease] = nil
        if let index = lines[entry.orderingKey]?.firstIndex(of: lease) { lines[entry.orderingKey]?[index] = next }
        add(entry, next)
        if end == nil { stock.insert(kept) }
    }

    // MARK: Settling

    /// What is to be done about a message that has its result.
    enum Completion: Hashable {
        /// Publish the result.
        case publish
        /// It is published; only acknowledge the message.
        case acknowledge
        /// The message is lost; these others go back to the broker.
        case lost(handBack: [String])
    }

    /// The processor has a result.
    mutating func beginCompletion(_ lease: Lease) -> Completion {
        guard let entry = entries[lease] else { return .lost(handBack: []) }
        if entry.ackIDs.isEmpty { return .lost(handBack: forget(lease, isOver: entry.isPublished)) }
        entries[lease]?.stage = .settling
        return entry.isPublished ? .acknowledge : .publish
    }

    /// The ids of a message whose deliveries may have run out unnoticed, so that they are to be extended before its
    /// result is published.
    func lapsedIDs(of lease: Lease, now: Instant) -> [String] {
        guard let entry = entries[lease], !entry.isPublished, entry.deadline <= now else { return [] }
        return entry.ackIDs
    }

    /// A copy of the message is in the dead-letter topic.
    mutating func deadLetterPublished(_ lease: Lease) { entries[lease]?.isDeadLetterPublished = true }

    /// The result of a message is safe: it never runs here again.
    mutating func published(_ lease: Lease) {
        guard let entry = entries[lease] else { return }
        entries[lease]?.isPublished = true
        finished.insert((), for: entry.messageID)
        records.remove(entry.messageID)
    }

    /// The result could not be published or the message not be acknowledged; the processor will try again.
    mutating func completionFailed(_ lease: Lease, now: Instant) {
        entries[lease]?.stage = .held(until: now + Self.retryGrace)
    }

    /// The ids to acknowledge a message by.
    func ackIDs(of lease: Lease) -> [String] { entries[lease]?.ackIDs ?? [] }

    /// How far acknowledging a message has got.
    enum AcknowledgementProgress: Hashable {
        /// It is over.
        case removed
        /// Every delivery had run out before; the broker will deliver it again.
        case lost
        /// There are ids left, or new ones.
        case again
    }

    /// The broker has answered to the acknowledgement of these ids.
    mutating func acknowledged(_ lease: Lease, _ outcomes: [(id: String, outcome: Acknowledgement)])
        -> AcknowledgementProgress
    {
        guard var entry = entries[lease] else { return .lost }
        for (id, outcome) in outcomes where outcome != .failed {
            entry.ackIDs.removeAll { $0 == id }
            leasesByAckID[id] = nil
            if outcome == .confirmed { entry.wasAcknowledged = true }
        }
        entries[lease] = entry
        guard entry.ackIDs.isEmpty else { return .again }
        _ = forget(lease, isOver: true)
        return entry.wasAcknowledged ? .removed : .lost
    }

    /// Forgets a message whose result is published although it could not be acknowledged: when it comes again, it will
    /// be.
    mutating func giveUpAcknowledging(_ lease: Lease) { _ = forget(lease, isOver: true) }

    // MARK: Leaving

    /// Forgets a message, and returns the acknowledgement ids to be handed back: its own, and unless it is over those
    /// of the messages behind it.
    mutating func forget(_ lease: Lease, isOver: Bool) -> [String] {
        guard let entry = entries.removeValue(forKey: lease) else { return [] }
        if leasesByMessage[entry.messageID] == lease { leasesByMessage[entry.messageID] = nil }
        for id in entry.ackIDs { leasesByAckID[id] = nil }
        stock.remove(lease)
        guard let place = lines[entry.orderingKey]?.firstIndex(of: lease) else { return entry.ackIDs }
        if isOver {
            lines[entry.orderingKey]?.remove(at: place)
            advanceLine(entry.orderingKey)
            return entry.ackIDs
        }
        let followers = lines[entry.orderingKey].map { Array($0[(place + 1)...]) } ?? []
        lines[entry.orderingKey]?.removeSubrange(place...)
        if lines[entry.orderingKey]?.isEmpty == true { lines[entry.orderingKey] = nil }
        return followers.reduce(into: entry.ackIDs) { $0 += forget($1, isOver: false) }
    }

    /// Puts the message that is first in line now into stock.
    private mutating func advanceLine(_ key: String) {
        guard let first = lines[key]?.first else {
            lines[key] = nil
            return
        }
        guard var entry = entries[first], entry.stage == .behind, let message = entry.message else { return }
        entry.stage = .stocked
        entries[first] = entry
        stock.insert(message)
    }
}

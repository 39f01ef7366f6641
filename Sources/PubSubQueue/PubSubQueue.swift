public import Basics
import Delivery
import Foundation
public import MessageQueues
import Synchronization

/// A subscription of Google Cloud Pub/Sub as a queue, and a topic for the results.
///
/// - Taking: one stream stays open per queue, whatever the processor's appetite. What comes is kept in stock, by
///   deadline; while there is enough, reading pauses (`ReadingPace`). All that is out has its ack deadline extended
///   until it is over or the processor lets go of its lease.
/// - Safety: a result is published and confirmed before its message is acknowledged, and the acknowledgement's own
///   outcome is looked at. A crash between the two makes the message run once more; its result then has the same
///   `result_key`.
/// - Order: by deadline, as a stock of up to `maximumOutstandingMessages` allows. Messages with an ordering key run one
///   at a time, in the order of publication, if the subscription orders them.
/// - Deliveries: what the processor gives back stays here until it is to be tried again, so that it costs none of the
///   deliveries after which the broker gives a message up. With more than `maximumOutstandingMessages` out, and from
///   `stopLeasing()` on, it goes back.
/// - What cannot be read goes to the dead-letter topic with the reason, never anywhere else.
///
/// `start()` it, and `close(within:)` it at the end; in between the processor uses it as a `MessageQueue`.
public final class PubSubQueue: Sendable {
    /// How a queue is used.
    public struct Configuration: Sendable {
        /// The service, and who calls it.
        public var connection: PubSubConnectionSettings
        /// The whole name of the subscription that messages come from.
        public var subscription: String
        /// Where the results go.
        public var results: ResultDestinations
        /// The whole name of the topic for messages that cannot be read or were given up; without one the former are
        /// handed back to the broker.
        public var deadLetterTopic: String?
        /// The whole name of the topic that `enqueue` publishes to.
        public var requestTopic: String?
        /// Messages that may be out at a time; the stream asks for no more. Others of the subscription's consumers do
        /// not get what is out here.
        public var maximumOutstandingMessages = 1000
        /// The same in bytes.
        public var maximumOutstandingBytes = 256 << 20
        /// With this many messages in stock that the processor has not asked for, nothing more is read.
        public var lowWater = 100
        /// How long the broker waits for a sign of life of this process before it delivers a message elsewhere; 10 to
        /// 600 s.
        public var ackDeadline = TimeSpan.seconds(60)
        /// The deadline of a message that has none: so long after it was published.
        public var completionWindow = TimeSpan.seconds(86_400)
        /// The path of a message that has none.
        public var path = "/v1/completions"
        /// Labels for every message, for gates and merge policies.
        public var labels: [String: String] = [:]
        /// The source of the time.
        public var clock: any DeliveryClock = SystemClock()
        /// Told of each failure that is handled here, for the log.
        public var reportsError: @Sendable (any Error) -> Void = { _ in }

        /// The defaults for a subscription.
        public init(connection: PubSubConnectionSettings, subscription: String, results: ResultDestinations) {
            self.connection = connection
            self.subscription = subscription
            self.results = results
        }
    }

    enum Phase: Comparable {
        case idle
        case running
        /// Nothing is taken any more.
        case draining
        case closed
    }

    struct State {
        var phase = Phase.idle
        var ledger: DeliveryLedger
        var metrics = PubSubMetrics()
        var pace: ReadingPace
        var arrivals = ArrivalEstimate()
        /// The subscription's settings have been looked at, or cannot be, since the last stream ended.
        var isLookedUp = false
        var hasDeadLetterPolicy = false
        var reader: Task<Void, Never>?
        /// Ends the stream that is open.
        var streamEnd: ChangeSignal?
        /// Hands back what nobody works on.
        var returning: Task<Void, Never>?
        var keeper: Task<Void, Never>?
    }

    let configuration: Configuration
    let client: PubSubClient
    let state: Mutex<State>
    let publisher: TopicPublisher
    let calls: AcknowledgementCalls
    /// Tells this queue from others of the subscription when a stream is opened again.
    let clientID = UUID().uuidString
    let acknowledger: Batcher<String, Acknowledgement>
    let returner: Batcher<Return, Void>
    /// Messages may be ready.
    let readiness = ChangeSignal()
    /// The processor has taken messages, or one is over.
    let credit = ChangeSignal()
    /// Something that was being settled is over, or the queue is being closed.
    let settlements = ChangeSignal()

    /// Prepares a queue; `start()` opens it.
    public convenience init(_ configuration: Configuration) throws(PubSubError) {
        try self.init(configuration) { AcknowledgementCalls($0, subscription: configuration.subscription) }
    }

    init(_ configuration: Configuration, calls: (PubSubClient) -> AcknowledgementCalls) throws(PubSubError) {
        var configuration = configuration
        configuration.ackDeadline = min(max(configuration.ackDeadline, .seconds(10)), .seconds(600))
        configuration.maximumOutstandingMessages = max(1, configuration.maximumOutstandingMessages)
        self.configuration = configuration
        let client = try PubSubClient(configuration.connection)
        self.client = client
        let clock = configuration.clock
        let calls = calls(client)
        self.calls = calls
        state = Mutex(
            State(
                ledger: DeliveryLedger(
                    ackDeadline: configuration.ackDeadline, token: Int64.random(in: 1...Int64.max),
                    keptLimit: configuration.maximumOutstandingMessages),
                pace: ReadingPace(longestPause: configuration.ackDeadline * (1.0 / 3))))
        publisher = TopicPublisher(client: client, clock: clock)
        acknowledger = Batcher(limits: .acknowledgements, clock: clock) { ids in
            await calls.perform(.acknowledge, ids).map { .success($0) }
        }
        returner = Batcher(limits: .acknowledgements, clock: clock) { returns in
            await Self.handBack(returns, calls)
        }
    }

    /// What has been done, and what is in hand.
    public var metrics: PubSubMetrics {
        state.withLock { state in
            var metrics = state.metrics
            metrics.outstanding = state.ledger.count
            metrics.published = publisher.published
            return metrics
        }
    }

    /// Looks the subscription up and begins to take messages. Throws if the subscription does not exist or the
    /// credentials are not accepted; a service that cannot be reached is waited for.
    public func start() async throws(PubSubError) {
        do throws(PubSubError) {
            try await lookUp()
        } catch {
            guard error.isTransient else { throw error }
            configuration.reportsError(error)
        }
        state.withLock { state in
            guard state.phase == .idle else { return }
            state.phase = .running
            state.reader = Task { await self.readStream() }
            state.keeper = Task { await self.keepAlive() }
        }
    }

    /// As `stopLeasing()`, and returns when the broker has been told of all that goes back.
    public func stopTaking() async {
        stopLeasing()
        await state.withLock { $0.returning }?.value
    }

    /// How long the service has to end a stream after us.
    private static let streamEndPatience = TimeSpan.seconds(1)

    /// Ends the stream, and hands back what is not with the processor.
    ///
    /// Our side of the stream is closed first, and what was on its way is read: unread it could not be handed back, and
    /// others would get it only when it has run out.
    func returnIdle(_ reader: Task<Void, Never>?) async {
        if let reader {
            let streamEnd = state.withLock { $0.streamEnd }
            streamEnd?.notify()
            let ended = ChangeSignal()
            let watch = Task {
                await reader.value
                ended.notify()
            }
            if streamEnd != nil { await ended.wait(past: 0, atMost: Self.streamEndPatience) }
            reader.cancel()
            await watch.value
        }
        // Only now: while the stream was open they would have come back by it.
        await handBack(
            DeliveryLedger.HandBack(ackIDs: state.withLock { $0.ledger.handBackAll(includingHeld: false) }))
    }

    /// Ends the queue within `limit`, whatever the broker does: hands back what nobody works on, lets results that are
    /// being published and acknowledged finish, and hands back the rest.
    public func close(within limit: TimeSpan) async {
        let end = configuration.clock.steady() + limit
        let finished = ChangeSignal()
        Task {
            defer { finished.notify() }
            await stopTaking()
            // A part of the time is for what is left to hand back.
            await awaitSettlements(until: end - limit * 0.25)
            let ackIDs = state.withLock { state in
                state.phase = .closed
                return state.ledger.handBackAll(includingHeld: true)
            }
            settlements.notify()
            await handBack(DeliveryLedger.HandBack(ackIDs: ackIDs))
        }
        // If the broker does not answer, the end of the connection ends what waits for it.
        await finished.wait(past: 0, atMost: limit)
        let keeper = state.withLock { state in
            state.phase = .closed
            return state.keeper
        }
        settlements.notify()
        readiness.notify()
        keeper?.cancel()
        await client.close(within: max(.milliseconds(100), end - configuration.clock.steady()))
    }

    private func awaitSettlements(until end: Instant) async {
        while true {
            let version = settlements.version
            let isBusy = state.withLock { state in
                state.ledger.entries.values.contains { $0.stage == .settling || $0.stage == .discarding }
            }
            let remaining = end - configuration.clock.steady()
            guard isBusy, remaining > .zero else { return }
            await settlements.wait(past: version, atMost: remaining)
        }
    }

    /// Learns the settings of the subscription that matter here. They are not worth a permission that a subscriber does
    /// not need otherwise: without it the stream says the most important ones itself.
    func lookUp() async throws(PubSubError) {
        do throws(PubSubError) {
            let found = try await client.subscription(configuration.subscription)
            state.withLock { state in
                state.isLookedUp = true
                state.ledger.isExactlyOnce = found.enableExactlyOnceDelivery
                state.ledger.isOrdered = found.enableMessageOrdering
                calls.setExactlyOnce(found.enableExactlyOnceDelivery)
                state.hasDeadLetterPolicy = found.hasDeadLetterPolicy
                state.ledger.backoff = found.hasRetryPolicy ? BrokerBackoff(found.retryPolicy) : nil
            }
        } catch {
            guard error.kind == .permissionDenied else { throw error }
            state.withLock { $0.isLookedUp = true }
        }
    }
}

extension BatchPlan.Limits {
    /// A call takes 1000 messages of 10 MB together ("Quotas and limits"); the rest is room for framing.
    static let publishing = BatchPlan.Limits(items: 1000, bytes: 8 << 20, calls: 4, linger: .milliseconds(5))
    /// A call takes 512 KiB of acknowledgement ids ("Quotas and limits").
    static let acknowledgements = BatchPlan.Limits(items: 1000, bytes: 400_000, calls: 4, linger: .milliseconds(5))
}

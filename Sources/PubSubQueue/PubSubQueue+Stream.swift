import Basics
import Delivery
import Foundation
import MessageQueues
import SwiftProtobuf
import Synchronization

/// The stream of messages, and what becomes of those that cannot be read.
extension PubSubQueue {
    /// Pull streams end every half hour or so; only if they go on failing is it worth a line in the log.
    private static let quietFailures = 2

    /// Keeps a stream open until nothing is to be taken any more.
    func readStream() async {
        let clock = configuration.clock
        var pause = ReopeningPause()
        var failures = 0
        while isReading {
            let received = state.withLock { $0.metrics.received }
            let started = clock.steady()
            do throws(PubSubError) {
                if !state.withLock({ $0.isLookedUp }) { try await lookUp() }
                let end = ChangeSignal()
                let isWanted = state.withLock { state in
                    state.arrivals.reset()
                    guard state.phase == .running else { return false }
                    state.streamEnd = end
                    return true
                }
                guard isWanted else { return }
                defer { state.withLock { $0.streamEnd = nil } }
                try await client.pull(opening, until: end) { await self.ingest($0) }
                failures = 0
            } catch {
                guard isReading else { return }
                failures += 1
                if !error.isTransient || failures > Self.quietFailures { configuration.reportsError(error) }
            }
            guard isReading else { return }
            let worked = state.withLock { state in
                state.metrics.streamRestarts += 1
                // Whatever ended the stream may have changed the subscription as well.
                state.isLookedUp = false
                return state.metrics.received > received
            }
            if worked || clock.steady() - started > ReopeningPause.longest {
                pause.reset()
                failures = 0
            }
            try? await clock.sleep(for: pause.take(jitter: Double.random(in: 0..<1)))
        }
    }

    /// Whether a stream that ends is to be followed by another.
    private var isReading: Bool { !Task.isCancelled && state.withLock { $0.phase == .running } }

    var opening: PubSub_StreamingPullRequest {
        .with {
            $0.subscription = configuration.subscription
            $0.clientID = clientID
            $0.streamAckDeadlineSeconds = DeliveryLedger.seconds(configuration.ackDeadline)
            $0.maxOutstandingMessages = Int64(configuration.maximumOutstandingMessages)
            $0.maxOutstandingBytes = Int64(configuration.maximumOutstandingBytes)
        }
    }

    /// Takes in what the stream brought, and returns when more is wanted.
    private func ingest(_ response: PubSub_StreamingPullResponse) async {
        let now = configuration.clock.steady()
        let arrival = state.withLock { $0.arrivals.read(now: now) }
        var fresh: [PubSub_ReceivedMessage] = []
        var finished: [String] = []
        state.withLock { state in
            if response.hasSubscriptionProperties {
                state.ledger.isExactlyOnce = response.subscriptionProperties.exactlyOnceDeliveryEnabled
                calls.setExactlyOnce(state.ledger.isExactlyOnce)
                state.ledger.isOrdered = response.subscriptionProperties.messageOrderingEnabled
            }
            for received in response.receivedMessages {
                state.metrics.received += 1
                switch state.ledger.admit(ackID: received.ackID, messageID: received.message.messageID, now: now) {
                case .fresh:
                    if received.deliveryAttempt > 1 { state.metrics.redelivered += 1 }
                    fresh.append(received)
                case .inHand: state.metrics.redelivered += 1
                case .finished:
                    state.metrics.redelivered += 1
                    finished.append(received.ackID)
                }
            }
        }
        if now - arrival > configuration.ackDeadline * 0.25 {
            // These may have run out unread. With exactly-once delivery the broker says so; the others come into stock
            // with a full deadline.
            let lost = await lostAmong(fresh.map(\.ackID))
            fresh.removeAll { lost.contains($0.ackID) }
        }
        take(fresh, now: now)
        acknowledgeAgain(finished)
        await pace(hasWaited: arrival == now)
        let end = configuration.clock.steady()
        state.withLock { $0.arrivals.resumed(now: end) }
    }

    private func take(_ fresh: [PubSub_ReceivedMessage], now: Instant) {
        guard !fresh.isEmpty else { return }
        let defaults = MessageDefaults(
            now: .zero, completionWindow: configuration.completionWindow, path: configuration.path)
        let decoded = fresh.map { received in
            Result { () throws(MessageFormatError) in
                try ReceivedMessage(
                    data: Array(received.message.data), attributes: received.message.attributes,
                    messageID: received.message.messageID, orderingKey: received.message.orderingKey,
                    published: Instant(received.message.publishTime), deliveryAttempt: Int(received.deliveryAttempt),
                    defaults: defaults, labels: configuration.labels)
            }
        }
        var unreadable: [(Lease, PubSub_ReceivedMessage, MessageFormatError)] = []
        state.withLock { state in
            for (received, outcome) in zip(fresh, decoded) {
                let messageID = received.message.messageID
                // One response may bring a message twice.
                guard state.ledger.admit(ackID: received.ackID, messageID: messageID, now: now) == .fresh else {
                    continue
                }
                switch outcome {
                case .success(let message): state.ledger.insert(message, ackID: received.ackID, now: now)
                case .failure(let error):
                    state.metrics.unreadable += 1
                    let lease = state.ledger.insertUnreadable(messageID: messageID, ackID: received.ackID, now: now)
                    unreadable.append((lease, received, error))
                }
            }
        }
        readiness.notify()
        for (lease, received, error) in unreadable {
            Task { await discard(lease, received.message, reason: error.description) }
        }
    }

    /// Acknowledges deliveries of messages whose results are published; if that fails they come again.
    private func acknowledgeAgain(_ ackIDs: [String]) {
        for id in ackIDs {
            Task {
                guard try await acknowledger.submit(id, bytes: id.utf8.count + 4) == .confirmed else { return }
                state.withLock { $0.metrics.acked += 1 }
            }
        }
    }

    /// Waits while there is enough in stock.
    private func pace(hasWaited: Bool) async {
        let clock = configuration.clock
        while true {
            let version = credit.version
            let pause = state.withLock { state in
                state.pace.pause(supply(state), hasWaited: hasWaited, now: clock.steady())
            }
            guard let pause, !Task.isCancelled else { return }
            let end = clock.steady() + pause
            var seen = version
            while !Task.isCancelled, clock.steady() < end, state.withLock({ supply($0) > .wanting }) {
                await credit.wait(past: seen, atMost: end - clock.steady())
                seen = credit.version
            }
            state.withLock { state in state.pace.resumed(supply(state), now: clock.steady()) }
        }
    }

    private func supply(_ state: borrowing State) -> ReadingPace.Supply {
        guard state.phase == .running else { return .wanting }
        return state.ledger.supply(
            maximumOutstanding: configuration.maximumOutstandingMessages,
            maximumBytes: configuration.maximumOutstandingBytes, lowWater: configuration.lowWater)
    }

    // MARK: What cannot be read

    /// Moves a message to the dead-letter topic: publishes it, waits for the confirmation, acknowledges it.
    private func discard(_ lease: Lease, _ message: PubSub_PubsubMessage, reason: String) async {
        guard configuration.deadLetterTopic != nil else {
            configuration.reportsError(
                PubSubError(
                    .invalid, place: configuration.subscription,
                    detail: "message \(message.messageID) cannot be read (\(reason)), and there is no dead-letter topic"
                ))
            // With a dead-letter policy the broker takes it after some attempts; without one it would come back at
            // once, for ever.
            let handBack = state.withLock { state in
                DeliveryLedger.HandBack(
                    ackIDs: state.ledger.forget(lease, isOver: true), seconds: state.hasDeadLetterPolicy ? 0 : 600)
            }
            return await self.handBack(handBack)
        }
        var pause = TimeSpan.milliseconds(200)
        while true {
            do throws(PubSubError) {
                try await publishDeadLetter(
                    Array(message.data), attributes: message.attributes, messageID: message.messageID, reason: reason)
                break
            } catch {
                configuration.reportsError(error)
            }
            let version = settlements.version
            guard state.withLock({ $0.phase < .closed }) else { return }
            await settlements.wait(past: version, atMost: pause)
            pause = min(pause * 2, .seconds(60))
        }
        state.withLock { $0.ledger.published(lease) }
        _ = await acknowledge(lease)
    }

    /// Publishes a message as it came, so far as it fits, with attributes that say why and where from. Does nothing without a dead-letter
    /// topic.
    func publishDeadLetter(
        _ data: [UInt8], attributes: [String: String], messageID: String, reason: String
    ) async throws(PubSubError) {
        guard let topic = configuration.deadLetterTopic else { return }
        let letter = DeadLetter(
            data: data, attributes: attributes, messageID: messageID, subscription: configuration.subscription,
            reason: reason)
        try await publisher.publish(data: letter.data, attributes: letter.attributes, to: topic)
        state.withLock { $0.metrics.deadLettered += 1 }
    }
}

extension Instant {
    /// Of Pub/Sub's own time stamps; one that is missing or cannot be is the epoch.
    init(_ time: Google_Protobuf_Timestamp) {
        let seconds = min(max(0, time.seconds), Instant.distantFuture.nanoseconds / 1_000_000_000 - 1)
        self.init(nanoseconds: seconds * 1_000_000_000 + Int64(min(max(0, time.nanos), 999_999_999)))
    }
}

extension TimeSpan {
    init(_ duration: Google_Protobuf_Duration) {
        self = .seconds(Double(duration.seconds) + Double(duration.nanos) / 1e9)
    }
}

extension BrokerBackoff {
    /// Pauses that are left out are 10 and 600 s ("RetryPolicy").
    init(_ policy: PubSub_RetryPolicy) {
        self.init(
            minimum: policy.hasMinimumBackoff ? TimeSpan(policy.minimumBackoff) : .seconds(10),
            maximum: policy.hasMaximumBackoff ? TimeSpan(policy.maximumBackoff) : .seconds(600))
    }
}

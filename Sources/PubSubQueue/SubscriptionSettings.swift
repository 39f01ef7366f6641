public import Basics
import SwiftProtobuf

/// How a subscription is to be.
public struct SubscriptionSettings: Hashable, Sendable {
    /// Its whole name.
    public var name: String
    /// The whole name of the topic that it belongs to.
    public var topic: String
    /// How long the broker waits for an acknowledgement where a consumer does not say, 10 to 600 s.
    public var ackDeadline = TimeSpan.seconds(60)
    /// Whether acknowledged messages never come again, and acknowledgements that came too late are told.
    public var isExactlyOnce = false
    /// Whether messages with an ordering key come in order; cannot be changed later.
    public var isOrdered = false
    /// Only messages whose attributes match come; cannot be changed later. Empty: all.
    public var filter = ""
    /// How long what is not acknowledged is kept.
    public var retention = TimeSpan.seconds(7 * 86_400)
    /// The shortest and the longest pause before a message comes again; nil: at once.
    public var retryPauses: ClosedRange<TimeSpan>?
    /// The whole name of the topic for messages that came too often; nil: none.
    public var deadLetterTopic: String?
    /// How often a message comes before that, 5 to 100.
    public var maximumDeliveryAttempts = 100

    /// The defaults for a subscription that never expires.
    public init(name: String, topic: String) {
        self.name = name
        self.topic = topic
    }

    var wire: PubSub_Subscription {
        .with {
            $0.name = name
            $0.topic = topic
            $0.ackDeadlineSeconds = DeliveryLedger.seconds(ackDeadline)
            $0.enableExactlyOnceDelivery = isExactlyOnce
            $0.enableMessageOrdering = isOrdered
            $0.filter = filter
            $0.messageRetentionDuration.seconds = Int64(retention.seconds)
            // Present and without a time to live: never.
            $0.expirationPolicy = PubSub_ExpirationPolicy()
            if let retryPauses {
                $0.retryPolicy.minimumBackoff.seconds = Int64(retryPauses.lowerBound.seconds)
                $0.retryPolicy.maximumBackoff.seconds = Int64(retryPauses.upperBound.seconds)
            }
            if let deadLetterTopic {
                $0.deadLetterPolicy.deadLetterTopic = deadLetterTopic
                $0.deadLetterPolicy.maxDeliveryAttempts = Int32(maximumDeliveryAttempts)
            }
        }
    }

    /// Where an existing subscription is otherwise.
    func differences(from found: PubSub_Subscription) -> [SubscriptionDifference] {
        let wanted = wire
        var differences: [SubscriptionDifference] = []
        func compare(_ field: String, _ found: String, _ wanted: String, canChange: Bool = true) {
            guard found != wanted else { return }
            differences.append(
                SubscriptionDifference(field: field, found: found, wanted: wanted, canBeChanged: canChange))
        }
        compare("topic", found.topic, wanted.topic, canChange: false)
        compare("filter", found.filter, wanted.filter, canChange: false)
        compare(
            "enable_message_ordering", "\(found.enableMessageOrdering)", "\(wanted.enableMessageOrdering)",
            canChange: false)
        compare("ack_deadline_seconds", "\(found.ackDeadlineSeconds)", "\(wanted.ackDeadlineSeconds)")
        compare(
            "enable_exactly_once_delivery", "\(found.enableExactlyOnceDelivery)",
            "\(wanted.enableExactlyOnceDelivery)")
        compare(
            "message_retention_duration", "\(found.messageRetentionDuration.seconds)s",
            "\(wanted.messageRetentionDuration.seconds)s")
        compare("expiration_policy", Self.expiration(of: found), Self.expiration(of: wanted))
        compare("retry_policy", Self.retryPolicy(of: found), Self.retryPolicy(of: wanted))
        compare("dead_letter_policy", Self.deadLetterPolicy(of: found), Self.deadLetterPolicy(of: wanted))
        return differences
    }

    private static func expiration(of subscription: PubSub_Subscription) -> String {
        // Left out it is 31 days ("ExpirationPolicy").
        guard subscription.hasExpirationPolicy else { return "after 31 days" }
        guard subscription.expirationPolicy.hasTtl, subscription.expirationPolicy.ttl.seconds > 0 else {
            return "never"
        }
        return "after \(subscription.expirationPolicy.ttl.seconds)s"
    }

    private static func retryPolicy(of subscription: PubSub_Subscription) -> String {
        guard subscription.hasRetryPolicy else { return "at once" }
        let backoff = BrokerBackoff(subscription.retryPolicy)
        return "\(Int(backoff.minimum.seconds))s to \(Int(backoff.maximum.seconds))s"
    }

    private static func deadLetterPolicy(of subscription: PubSub_Subscription) -> String {
        let policy = subscription.deadLetterPolicy
        guard subscription.hasDeadLetterPolicy, !policy.deadLetterTopic.isEmpty else { return "none" }
        return "to \(policy.deadLetterTopic) after \(policy.maxDeliveryAttempts) deliveries"
    }
}

/// One setting of an existing subscription that is not as wanted.
public struct SubscriptionDifference: Hashable, Sendable, CustomStringConvertible {
    /// Its name in Pub/Sub's interface.
    public let field: String
    /// As it is.
    public let found: String
    /// As it should be.
    public let wanted: String
    /// Whether Pub/Sub lets it be changed; otherwise the subscription has to be made anew.
    public let canBeChanged: Bool

    /// For people.
    public var description: String {
        "\(field) is \(found.isEmpty ? "empty" : found), not \(wanted.isEmpty ? "empty" : wanted)"
    }
}

import Basics

/// The topics and subscriptions that a queue needs, and how they are best set.
public struct PubSubSetup: Hashable, Sendable {
    /// One thing to create.
    public enum Step: Hashable, Sendable {
        /// A topic, by its whole name.
        case topic(String)
        /// A subscription; its topics come before it.
        case subscription(SubscriptionSettings)

        /// The whole name.
        public var name: String {
            switch self {
            case .topic(let name): name
            case .subscription(let settings): settings.name
            }
        }
    }

    /// What became of one step.
    public struct Outcome: Hashable, Sendable, CustomStringConvertible {
        /// What became of it.
        public enum Kind: Hashable, Sendable {
            /// It was not there.
            case created
            /// It was there as wanted.
            case unchanged
            /// It was there otherwise, and has been changed.
            case updated([SubscriptionDifference])
            /// It is there otherwise, and was left as it is.
            case different([SubscriptionDifference])
        }

        /// The topic or subscription.
        public let name: String
        /// What became of it.
        public let kind: Kind

        /// One line for people.
        public var description: String {
            switch kind {
            case .created: "created   \(name)"
            case .unchanged: "exists    \(name)"
            case .updated(let differences): "updated   \(name): \(Self.list(differences))"
            case .different(let differences): "different \(name): \(Self.list(differences))"
            }
        }

        /// Whether it is there otherwise, and Pub/Sub does not let that be changed.
        public var cannotBeChanged: Bool { !fixedFields.isEmpty }

        /// What to do about a difference; nil if there is none.
        public var advice: String? {
            guard case .different = kind else { return nil }
            guard cannotBeChanged else { return "--update changes \(name)" }
            return "Pub/Sub does not change \(fixedFields.joined(separator: " and ")) of a subscription: use another "
                + "--name, or delete \(name), with the messages that wait in it, and run this again"
        }

        private var fixedFields: [String] {
            guard case .different(let differences) = kind else { return [] }
            return differences.filter { !$0.canBeChanged }.map(\.field)
        }

        private static func list(_ differences: [SubscriptionDifference]) -> String {
            differences.map(\.description).joined(separator: "; ")
        }
    }

    /// The most deliveries that Pub/Sub allows before it moves a message to the dead-letter topic. A restart counts as
    /// well, and what cannot be read is moved at once by the queue itself; so this is a net for what kills its
    /// consumers, not a limit on patience.
    public static let deliveryAttempts = 100

    /// What is created, in order.
    public var steps: [Step]

    /// Plans a set of topics and subscriptions named after one word: NAME-requests and NAME-results, each with a
    /// subscription of the same name, and NAME-dead-letters likewise, which keeps what nobody could run.
    ///
    /// The request subscription has exactly-once delivery, a minute's ack deadline (it is extended for as long as a
    /// message runs, and a consumer that dies gives its messages up after that), pauses of 10 to 600 s before a message
    /// comes again, and never expires. Results and dead letters are kept for 7 days.
    public init(project: String, name: String, isOrdered: Bool = false) throws(PubSubError) {
        func topic(_ kind: String) throws(PubSubError) -> String {
            try ResourceName.topic("\(name)-\(kind)", project: project)
        }
        func subscription(_ kind: String) throws(PubSubError) -> String {
            try ResourceName.subscription("\(name)-\(kind)", project: project)
        }
        try self.init(
            requestTopic: topic("requests"), requestSubscription: subscription("requests"),
            resultTopic: topic("results"), resultSubscription: subscription("results"),
            deadLetterTopic: topic("dead-letters"), deadLetterSubscription: subscription("dead-letters"),
            isOrdered: isOrdered)
    }

    /// Plans topics and subscriptions of these whole names.
    public init(
        requestTopic: String, requestSubscription: String, resultTopic: String, resultSubscription: String,
        deadLetterTopic: String, deadLetterSubscription: String, isOrdered: Bool = false
    ) {
        var requests = SubscriptionSettings(name: requestSubscription, topic: requestTopic)
        requests.isExactlyOnce = true
        requests.isOrdered = isOrdered
        requests.retryPauses = .seconds(10)...(.seconds(600))
        requests.deadLetterTopic = deadLetterTopic
        requests.maximumDeliveryAttempts = Self.deliveryAttempts
        steps = [
            .topic(requestTopic), .topic(resultTopic), .topic(deadLetterTopic),
            .subscription(SubscriptionSettings(name: deadLetterSubscription, topic: deadLetterTopic)),
            .subscription(requests),
            .subscription(SubscriptionSettings(name: resultSubscription, topic: resultTopic)),
        ]
    }

    /// Creates what is missing, one after the other, and tells what became of each; can be called any number of times.
    ///
    /// - Parameter updatesExisting: whether settings that are not as wanted are changed where Pub/Sub allows it.
    public func apply(
        _ connection: PubSubConnectionSettings, updatesExisting: Bool = false
    ) async throws(PubSubError) -> [Outcome] {
        let client = try PubSubClient(connection)
        var outcomes: [Outcome] = []
        do throws(PubSubError) {
            for step in steps {
                switch step {
                case .topic(let name): outcomes.append(try await Self.create(topic: name, client))
                case .subscription(let settings):
                    outcomes.append(try await Self.create(settings, updatesExisting: updatesExisting, client))
                }
            }
        } catch {
            await client.close(within: .seconds(1))
            throw error
        }
        await client.close(within: .seconds(1))
        return outcomes
    }

    private static func create(topic name: String, _ client: PubSubClient) async throws(PubSubError) -> Outcome {
        do throws(PubSubError) {
            var topic = PubSub_Topic()
            topic.name = name
            _ = try await client.createTopic(topic)
            return Outcome(name: name, kind: .created)
        } catch {
            guard error.kind == .alreadyExists else { throw error }
            return Outcome(name: name, kind: .unchanged)
        }
    }

    private static func create(
        _ settings: SubscriptionSettings, updatesExisting: Bool, _ client: PubSubClient
    ) async throws(PubSubError) -> Outcome {
        do throws(PubSubError) {
            _ = try await client.createSubscription(settings.wire)
            return Outcome(name: settings.name, kind: .created)
        } catch {
            guard error.kind == .alreadyExists else { throw error }
        }
        let differences = settings.differences(from: try await client.subscription(settings.name))
        if differences.isEmpty { return Outcome(name: settings.name, kind: .unchanged) }
        guard updatesExisting, differences.allSatisfy(\.canBeChanged) else {
            return Outcome(name: settings.name, kind: .different(differences))
        }
        _ = try await client.updateSubscription(settings.wire, fields: differences.map(\.field))
        return Outcome(name: settings.name, kind: .updated(differences))
    }
}

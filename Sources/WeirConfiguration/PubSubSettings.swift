public import Basics

extension Configuration.MessageQueue {
    /// A queue in Google Cloud Pub/Sub.
    public struct PubSub: Hashable, Sendable {
        /// The project of the names below.
        public var project = ""
        /// The subscription that requests are pulled from.
        public var subscription = ""
        /// The topic that results are published to, unless a message names its own.
        public var resultTopic = ""
        /// Other topics for results, by what a message has as its `result_route`.
        public var resultRoutes: [String: String] = [:]
        /// The topic that requests are published to by those who submit through Weir; nil where nobody does.
        public var requestTopic: String?
        /// The topic for messages that were given up or cannot be read; nil leaves them to the subscription's policy.
        public var deadLetterTopic: String?
        /// A service account's key or a user's credentials; nil looks where Google's own tools do.
        public var credentialsFile: String?
        /// Another server than Google's, such as the emulator; nil takes `PUBSUB_EMULATOR_HOST`, or Google's.
        public var endpoint: ServiceURL?
        /// Most messages pulled and not yet acknowledged.
        public var maxOutstanding = 1000
        /// Most bytes of such messages.
        public var maxOutstandingBytes = 256 << 20
        /// How long a message stays ours without a sign of life; it is extended for as long as its request runs.
        public var ackDeadline = TimeSpan.seconds(60)
        /// The time in which a message without a deadline has to be done, from when it was published.
        public var completionWindow = TimeSpan.seconds(86_400)
        /// How often Cloud Monitoring is asked what waits in the subscription; zero never asks.
        public var backlogInterval = TimeSpan.seconds(60)

        /// Creates a queue without names.
        public init() {}
    }
}

extension Configuration.MessageQueue.PubSub: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("project", \.project, .text, required: true, "The Google Cloud project."),
            .scalar(
                "subscription", \.subscription, .text, required: true, "The subscription that requests are pulled from."
            ),
            .scalar(
                "resultTopic", \.resultTopic, .text, required: true,
                "The topic that results are published to unless a message names its own."),
            .map(
                "resultRoutes", \.resultRoutes, keys: .text, values: .text,
                "Other topics for results, by the value of `result_route` in a message's attributes. Routes that are not "
                    + "named here go to `resultTopic`."),
            .optional(
                "requestTopic", \.requestTopic, .text,
                "The topic that `weir submit` publishes to; not needed to take requests."),
            .optional(
                "deadLetterTopic", \.deadLetterTopic, .text,
                "The topic for messages that were given up or cannot be read, with the reason. Left out: they go back, and "
                    + "the subscription's own dead-letter policy applies."),
            .optional(
                "credentialsFile", \.credentialsFile, .text,
                "Key of a service account, or `authorized_user` credentials. Left out: `GOOGLE_APPLICATION_CREDENTIALS`, "
                    + "then the user's own credentials, then the metadata server."),
            .optional(
                "endpoint", \.endpoint, .serverURL,
                "Another server than Google's: `http://` for one without TLS, such as the emulator. Left out: "
                    + "`PUBSUB_EMULATOR_HOST`, or Google's."),
            .scalar(
                "maxOutstanding", \.maxOutstanding, .positiveCount, "Most messages pulled and not yet acknowledged."),
            .scalar("maxOutstandingBytes", \.maxOutstandingBytes, .size, "Most bytes of such messages."),
            .scalar(
                "ackDeadline", \.ackDeadline,
                .duration.requiring("from 10s to 10m") { (.seconds(10)...TimeSpan.seconds(600)).contains($0) },
                "How long a message stays with a process that shows no sign of life; extended for as long as it works."),
            .scalar(
                "completionWindow", \.completionWindow, .positiveDuration,
                "The time in which a message that names no deadline has to be done, counted from its publication."),
            .scalar(
                "backlogInterval", \.backlogInterval,
                .duration.requiring("0s or at least 10s") { $0 == .zero || $0 >= .seconds(10) },
                "How often Cloud Monitoring is asked what waits in the subscription (needs `roles/monitoring.viewer`); `0s` "
                    + "never asks. An emulator's is never asked for."),
        ]
    }
}

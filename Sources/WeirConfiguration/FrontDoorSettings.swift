public import Basics

extension Configuration {
    /// How clients hand in asynchronous requests over HTTP and ask for them later.
    public struct FrontDoor: Hashable, Sendable {
        /// Whether requests are accepted into a queue over HTTP at all.
        public var enabled = true
        /// The queue, by name, that takes them; nil takes the first embedded one.
        public var queue: String?
        /// The time in which a request without a deadline has to be done.
        public var completionWindow = TimeSpan.seconds(86_400)
        /// Longest time that a connection is held for a result.
        public var longestWait = TimeSpan.seconds(600)
        /// Most connections held for results at a time.
        public var maxWaiting = 10_000

        /// Creates the defaults.
        public init() {}
    }
}

extension Configuration.FrontDoor: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "enabled", \.enabled, .boolean, "Whether requests are accepted into a queue over HTTP at all."),
            .optional(
                "queue", \.queue, .text,
                "The queue, by name, that takes them; an embedded one. Left out: the first of these."),
            .scalar(
                "completionWindow", \.completionWindow, .positiveDuration,
                "The time in which a request that names no deadline has to be done."),
            .scalar(
                "longestWait", \.longestWait, .positiveDuration,
                "Longest time that a connection is held for a result; after it the client gets the id to ask again."),
            .scalar(
                "maxWaiting", \.maxWaiting, .positiveCount,
                "Most connections held for results at a time; more are refused with 429."),
        ]
    }
}

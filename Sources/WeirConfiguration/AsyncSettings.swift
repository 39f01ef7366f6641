public import Basics

extension Configuration {
    /// The asynchronous path.
    public struct Async: Hashable, Sendable {
        /// The queues that the processor takes work from.
        public var queues: [MessageQueue] = []
        /// When a message that was not answered is tried again.
        public var retry = Retry()

        /// Creates a path without queues.
        public init() {}
    }

    /// A queue of asynchronous requests and its results.
    public struct MessageQueue: Hashable, Sendable {
        /// The queue's name.
        public var name = ""
        /// The queue is a file of this process; nil for none.
        public var embedded: Embedded?
        /// The objective, by name, that its requests run at; it must be sheddable.
        public var objective = "batch"
        /// How long a taken message stays ours without a sign of life; one is given every third of it.
        public var lease = TimeSpan.seconds(15)
        /// Most messages taken and not yet finished.
        public var maxHeld = 1000

        /// Creates a queue without a name or a store.
        public init() {}

        /// The embedded durable queue.
        public struct Embedded: Hashable, Sendable {
            /// The database file; it is made if it is missing.
            public var path = ""

            /// Creates a store without a file.
            public init() {}
        }
    }

    /// When a message that was not answered is tried again.
    public struct Retry: Hashable, Sendable {
        /// The first pause is one to two times this; it doubles with each setback.
        public var base = TimeSpan.seconds(2)
        /// Longest pause.
        public var cap = TimeSpan.seconds(60)
        /// Longest pause after the gateway refused to carry a request.
        public var rejectionPause = TimeSpan.seconds(1)
        /// A message ends after this many failures of attempts that had started.
        public var maxFailures = 20

        /// Creates the defaults.
        public init() {}
    }
}

extension Configuration.Async: Section {
    static var fields: [Field<Self>] {
        [
            .sections("queues", \.queues, required: true, "The queues that work is taken from, at least one."),
            .section("retry", \.retry, "When a message that was not answered is tried again."),
        ]
    }
}

extension Configuration.MessageQueue: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("name", \.name, .text, required: true, "The queue's name in metrics and logs; unique."),
            .optionalSection("embedded", \.embedded, "The queue is a file of this process."),
            .scalar(
                "objective", \.objective, .text, "The objective that its requests run at; its priority must be below 0."
            ),
            .scalar(
                "lease", \.lease, .positiveDuration,
                "How long a taken message stays with a taker that shows no sign of life; then another may take it."),
            .scalar("maxHeld", \.maxHeld, .positiveCount, "Most messages taken from the queue and not yet finished."),
        ]
    }
}

extension Configuration.MessageQueue.Embedded: Section {
    static var fields: [Field<Self>] {
        [.scalar("path", \.path, .text, required: true, "The database file; it is made if it is missing.")]
    }
}

extension Configuration.Retry: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "base", \.base, .positiveDuration,
                "The first pause is one to two times this; it doubles with each further setback, with jitter."),
            .scalar("cap", \.cap, .positiveDuration, "Longest pause."),
            .scalar(
                "rejectionPause", \.rejectionPause, .positiveDuration,
                "Longest pause after the gateway refused to carry a request; it does not grow."),
            .scalar(
                "maxFailures", \.maxFailures, .positiveCount,
                "A message ends after this many failed attempts: a prompt that kills its server must not kill them all."
            ),
        ]
    }
}

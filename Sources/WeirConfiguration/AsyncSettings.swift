public import Basics

extension Configuration {
    /// The asynchronous path.
    public struct Async: Hashable, Sendable {
        /// The queues that the processor takes work from.
        public var queues: [MessageQueue] = []
        /// When a message that was not answered is tried again.
        public var retry = Retry()
        /// How clients hand in requests over HTTP.
        public var frontDoor = FrontDoor()
        /// Results that are posted to those who asked for it.
        public var webhooks = Webhooks()

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
        /// Most requests of this queue with endpoints at a time; nil leaves it to the pools.
        public var maxInFlight: Int?

        /// Creates a queue without a name or a store.
        public init() {}

        /// The embedded durable queue.
        public struct Embedded: Hashable, Sendable {
            /// The database file; it is made if it is missing.
            public var path = ""
            /// How long results are kept.
            public var keepResults = TimeSpan.seconds(7 * 86_400)
            /// How long messages that were given up are kept, with their requests.
            public var keepDeadLetters = TimeSpan.seconds(30 * 86_400)
            /// Results may use up to this, in bytes; beyond it the oldest go first. Nil sets no such limit.
            public var maxResultBytes: Int?
            /// The file may use up to this, in bytes; then no new requests are accepted.
            public var maxFileBytes = 64 << 30

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
        /// A message is given up, and kept as a dead letter, after this many failures of attempts that had started.
        public var maxFailures = 20
        /// Longest single attempt; one that takes longer is ended and tried again.
        public var attemptTimeout = TimeSpan.seconds(600)
        /// After this many failures in a row nothing is sent to a model for a while.
        public var breakerFailures = 5
        /// Longest such pause.
        public var breakerCap = TimeSpan.seconds(30)

        /// Creates the defaults.
        public init() {}
    }
}

extension Configuration.Async: Section {
    static var fields: [Field<Self>] {
        [
            .sections("queues", \.queues, required: true, "The queues that work is taken from, at least one."),
            .section("retry", \.retry, "When a message that was not answered is tried again."),
            .section(
                "frontDoor", \.frontDoor, "How clients hand in asynchronous requests over HTTP and ask for them later."),
            .section("webhooks", \.webhooks, "Results that are posted to those who asked for it."),
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
            .optional(
                "maxInFlight", \.maxInFlight, .positiveCount,
                "Most requests of this queue with endpoints at a time. Left out: what the pools have room for."),
        ]
    }
}

extension Configuration.MessageQueue.Embedded: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("path", \.path, .text, required: true, "The database file; it is made if it is missing."),
            .scalar("keepResults", \.keepResults, .positiveDuration, "How long results are kept."),
            .scalar(
                "keepDeadLetters", \.keepDeadLetters, .positiveDuration,
                "How long messages that were given up are kept, to be looked at and run again."),
            .optional(
                "maxResultBytes", \.maxResultBytes, .size,
                "Results may use up to this; beyond it the oldest are removed before their time. Left out: no such limit."
            ),
            .scalar(
                "maxFileBytes", \.maxFileBytes, .size,
                "The file may use up to this; then new requests are refused, and those accepted go on."),
        ]
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
                "After this many failed attempts a message goes to the dead letters: a prompt that kills its server must "
                    + "not kill them all."),
            .scalar(
                "attemptTimeout", \.attemptTimeout, .positiveDuration,
                "Longest single attempt; one that takes longer is ended, counts as failed and is tried again."),
            .scalar(
                "breakerFailures", \.breakerFailures, .positiveCount,
                "After so many failures in a row nothing is sent to a model until a single request has got through."),
            .scalar(
                "breakerCap", \.breakerCap, .positiveDuration,
                "Longest pause between the single requests that find out whether a model answers again."),
        ]
    }
}

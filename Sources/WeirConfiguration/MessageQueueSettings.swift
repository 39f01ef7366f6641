public import Basics

extension Configuration {
    /// A queue of asynchronous requests and its results.
    public struct MessageQueue: Hashable, Sendable {
        /// The queue's name.
        public var name = ""
        /// The queue is a file of this process; nil for none.
        public var embedded: Embedded?
        /// The queue is in a Redis or Valkey server; nil for none.
        public var redis: Redis?
        /// The queue is a subscription of Google Cloud Pub/Sub; nil for none.
        public var pubsub: PubSub?
        /// The objective, by name, that its requests run at; in the gateway of this process it must be sheddable.
        public var objective = "batch"
        /// The gateway that its requests are sent to; nil takes the one for all queues, and without one this process's.
        public var target: Target?
        /// Where requests go that name no path; nil takes the target's.
        public var path: String?
        /// Labels that its requests get, over those they bring.
        public var labels: [String: String] = [:]
        /// The pool of workers, by name, that its requests share with those of other queues.
        public var workerPool = WorkerPool.standardName
        /// What lets its requests through; nil lets all.
        public var gate: Gate?
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
}

extension Configuration.MessageQueue {
    /// The queue's name inside its broker: the key or channel of its requests, or the subscription; its own name where there
    /// is no other.
    public var brokerName: String { redisKeys?.requests ?? pubsub?.subscription ?? name }
}

extension Configuration.MessageQueue: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("name", \.name, .text, required: true, "The queue's name in metrics and logs; unique."),
            .optionalSection("embedded", \.embedded, "The queue is a file of this process."),
            .optionalSection("redis", \.redis, "The queue is in a Redis or Valkey server."),
            .optionalSection("pubsub", \.pubsub, "The queue is a subscription of Google Cloud Pub/Sub."),
            .scalar(
                "objective", \.objective, .text,
                "The objective that its requests run at. In the gateway of this process its priority must be below 0; a `target` is "
                    + "told its name, unless that says otherwise."),
            .optionalSection(
                "target", \.target,
                "The HTTP gateway that its requests go to. Replaces the whole of `async.target`; without either, the "
                    + "gateway of this process takes them."),
            .optional(
                "path", \.path, .urlPath,
                "Where requests go that name no path of their own. Left out: what the target says, or `/v1/completions`."
            ),
            .map(
                "labels", \.labels, keys: .text, values: .text,
                "Labels that its requests get, over those they bring; gates and merge policies read them."),
            .scalar(
                "workerPool", \.workerPool, .text,
                "The pool of workers that its requests share with those of other queues."),
            .optionalSection("gate", \.gate, "What lets its requests through. Left out: all may go."),
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

public import Basics

extension Configuration.MessageQueue {
    /// A queue in a Redis or Valkey server.
    public struct Redis: Hashable, Sendable {
        /// The server; never nil in a configuration that was read from a file.
        public var url: RedisURL?
        /// How messages are kept there.
        public var transport = Transport.sortedSet
        /// The key or channel that requests arrive in; nil takes the queue's name.
        public var queue: String?
        /// The list or channel that results go to, unless a message names its own; nil takes the transport's usual name.
        public var resultQueue: String?
        /// The list or channel that all results go to, whatever a message names; nil leaves that to messages.
        public var resultQueueOverride: String?
        /// The sorted set of requests that wait to be tried again.
        public var retryQueue = "retry-sortedset"
        /// How long a list of results is kept after its latest result; zero keeps it.
        public var resultTTL = TimeSpan.zero
        /// The list of messages that were given up; nil takes the queue's key and `:dead-letter`.
        public var deadLetterQueue: String?
        /// Certificates, for `rediss`.
        public var tls: Configuration.TLS?

        /// Creates a queue without a server.
        public init() {}

        /// How messages are kept in the server.
        public enum Transport: String, Hashable, Sendable, CaseIterable {
            /// In a sorted set, by deadline; they outlive every process.
            case sortedSet = "sorted-set"
            /// In a channel; those that nobody listens to, or that somebody has taken, are lost with the process.
            case channel
        }
    }

    /// The names that a queue has inside its Redis server.
    public struct RedisKeys: Hashable, Sendable {
        /// Requests.
        public let requests: String
        /// Results of messages that name no place for theirs, or all of them where the queue overrides that.
        public let results: String
        /// Requests that wait to be tried again.
        public let retries: String
        /// Messages that were given up.
        public let deadLetters: String
    }

    /// The names that the queue has inside its Redis server, defaults filled in; nil if it is no Redis queue.
    public var redisKeys: RedisKeys? {
        guard let redis else { return nil }
        let requests = redis.queue ?? name
        return RedisKeys(
            requests: requests,
            results: redis.resultQueueOverride ?? redis.resultQueue
                ?? (redis.transport == .channel ? "result-queue" : "result-list"),
            retries: redis.retryQueue, deadLetters: redis.deadLetterQueue ?? "\(requests):dead-letter")
    }
}

extension Configuration.MessageQueue.Redis: Section {
    static var fields: [Field<Self>] {
        [
            .optional(
                "url", \.url, .redisURL,
                "The server, `redis://` or, with TLS, `rediss://`; may hold a user and a password, which are never printed. "
                    + "Left out: the environment variable `REDIS_URL`."),
            .scalar(
                "transport", \.transport, .word,
                "`sorted-set` keeps every message until its result is stored. `channel` is ephemeral: what nobody listens "
                    + "to, or a process holds when it dies, is lost, and every process gets every message."),
            .optional(
                "queue", \.queue, .text, "The key (or channel) that requests arrive in. Left out: the queue's name."),
            .optional(
                "resultQueue", \.resultQueue, .text,
                "The list (or channel) that results go to unless a message names its own. Left out: `result-list`, or "
                    + "`result-queue` for `channel`."),
            .optional(
                "resultQueueOverride", \.resultQueueOverride, .text,
                "The list (or channel) that all results of the queue go to, whatever their messages name. Left out: messages "
                    + "decide, and those that name none take `resultQueue`."),
            .scalar("retryQueue", \.retryQueue, .text, "The sorted set of requests that wait to be tried again."),
            .scalar(
                "resultTTL", \.resultTTL, .duration,
                "How long a list of results is kept after its latest result; 0 keeps it until it is read."),
            .optional(
                "deadLetterQueue", \.deadLetterQueue, .text,
                "The list of messages that were given up or could not be read. Left out: the key of the requests and "
                    + "`:dead-letter`."),
            .optionalSection("tls", \.tls, "Certificates, for a `rediss` URL."),
        ]
    }
}

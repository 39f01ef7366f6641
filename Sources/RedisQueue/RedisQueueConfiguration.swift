public import Basics
public import MessageQueues

extension RedisSortedSetQueue {
    /// One queue and how this process works on it. Names and defaults are llm-d-async's.
    public struct Configuration: Sendable {
        /// The sorted set in which messages wait.
        public var queueName: String
        /// The queue's name in results that are made here, for messages that cannot be run; nil takes `queueName`.
        public var name: String?
        /// The list for this queue's results, whatever messages say; nil leaves it to them.
        public var resultQueueName: String?
        /// The list for results of messages that name none, where the queue has none of its own.
        public var defaultResultQueueName = "result-list"
        /// How long a result list is kept after each result, in whole seconds; nil leaves lists alone.
        public var resultLifetime: TimeSpan?
        /// The sorted set in which messages of all queues wait for their next attempt.
        public var retryQueueName = "retry-sortedset"
        /// The list of what could not be read or was given up; nil takes the queue's name and `:dead-letter`.
        public var deadLetterQueueName: String?
        /// Whether retries that name no queue go to this one.
        public var isDefaultQueue = false
        /// Whether the keys beside the queue's own carry a hash tag, as llm-d-async names them on a Redis Cluster.
        public var usesHashTag = false
        /// The path for messages without `endpoint`.
        public var requestPath = "/v1/completions"
        /// Labels for each message; they count for more than those in the message.
        public var labels: [String: String] = [:]
        /// A payload may be this large when it is submitted here, in bytes.
        public var maximumPayloadBytes = 16 << 20
        /// A waiting message that is larger than this, in bytes, goes to the dead letters unread. Has to be well below what
        /// the client takes as a reply.
        public var maximumMemberBytes = 32 << 20
        /// One call looks at waiting messages, and takes those it wants, until they exceed this together, in bytes: the server
        /// does nothing else in the meantime.
        public var maximumBatchBytes = 4 << 20
        /// Messages of targets that nothing may be taken of now, where the server could not tell their target: so many are held
        /// back under lease.
        public var maximumStock = 512
        /// The same in bytes of payload.
        public var maximumStockBytes = 64 << 20
        /// How often to look where the server does not tell of changes.
        public var poll = TimeSpan.milliseconds(10)
        /// The source of the time. Leases and retry times go by the server's clock, whatever this one says.
        public var clock: any DeliveryClock = SystemClock()
        /// Told of failures of the queue's own housekeeping, for the log: of one that lasts once, and once of its end
        /// (`RedisQueueRecovery`); also if the server cannot be reached in the first place.
        public var reportsError: @Sendable (any Error) -> Void = { _ in }

        /// The defaults for a queue.
        public init(queueName: String = "request-sortedset") { self.queueName = queueName }

        var nameInResults: String { name ?? queueName }

        var keys: QueueKeys {
            QueueKeys(
                queue: queueName, retry: retryQueueName, deadLetters: deadLetterQueueName, usesHashTag: usesHashTag)
        }

        /// What one look at the retry set and the claims moves at most, of each kind.
        static let maximumMoves = 256
    }
}

import AsyncProcessor
import Basics
import Delivery
import EmbeddedQueue
import GoogleAuth
import Logging
import MessageQueues
import PubSubQueue
import Synchronization
import Webhooks
import WeirConfiguration

/// One queue of the configuration: its store, its processor, its poster of results, and what was last seen of its depth.
final class QueueWorker: Sendable {
    private static let depthInterval = Duration.seconds(1)

    let name: String
    /// Where the queue is, for people.
    let place: String
    /// The name of its pool of workers, if it has one.
    let workerPool: String?
    private let queue: any MessageQueue
    /// The queue as what makes results itself.
    private let embedded: EmbeddedQueue?
    private let pubsub: PubSubQueue?
    private let backlog: BacklogMonitor?
    private let processor: AsyncProcessor
    private let poster: WebhookPoster?
    private let lastDepth = Mutex(QueueDepth())
    /// Why the queue cannot be asked at present; nil if it can.
    private let outage = Mutex<String?>(nil)

    /// - Parameters:
    ///   - opened: the queue; an embedded one as the one consumer of its file.
    ///   - dispatcher: carries its requests to where they are answered.
    ///   - observesAttempt: told of the end of every attempt.
    init(
        _ opened: OpenedQueue, retry: Configuration.Retry, dispatcher: any InferenceDispatcher, workerPool: String?,
        grace: TimeSpan, webhooks: WebhookConfiguration, observesAttempt: (@Sendable (AttemptObservation) -> Void)?,
        logger: Logger
    ) {
        let settings = opened.settings
        name = settings.name
        place = opened.place
        self.workerPool = workerPool
        queue = opened.queue
        embedded = opened.embedded
        pubsub = opened.pubsub
        backlog = opened.backlog
        var consumer = ConsumerConfiguration(queue: settings.name)
        consumer.maximumHeld = settings.maxHeld
        consumer.maximumInFlight = settings.maxInFlight
        consumer.leaseDuration = settings.lease
        consumer.grace = grace
        consumer.attemptTimeout = retry.attemptTimeout
        consumer.breakerFailures = retry.breakerFailures
        consumer.breakerCap = retry.breakerCap
        consumer.retries.base = retry.base
        consumer.retries.cap = retry.cap
        consumer.retries.capacityPause = retry.rejectionPause
        consumer.retries.maximumFailures = retry.maxFailures
        var configuration = AsyncProcessor.Configuration(consumer: consumer)
        configuration.seed = UInt64.random(in: 1...UInt64.max)
        configuration.reportsQueueError = { [name] error in
            logger.error("queue failed", metadata: ["queue": "\(name)", "error": "\(error)"])
        }
        configuration.observesAttempt = observesAttempt
        processor = AsyncProcessor(queue: queue, dispatcher: dispatcher, configuration: configuration)
        poster = opened.embedded.map { WebhookPoster(outbox: $0, configuration: webhooks, logger: logger) }
    }

    var status: QueueStatus {
        var counters = processor.counters
        // A message that waits and is taken back is finished by its queue, without the processor.
        if let own = embedded?.ownResults {
            counters.cancelled += own.cancelled
            counters.failed += own.failed
        }
        return QueueStatus(
            name: name, workerPool: workerPool, outage: outage.withLock { $0 }, depth: lastDepth.withLock { $0 },
            counters: counters,
            failingTargets: processor.failingTargets, webhooks: poster?.counters ?? WebhookCounters(),
            backlog: backlog?.backlog)
    }

    /// Works until `stop()`; returns when every message in hand is finished or back in the queue.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watchDepth() }
            if let backlog { group.addTask { await backlog.run() } }
            if let poster { group.addTask { await poster.run() } }
            await processor.run()
            group.cancelAll()
        }
    }

    /// Takes nothing new, lets what runs finish within the grace, and hands the rest back.
    func stop() { processor.stop() }

    private func watchDepth() async {
        while !Task.isCancelled {
            do {
                let depth = try await queue.depth()
                lastDepth.withLock { $0 = depth }
                outage.withLock { $0 = nil }
                processor.observe(depth)
            } catch {
                if !Task.isCancelled { outage.withLock { $0 = "\(error)" } }
            }
            try? await Task.sleep(for: Self.depthInterval)
        }
    }
}

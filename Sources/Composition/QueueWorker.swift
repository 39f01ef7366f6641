import AsyncProcessor
import Basics
import Delivery
import EmbeddedQueue
import Gateway
import Logging
import MessageQueues
import Synchronization
import Webhooks
import WeirConfiguration

/// One queue of the configuration: its store, its processor, its poster of results, and what was last seen of its depth.
final class QueueWorker: Sendable {
    private static let depthInterval = Duration.seconds(1)

    let name: String
    let path: String
    private let queue: EmbeddedQueue
    private let processor: AsyncProcessor
    private let poster: WebhookPoster
    private let lastDepth = Mutex(QueueDepth())

    /// - Parameters:
    ///   - queue: opened as the one consumer of its file.
    ///   - priority: the priority of the queue's objective; below zero.
    init(
        _ settings: Configuration.MessageQueue, queue: EmbeddedQueue, retry: Configuration.Retry, priority: Int,
        gateway: Gateway, grace: TimeSpan, webhooks: WebhookConfiguration, logger: Logger
    ) {
        name = settings.name
        path = settings.embedded?.path ?? ""
        self.queue = queue
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
        processor = AsyncProcessor(
            queue: queue,
            dispatcher: GatewayDispatcher(gateway: gateway, priority: priority, clock: configuration.clock),
            configuration: configuration)
        poster = WebhookPoster(outbox: queue, configuration: webhooks, logger: logger)
    }

    var status: QueueStatus {
        QueueStatus(
            name: name, depth: lastDepth.withLock { $0 }, counters: processor.counters,
            failingTargets: processor.failingTargets, webhooks: poster.counters)
    }

    /// Works until `stop()`; returns when every message in hand is finished or back in the queue.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watchDepth() }
            group.addTask { await self.poster.run() }
            await processor.run()
            group.cancelAll()
        }
    }

    /// Takes nothing new, lets what runs finish within the grace, and hands the rest back.
    func stop() { processor.stop() }

    private func watchDepth() async {
        while !Task.isCancelled {
            if let depth = try? await queue.depth() {
                lastDepth.withLock { $0 = depth }
                processor.observe(depth)
            }
            try? await Task.sleep(for: Self.depthInterval)
        }
    }
}

import AsyncProcessor
import Basics
import Delivery
import EmbeddedQueue
import Gateway
import Logging
import MessageQueues
import Synchronization
import WeirConfiguration

/// One queue of the configuration: its store, its processor, and what was last seen of its depth.
final class QueueWorker: Sendable {
    private static let depthInterval = Duration.seconds(1)

    let name: String
    let path: String
    private let queue: EmbeddedQueue
    private let processor: AsyncProcessor
    private let lastDepth = Mutex(QueueDepth())
    private let logger: Logger

    /// Opens the queue's file as its one consumer.
    init(
        _ settings: Configuration.MessageQueue, retry: Configuration.Retry, priority: Int, gateway: Gateway,
        grace: TimeSpan, logger: Logger
    ) throws(ServiceError) {
        name = settings.name
        path = settings.embedded?.path ?? ""
        self.logger = logger
        do {
            queue = try EmbeddedQueue(.init(path: path), role: .consumer)
        } catch {
            throw ServiceError("queue \(settings.name): \(error)")
        }
        var configuration = AsyncProcessor.Configuration()
        configuration.maximumHeld = settings.maxHeld
        configuration.leaseDuration = settings.lease
        configuration.grace = grace
        configuration.retries.base = retry.base
        configuration.retries.cap = retry.cap
        configuration.retries.rejectionPause = retry.rejectionPause
        configuration.retries.maximumFailures = retry.maxFailures
        configuration.seed = UInt64.random(in: 1...UInt64.max)
        configuration.reportsQueueError = { [name] error in
            logger.error("queue failed", metadata: ["queue": "\(name)", "error": "\(error)"])
        }
        processor = AsyncProcessor(
            queue: queue,
            dispatcher: GatewayDispatcher(gateway: gateway, priority: priority, clock: configuration.clock),
            configuration: configuration)
    }

    var status: QueueStatus {
        QueueStatus(name: name, depth: lastDepth.withLock { $0 }, counters: processor.counters)
    }

    /// Works until `stop()`; returns when every message in hand is finished or back in the queue.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watchDepth() }
            await processor.run()
            group.cancelAll()
        }
        do {
            try queue.close()
        } catch {
            logger.error("queue was not closed cleanly", metadata: ["queue": "\(name)", "error": "\(error)"])
        }
    }

    /// Takes nothing new, lets what runs finish within the grace, and hands the rest back.
    func stop() { processor.stop() }

    private func watchDepth() async {
        while !Task.isCancelled {
            if let depth = try? await queue.depth() { lastDepth.withLock { $0 = depth } }
            try? await Task.sleep(for: Self.depthInterval)
        }
    }
}

import Basics
import EmbeddedQueue
import GoogleAuth
import Logging
import MessageQueues
import PubSubQueue
import RedisClient
import RedisQueue
import WeirConfiguration

/// A queue of the configuration, ready to be taken from.
struct OpenedQueue {
    let settings: Configuration.MessageQueue
    let queue: any MessageQueue
    /// The queue as what only the embedded one is: readable request by request, with webhooks.
    let embedded: EmbeddedQueue?
    /// The queue as a subscription of Pub/Sub.
    let pubsub: PubSubQueue?
    /// Asks what waits at the broker, where the broker itself does not say; nil where nobody is to be asked.
    var backlog: BacklogMonitor?
    /// Where it is, for people: a file, a server and a key, a subscription. Never a password.
    let place: String
    private let closes: @Sendable () async throws -> Void

    /// The queue's name inside its broker.
    var brokerName: String {
        settings.redisKeys?.requests ?? settings.pubsub?.subscription ?? settings.name
    }

    /// Closes it, once nobody takes from it any more.
    func close() async throws { try await closes() }

    /// Opens a queue.
    ///
    /// - Parameters:
    ///   - path: where requests go that name no path.
    ///   - isDefault: whether retries in Redis that name no queue are this queue's.
    ///   - grace: how long closing may take.
    ///   - isTakenFrom: whether messages are to be taken, rather than only handed in.
    static func open(
        _ settings: Configuration.MessageQueue, path: String, isDefault: Bool, grace: TimeSpan,
        isTakenFrom: Bool = true, logger: Logger
    ) async throws(ServiceError) -> OpenedQueue {
        let report: @Sendable (any Error) -> Void = { error in
            let metadata: Logger.Metadata = ["queue": "\(settings.name)", "error": "\(error)"]
            if error is RedisQueueRecovery {
                logger.notice("queue works again", metadata: ["queue": "\(settings.name)"])
            } else {
                logger.error("queue failed", metadata: metadata)
            }
        }
        if let redis = settings.redis {
            return try open(redis, settings, path: path, isDefault: isDefault, report: report)
        }
        if let pubsub = settings.pubsub {
            return try await open(
                pubsub, settings, path: path, grace: grace, isTakenFrom: isTakenFrom, report: report,
                logger: logger)
        }
        do throws(MessageQueueError) {
            var configuration = EmbeddedQueue.Configuration(settings)
            configuration.reportsError = report
            let queue = try EmbeddedQueue(configuration, role: .consumer)
            return OpenedQueue(
                settings: settings, queue: queue, embedded: queue, pubsub: nil, place: configuration.path,
                closes: { try queue.close() })
        } catch {
            throw ServiceError("queue \(settings.name): \(error)")
        }
    }

    private static func open(
        _ redis: Configuration.MessageQueue.Redis, _ settings: Configuration.MessageQueue, path: String,
        isDefault: Bool, report: @escaping @Sendable (any Error) -> Void
    ) throws(ServiceError) -> OpenedQueue {
        let client = try client(of: redis, for: settings.name)
        guard let keys = settings.redisKeys else {
            throw ServiceError("queue \(settings.name): it has no keys", isConfiguration: true)
        }
        let place = "\(redis.url?.description ?? "") \(keys.requests)"
        switch redis.transport {
        case .sortedSet:
            var configuration = RedisSortedSetQueue.Configuration(queueName: keys.requests)
            configuration.resultQueueName = redis.resultQueueOverride
            configuration.defaultResultQueueName = keys.results
            configuration.resultLifetime = redis.resultTTL > .zero ? redis.resultTTL : nil
            configuration.retryQueueName = keys.retries
            configuration.deadLetterQueueName = redis.deadLetterQueue
            configuration.isDefaultQueue = isDefault
            configuration.name = settings.name
            configuration.requestPath = path
            configuration.labels = settings.labels
            configuration.reportsError = report
            let queue = RedisSortedSetQueue(client: client, configuration: configuration)
            return OpenedQueue(
                settings: settings, queue: queue, embedded: nil, pubsub: nil, place: place,
                closes: {
                    await queue.close()
                    await client.close()
                })
        case .channel:
            var configuration = RedisChannelQueue.Configuration(channel: keys.requests)
            configuration.resultChannel = keys.results
            configuration.retryQueueName = keys.retries
            configuration.name = settings.name
            configuration.requestPath = path
            configuration.labels = settings.labels
            configuration.reportsError = report
            let queue = RedisChannelQueue(client: client, configuration: configuration)
            return OpenedQueue(
                settings: settings, queue: queue, embedded: nil, pubsub: nil, place: place,
                closes: {
                    await queue.close()
                    await client.close()
                })
        }
    }

    /// A client of the server that a queue names.
    private static func client(
        of redis: Configuration.MessageQueue.Redis, for queue: String
    ) throws(ServiceError) -> RedisClient {
        do throws(RedisAddressError) {
            var configuration = RedisClient.Configuration(address: try RedisAddress(redis.url?.secret.value ?? ""))
            configuration.clientName = "weir"
            configuration.tls = RedisClient.TLS(redis.tls)
            return RedisClient(configuration)
        } catch {
            throw ServiceError("queue \(queue): redis.url: \(error)", isConfiguration: true)
        }
    }

    private static func open(
        _ pubsub: Configuration.MessageQueue.PubSub, _ settings: Configuration.MessageQueue, path: String,
        grace: TimeSpan, isTakenFrom: Bool, report: @escaping @Sendable (any Error) -> Void,
        logger: Logger
    ) async throws(ServiceError) -> OpenedQueue {
        let connection = try PubSubConnectionSettings(pubsub, queue: settings.name)
        do throws(PubSubError) {
            let project = pubsub.project
            func topic(_ name: String?) throws(PubSubError) -> String? {
                guard let name else { return nil }
                return try ResourceName.topic(name, project: project)
            }
            let subscription = try ResourceName.subscription(pubsub.subscription, project: project)
            var routes: [String: String] = [:]
            for (route, name) in pubsub.resultRoutes { routes[route] = try ResourceName.topic(name, project: project) }
            var configuration = PubSubQueue.Configuration(
                connection: connection, subscription: subscription,
                results: ResultDestinations(
                    topic: try ResourceName.topic(pubsub.resultTopic, project: project), topicsByRoute: routes))
            configuration.deadLetterTopic = try topic(pubsub.deadLetterTopic)
            configuration.requestTopic = try topic(pubsub.requestTopic)
            configuration.maximumOutstandingMessages = pubsub.maxOutstanding
            configuration.maximumOutstandingBytes = pubsub.maxOutstandingBytes
            configuration.ackDeadline = pubsub.ackDeadline
            configuration.completionWindow = pubsub.completionWindow
            configuration.path = path
            configuration.labels = settings.labels
            configuration.reportsError = report
            let queue = try PubSubQueue(configuration)
            if isTakenFrom { try await queue.start() }
            return OpenedQueue(
                settings: settings, queue: queue, embedded: nil, pubsub: queue,
                backlog: backlogMonitor(pubsub, settings.name, connection, subscription, logger), place: subscription,
                closes: { await queue.close(within: grace) })
        } catch {
            throw ServiceError("queue \(settings.name): \(error)")
        }
    }
}

extension OpenedQueue {
    /// Nil with an emulator, of which Cloud Monitoring knows nothing, and where it is switched off.
    private static func backlogMonitor(
        _ pubsub: Configuration.MessageQueue.PubSub, _ queue: String, _ connection: PubSubConnectionSettings,
        _ subscription: String, _ logger: Logger
    ) -> BacklogMonitor? {
        guard pubsub.backlogInterval > .zero, let credentials = connection.googleCredentials,
            var configuration = BacklogMonitor.Configuration(credentials: credentials, subscription: subscription)
        else { return nil }
        configuration.interval = pubsub.backlogInterval
        configuration.reportsProblem = { reason in
            logger.warning(
                "what waits in the subscription is not known; all else works",
                metadata: ["queue": "\(queue)", "reason": "\(reason)"])
        }
        return BacklogMonitor(configuration)
    }
}

extension RedisClient.TLS {
    /// The settings of a section; without one those of the system.
    init(_ settings: WeirConfiguration.Configuration.TLS?) {
        self.init()
        authorityFile = settings?.caFile
        certificateFile = settings?.certFile
        keyFile = settings?.keyFile
        insecureSkipVerify = settings?.insecureSkipVerify ?? false
    }
}

extension EmbeddedQueue.Configuration {
    fileprivate init(_ queue: Configuration.MessageQueue) {
        let settings = queue.embedded ?? .init()
        self.init(path: settings.path)
        resultRetention = settings.keepResults
        deadLetterRetention = settings.keepDeadLetters
        maximumResultBytes = settings.maxResultBytes
        maximumFileBytes = settings.maxFileBytes
        name = queue.name
    }
}

import Basics
import EmbeddedQueue
import FrontDoor
import Logging
import MessageQueues
import Webhooks
import WeirConfiguration

/// The queues of a configuration, opened, and the door before one of them.
struct Queues {
    /// A queue and its settings.
    struct Entry {
        let settings: Configuration.MessageQueue
        let queue: EmbeddedQueue
    }

    let entries: [Entry]
    let frontDoor: FrontDoor?
    let webhooks: WebhookConfiguration
    private let logger: Logger

    /// Opens every queue; those opened before one that cannot be are closed again.
    init(_ settings: Configuration.Async, logger: Logger) throws(ServiceError) {
        self.logger = logger
        webhooks = try WebhookConfiguration(settings.webhooks)
        var opened: [Entry] = []
        for queue in settings.queues {
            do throws(MessageQueueError) {
                var configuration = EmbeddedQueue.Configuration(queue)
                configuration.reportsError = { error in
                    logger.error("queue failed", metadata: ["queue": "\(queue.name)", "error": "\(error)"])
                }
                opened.append(Entry(settings: queue, queue: try EmbeddedQueue(configuration, role: .consumer)))
            } catch {
                for entry in opened { try? entry.queue.close() }
                throw ServiceError("queue \(queue.name): \(error)")
            }
        }
        entries = opened
        let chosen = opened.first { $0.settings.name == settings.frontDoor.queue } ?? opened.first
        guard settings.frontDoor.enabled, let chosen else {
            frontDoor = nil
            return
        }
        let allowList = webhooks.allowList
        frontDoor = FrontDoor(
            queue: chosen.queue,
            settings: FrontDoorSettings(
                completionWindow: settings.frontDoor.completionWindow, longestWait: settings.frontDoor.longestWait,
                maxWaiting: settings.frontDoor.maxWaiting),
            webhookIsAllowed: { url in (try? allowList.permit(url)) != nil },
            onFailure: { error, requestID in
                logger.error(
                    "queue failed",
                    metadata: [
                        "queue": "\(chosen.settings.name)", "request_id": "\(requestID)", "error": "\(error)",
                    ])
            })
    }

    /// Closes every queue, once nobody uses them any more.
    func close() {
        for entry in entries {
            do throws(MessageQueueError) {
                try entry.queue.close()
            } catch {
                logger.error(
                    "queue was not closed cleanly",
                    metadata: ["queue": "\(entry.settings.name)", "error": "\(error)"])
            }
        }
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

extension WebhookConfiguration {
    /// Without an allowed place every webhook is given up: messages that were submitted with one still have their results.
    fileprivate init(_ settings: Configuration.Webhooks) throws(ServiceError) {
        guard !settings.allow.isEmpty else {
            self = .refusingAll
            return
        }
        guard let signer = settings.secret.flatMap({ WebhookSigner(secret: $0.value) }) else {
            throw ServiceError(
                "async.webhooks.secret must be a text, or whsec_ followed by a key in base64", isConfiguration: true)
        }
        self.init(
            allowList: WebhookAllowList(
                settings.allow.map {
                    .init(isSecure: $0.isSecure, host: $0.host, port: $0.port, path: $0.path)
                }), signer: signer)
        giveUpAfter = settings.giveUpAfter
        timeout = settings.timeout
    }
}

import Basics
import FrontDoor
import Logging
import Webhooks
import WeirConfiguration

/// The queues of a configuration, opened, and the door before one of them.
struct Queues {
    let entries: [OpenedQueue]
    let frontDoor: FrontDoor?
    let webhooks: WebhookConfiguration
    private let logger: Logger

    /// Opens every queue; those opened before one that cannot be are closed again.
    ///
    /// - Parameter grace: how long closing a queue may take.
    init(_ settings: Configuration.Async, grace: TimeSpan, logger: Logger) async throws(ServiceError) {
        self.logger = logger
        webhooks = try WebhookConfiguration(settings.webhooks)
        var opened: [OpenedQueue] = []
        for queue in settings.queues {
            do throws(ServiceError) {
                let path = queue.path ?? settings.target(of: queue)?.path ?? Configuration.Target().path
                let isDefault = settings.firstQueue(besides: queue)?.name == queue.name
                opened.append(
                    try await OpenedQueue.open(
                        queue, path: path, isDefault: isDefault, grace: grace, logger: logger))
            } catch {
                for entry in opened { try? await entry.close() }
                throw error
            }
        }
        entries = opened
        frontDoor = Self.frontDoor(settings, before: opened, webhooks: webhooks, logger: logger)
    }

    /// The door stands before the queue that is named, or else the first of this process's own.
    private static func frontDoor(
        _ settings: Configuration.Async, before opened: [OpenedQueue], webhooks: WebhookConfiguration, logger: Logger
    ) -> FrontDoor? {
        let own = opened.filter { $0.embedded != nil }
        guard settings.frontDoor.enabled,
            let chosen = own.first(where: { $0.settings.name == settings.frontDoor.queue }) ?? own.first,
            let queue = chosen.embedded
        else { return nil }
        let allowList = webhooks.allowList
        return FrontDoor(
            queue: queue,
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

    /// The names that queues have inside their brokers, by their names here.
    var brokerNames: [String: String] {
        Dictionary(entries.map { ($0.settings.name, $0.brokerName) }, uniquingKeysWith: { first, _ in first })
    }

    /// Closes every queue, once nobody uses them any more.
    func close() async {
        await withTaskGroup(of: Void.self) { group in
            for entry in entries {
                group.addTask { [logger] in
                    do {
                        try await entry.close()
                    } catch {
                        logger.error(
                            "queue was not closed cleanly",
                            metadata: ["queue": "\(entry.settings.name)", "error": "\(error)"])
                    }
                }
            }
        }
    }
}

extension Configuration.Async {
    /// The first of the queues that share a server and a retry set with this one, itself included.
    fileprivate func firstQueue(besides queue: Configuration.MessageQueue) -> Configuration.MessageQueue? {
        queues.first {
            $0.redis?.transport == .sortedSet && $0.redis?.url == queue.redis?.url
                && $0.redis?.retryQueue == queue.redis?.retryQueue
        }
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

import Basics
import EmbeddedQueue
import Logging
public import MessageQueues
public import WeirConfiguration

/// A queue of the configuration as those see it who hand messages in, beside whatever process takes from it.
public struct QueueIntake: Sendable {
    /// Where messages are handed in.
    public let intake: any MessageIntake
    /// Where the queue is, for people. Never a password.
    public let place: String
    /// The path that requests go to that name none.
    public let path: String
    private let closes: @Sendable () async throws -> Void

    /// Opens the queue with this name, or the only one there is.
    ///
    /// - Throws: `ServiceError` if there is no such queue, nothing can be handed in there, or it cannot be opened.
    public static func open(
        _ name: String?, of configuration: Configuration
    ) async throws(ServiceError) -> QueueIntake {
        let queues = configuration.async?.queues ?? []
        let names = queues.map(\.name).joined(separator: ", ")
        guard
            let settings = name.map({ name in queues.first { $0.name == name } })
                ?? (queues.count == 1 ? queues[0] : nil)
        else {
            throw ServiceError(
                queues.isEmpty
                    ? "the file names no queues"
                    : name.map { "there is no queue \($0); the file names \(names)" } ?? "say which queue: \(names)",
                isConfiguration: true)
        }
        let path = settings.path ?? configuration.async?.target(of: settings)?.path ?? Configuration.Target().path
        if let embedded = settings.embedded {
            do throws(MessageQueueError) {
                let queue = try EmbeddedQueue(EmbeddedQueue.Configuration(path: embedded.path), role: .client)
                return QueueIntake(intake: queue, place: embedded.path, path: path, closes: { try queue.close() })
            } catch {
                throw ServiceError("queue \(settings.name): \(error)")
            }
        }
        let opened = try await OpenedQueue.open(
            settings, path: path, isDefault: false, grace: .seconds(10), isTakenFrom: false,
            logger: Logger(label: "weir"))
        guard let intake = opened.queue as? any MessageIntake else {
            throw ServiceError("queue \(settings.name): nothing can be handed in to this kind of queue here")
        }
        return QueueIntake(intake: intake, place: opened.place, path: path, closes: { try await opened.close() })
    }

    /// Closes it; what was accepted stays.
    public func close() async throws { try await closes() }
}

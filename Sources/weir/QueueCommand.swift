import ArgumentParser
import Basics
import EmbeddedQueue
import Foundation
import MessageQueues

/// `weir queue`: looks after a queue, also while `weir serve` works on it.
struct QueueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue", abstract: "Look after the queue, also while it is being served.",
        subcommands: [
            QueueListCommand.self, QueuePeekCommand.self, QueueCancelCommand.self, QueueRedriveCommand.self,
            QueuePurgeCommand.self, QueueExportCommand.self,
        ])
}

extension QueueOptions {
    /// Opens the queue, which must be there, for `body`, and closes it; its errors become sentences.
    func withQueue(_ body: (EmbeddedQueue) async throws -> Void) async throws {
        let queue = try open(createsFile: false)
        do {
            try await body(queue)
            try queue.close()
        } catch let error as MessageQueueError {
            throw CommandFailure.failed("\(error)")
        }
    }
}

extension Instant {
    /// The date and time of an instant since the Unix epoch, in UTC.
    var dateText: String { Date(timeIntervalSince1970: seconds).formatted(.iso8601) }
}

import ArgumentParser
import EmbeddedQueue
import Foundation
import MessageQueues

/// Which queue a command works on.
struct QueueOptions: ParsableArguments {
    /// The queue that `weir serve` uses unless told otherwise.
    static let defaultPath = "weir-queue.db"

    @Option(help: "The queue's file; also taken from WEIR_QUEUE. Default: \(defaultPath).")
    var queue: String?

    /// The file to open.
    var path: String { queue ?? ProcessInfo.processInfo.environment["WEIR_QUEUE"] ?? Self.defaultPath }

    /// Opens the queue beside whatever process serves it.
    func open(createsFile: Bool) throws -> EmbeddedQueue {
        var configuration = EmbeddedQueue.Configuration(path: path)
        configuration.createsFile = createsFile
        do {
            return try EmbeddedQueue(configuration, role: .client)
        } catch {
            throw CommandFailure.failed("\(error)")
        }
    }
}

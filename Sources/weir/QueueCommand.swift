import ArgumentParser
import Basics
import EmbeddedQueue
import Foundation
import MessageQueues

/// `weir queue`: looks after a queue.
struct QueueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue", abstract: "Look after the queue.", subcommands: [List.self])

    /// `weir queue ls`: how full the queue is.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "Show how full the queue is.")

        @OptionGroup var queueOptions: QueueOptions

        @Flag(help: "Print one JSON object.")
        var json = false

        func run() async throws {
            let queue = try queueOptions.open(createsFile: false)
            do {
                let depth = try await queue.depth()
                try queue.close()
                print(json ? Self.json(depth, path: queueOptions.path) : Self.table(depth, path: queueOptions.path))
            } catch let error as MessageQueueError {
                throw CommandFailure.failed("\(error)")
            }
        }

        private static func table(_ depth: QueueDepth, path: String) -> String {
            let earliest = depth.earliestDeadline.map { deadline in
                let date = Date(timeIntervalSince1970: deadline.seconds)
                return date.formatted(.iso8601)
            }
            return [
                ("queue", path), ("ready", "\(depth.ready)"), ("in work", "\(depth.leased)"),
                ("waiting to be retried", "\(depth.delayed)"), ("results", "\(depth.results)"),
                ("earliest deadline", earliest ?? "-"),
            ]
            .map { $0.0.padding(toLength: 24, withPad: " ", startingAt: 0) + $0.1 }.joined(separator: "\n")
        }

        private static func json(_ depth: QueueDepth, path: String) -> String {
            let earliest = depth.earliestDeadline.map { "\(Int($0.seconds))" } ?? "null"
            let place = path.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"")
            return """
                {"queue":"\(place)","ready":\(depth.ready),"leased":\(depth.leased),"delayed":\(depth.delayed),\
                "results":\(depth.results),"earliest_deadline":\(earliest)}
                """
        }
    }
}

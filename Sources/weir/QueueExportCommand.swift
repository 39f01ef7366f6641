import ArgumentParser
import EmbeddedQueue
import MessageQueues

/// `weir queue export`: prints requests as lines that can be submitted again.
struct QueueExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Print requests that are not finished as lines that `weir submit` reads, in the order of submission.",
        discussion: "Nothing is taken from the queue.")

    @Flag(help: "Print the messages that were given up instead.")
    var dead = false

    @OptionGroup var queueOptions: QueueOptions

    func run() async throws {
        try await queueOptions.withQueue { queue in
            let unreadable = dead ? try await exportDeadLetters(queue) : try await exportUnfinished(queue)
            if unreadable > 0 {
                throw CommandFailure.failed("\(unreadable) stored requests can no longer be read and were left out")
            }
        }
    }

    /// Returns how many could not be printed.
    private func exportUnfinished(_ queue: EmbeddedQueue) async throws -> Int {
        var unreadable = 0
        var cursor: Int64 = 0
        while true {
            let page = try await queue.export(after: cursor, limit: 500)
            guard let last = page.last else { return unreadable }
            for message in page {
                guard let line = message.line else {
                    unreadable += 1
                    continue
                }
                guard Self.write(line) else { return unreadable }
            }
            cursor = last.sequence
        }
    }

    private func exportDeadLetters(_ queue: EmbeddedQueue) async throws -> Int {
        var unreadable = 0
        try await queue.forEachDeadLetter { letter in
            guard letter.isComplete else {
                unreadable += 1
                return true
            }
            return Self.write(MessageCodec.encode(letter.message))
        }
        return unreadable
    }

    /// Prints a line; false once nobody reads on.
    private static func write(_ line: [UInt8]) -> Bool {
        StandardStreams.output(line + [UInt8(ascii: "\n")])
    }
}

import ArgumentParser
import Delivery
import EmbeddedQueue

/// `weir queue peek`: everything that the queue knows of a request.
struct QueuePeekCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peek",
        abstract: "Show a request with its body and result, or the messages that were given up, as JSON.")

    @Argument(help: "The request's id.")
    var id: String?

    @Flag(help: "Show messages that were given up, with the reason: all, or those with this id.")
    var dead = false

    @OptionGroup var queueOptions: QueueOptions

    func validate() throws {
        guard dead || id != nil else { throw ValidationError("Name a request, or ask for --dead.") }
    }

    func run() async throws {
        try await queueOptions.withQueue { queue in
            if dead { return try await showDeadLetters(queue) }
            guard let id, let detail = try await queue.peek(id) else {
                throw CommandFailure.failed("there is no request \(id ?? "") in \(queueOptions.path)")
            }
            StandardStreams.output(RequestLine.object(detail) + [UInt8(ascii: "\n")])
        }
    }

    private func showDeadLetters(_ queue: EmbeddedQueue) async throws {
        var found = 0
        try await queue.forEachDeadLetter { letter in
            guard id == nil || id == letter.message.id else { return true }
            found += 1
            return StandardStreams.output(RequestLine.object(letter) + [UInt8(ascii: "\n")])
        }
        if let id, found == 0 {
            throw CommandFailure.failed("there is no dead letter \(id) in \(queueOptions.path)")
        }
    }
}

extension EmbeddedQueue {
    /// Goes through the dead letters in the order of submission until `body` returns false.
    func forEachDeadLetter(_ body: (DeadLetter) throws -> Bool) async throws {
        var cursor: Int64 = 0
        while true {
            let page = try await deadLetters(after: cursor, limit: 500)
            guard let last = page.last else { return }
            for letter in page { guard try body(letter) else { return } }
            cursor = last.sequence
        }
    }
}

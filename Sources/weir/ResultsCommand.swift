import ArgumentParser
import EmbeddedQueue
import MessageQueues

/// `weir results`: prints results as lines of JSON.
struct ResultsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "results", abstract: "Print the results in the queue, oldest first, one JSON object per line.")

    @OptionGroup var queueOptions: QueueOptions

    @Flag(help: "Go on printing results as they come in.")
    var follow = false

    @Flag(help: "Go on until every request in the queue has its result.")
    var wait = false

    @Option(help: "Start behind the result with this number in the order of completion.")
    var after: Int64 = 0

    func validate() throws {
        if follow && wait { throw ValidationError("--follow never ends; leave out --wait.") }
    }

    func run() async throws {
        let queue = try queueOptions.open(createsFile: false)
        var cursor = after
        do {
            while true {
                // Looked at before the results: a request that ends in between has its result in the next round.
                let unfinished = wait ? try await queue.depth().unfinished : 0
                let page = try await queue.results(after: cursor, limit: 500)
                for result in page {
                    guard StandardStreams.output(result.line + [UInt8(ascii: "\n")]) else { return }
                    cursor = result.cursor
                }
                if !page.isEmpty { continue }
                guard follow || (wait && unfinished > 0) else { break }
                try await queue.waitForResults(after: cursor)
            }
            try queue.close()
        } catch let error as MessageQueueError {
            throw CommandFailure.failed("\(error)")
        }
    }
}

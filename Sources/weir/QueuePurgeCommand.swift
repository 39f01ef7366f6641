import ArgumentParser
import Basics
import EmbeddedQueue
import MessageQueues

/// `weir queue purge`: removes what is finished.
struct QueuePurgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "purge", abstract: "Remove results and dead letters, and give their room back to the file system.",
        discussion: """
            Requests that are not finished are never removed; cancel them. The ids of what is removed are free to be used \
            again.
            """)

    @Argument(help: "Remove the results and dead letters of requests with these ids.")
    var ids: [String] = []

    @Option(help: "Remove the results of requests that finished longer ago than this, such as 36h or 7d.")
    var resultsOlderThan: TimeSpan?

    @Flag(help: "Remove all results.")
    var results = false

    @Flag(help: "Remove all dead letters; their results stay.")
    var deadLetters = false

    @Flag(help: "Remove all results and dead letters.")
    var everythingFinished = false

    @Flag(help: "Do not ask whether this is meant.")
    var yes = false

    @OptionGroup var queueOptions: QueueOptions

    func validate() throws {
        let choices = [!ids.isEmpty, resultsOlderThan != nil, results, deadLetters, everythingFinished].count { $0 }
        guard choices == 1 else {
            throw ValidationError(
                "Choose one: ids, --results-older-than, --results, --dead-letters or --everything-finished.")
        }
    }

    private var selection: PurgeSelection {
        if !ids.isEmpty { return .ids(ids) }
        if let resultsOlderThan { return .results(finishedBefore: SystemClock().now() - resultsOlderThan) }
        if results { return .results(finishedBefore: .distantFuture) }
        return deadLetters ? .deadLetters : .finished
    }

    func run() async throws {
        guard yes || !StandardStreams.inputIsTerminal else {
            throw CommandFailure.usage("this cannot be undone; repeat the command with --yes if it is meant")
        }
        try await queueOptions.withQueue { queue in
            let count = try await queue.purge(selection)
            print("\(count.results) results and \(count.deadLetters) dead letters removed")
        }
    }
}

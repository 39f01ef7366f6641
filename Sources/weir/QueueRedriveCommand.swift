import ArgumentParser
import Basics
import EmbeddedQueue
import MessageQueues

/// `weir queue redrive`: runs messages again that were given up.
struct QueueRedriveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "redrive", abstract: "Run messages again that were given up.")

    @Argument(help: "The messages' ids.")
    var ids: [String] = []

    @Flag(help: "Run all dead letters again.")
    var all = false

    @Option(help: "Time in which messages whose deadline has passed have to be done, in seconds.")
    var window: Double = 86_400

    @OptionGroup var queueOptions: QueueOptions

    func validate() throws {
        guard all == ids.isEmpty else { throw ValidationError("Name messages, or ask for --all.") }
        guard window > 0 else { throw ValidationError("--window must be above 0 seconds.") }
    }

    func run() async throws {
        try await queueOptions.withQueue { queue in
            let deadline = min(SystemClock().now() + .seconds(window), .distantFuture)
            guard !all else {
                let left = try await queue.redrive(.all, deadline: deadline)
                print("\(left) run again")
                return
            }
            var missed = 0
            for id in ids where try await queue.redrive(.ids([id]), deadline: deadline) == 0 {
                missed += 1
                StandardStreams.error("\(TextTable.printable(id)): no dead letter that could run again")
            }
            print("\(ids.count - missed) run again")
            if missed > 0 { throw ExitCode(1) }
        }
    }
}

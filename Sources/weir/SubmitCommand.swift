import ArgumentParser
import Basics
import Composition
import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues

/// `weir submit FILE.jsonl`: puts requests into the queue.
struct SubmitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit",
        abstract: "Put requests into the queue: OpenAI batch lines or raw messages, one JSON object per line.",
        discussion: """
            When the command returns, every accepted request is durable. Submitting a file twice is harmless: an id that \
            is known already is not run again.
            """)

    @Argument(help: "The file, or - for standard input.")
    var file: String

    @OptionGroup var queueOptions: QueueOptions

    @Option(help: "A configuration file whose queue to use, in Redis or Pub/Sub for example, in place of --queue.")
    var config: String?

    @Option(help: "With --config: the name of the queue, if the file has several.")
    var queueName: String?

    @Option(help: "Time in which requests without a deadline have to be done, in seconds.")
    var window: Double = 86_400

    @Option(help: "The path of requests that name none. Default: \(defaultPath), or with --config what the queue says.")
    var path: String?

    private static let defaultPath = "/v1/chat/completions"

    @Option(help: "Put before every id, so that files whose ids overlap can share a queue.")
    var idPrefix: String = ""

    @Option(help: "Whose requests these are, whatever their lines say.")
    var tenant: String?

    @Option(
        help: """
            The priority class that all of them run in, whatever their lines say: \
            \(InferenceMessage.priorityRange.lowerBound) to \(InferenceMessage.priorityRange.upperBound); higher goes first.
            """)
    var priority: Int?

    func validate() throws {
        guard config == nil || queueOptions.queue == nil else {
            throw ValidationError(
                "--queue names a file; with --config, --queue-name names a queue of the configuration.")
        }
        guard config != nil || queueName == nil else { throw ValidationError("--queue-name goes with --config.") }
        guard window > 0 else { throw ValidationError("--window must be above 0 seconds.") }
        if let priority, !InferenceMessage.priorityRange.contains(priority) {
            let range = InferenceMessage.priorityRange
            throw ValidationError("--priority must be from \(range.lowerBound) to \(range.upperBound).")
        }
        if let tenant,
            tenant.utf8.count > MessageCodec.maximumTenantBytes
                || !tenant.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
        {
            throw ValidationError(
                "--tenant may have up to \(MessageCodec.maximumTenantBytes) bytes and no control characters.")
        }
    }

    func run() async throws {
        let queue = try await openQueue()
        var input: LineReader
        do {
            input = try LineReader(path: file)
        } catch {
            throw CommandFailure.failed("\(file): \(error.reason)")
        }
        var tally = SubmissionTally(totalBytes: input.totalBytes)
        var batch: [InferenceMessage] = []
        var batchBytes = 0
        let defaults = MessageDefaults(
            now: SystemClock().now(), completionWindow: .seconds(window), path: path ?? queue.path,
            idPrefix: idPrefix)
        do {
            while let line = try input.next() {
                if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
                do throws(MessageFormatError) {
                    var message = try MessageCodec.decode(line, defaults: defaults)
                    message.tenant = tenant ?? message.tenant
                    message.priority = priority ?? message.priority
                    batch.append(message)
                    batchBytes += message.payload.count
                } catch {
                    tally.malformed += 1
                    if tally.malformed <= 20 { StandardStreams.error("\(file):\(input.lineNumber): \(error)") }
                }
                if batch.count >= 2000 || batchBytes >= 16 << 20 {
                    try await tally.submit(batch, to: queue.intake)
                    batch.removeAll(keepingCapacity: true)
                    batchBytes = 0
                    tally.showProgress(bytesRead: input.bytesRead)
                }
            }
            try await tally.submit(batch, to: queue.intake)
        } catch let error as LineReader.Failure {
            throw CommandFailure.failed("\(file):\(input.lineNumber + 1): \(error.reason)")
        } catch {
            throw CommandFailure.failed("\(error); \(tally.accepted) requests were accepted before that")
        }
        tally.showProgress(bytesRead: input.bytesRead, isLast: true)
        try await queue.close()
        print(tally.summary(queue: queue.place))
        if tally.malformed + tally.conflicts > 0 { throw ExitCode(1) }
    }
}

/// Where the lines go.
private struct Destination {
    let intake: any MessageIntake
    let place: String
    /// The path of requests that name none.
    let path: String
    let close: () async throws -> Void
}

extension SubmitCommand {
    private func openQueue() async throws -> Destination {
        guard let config else {
            let queue = try queueOptions.open(createsFile: true)
            return Destination(
                intake: queue, place: queueOptions.path, path: Self.defaultPath, close: { try queue.close() })
        }
        let settings = try ConfigurationFile.load(config)
        do throws(ServiceError) {
            let queue = try await QueueIntake.open(queueName, of: settings)
            return Destination(
                intake: queue.intake, place: queue.place, path: queue.path, close: { try await queue.close() })
        } catch {
            throw error.isConfiguration ? CommandFailure.usage(error.description) : .failed(error.description)
        }
    }
}

/// What became of the lines so far.
private struct SubmissionTally {
    let totalBytes: Int?
    var accepted = 0
    var known = 0
    var conflicts = 0
    var malformed = 0

    init(totalBytes: Int?) { self.totalBytes = totalBytes }

    mutating func submit(_ batch: [InferenceMessage], to queue: any MessageIntake) async throws {
        guard !batch.isEmpty else { return }
        for (message, receipt) in zip(batch, try await queue.enqueue(batch)) {
            switch receipt {
            case .accepted: accepted += 1
            case .alreadyQueued, .alreadyFinished: known += 1
            case .conflict:
                conflicts += 1
                if conflicts <= 20 {
                    StandardStreams.error("id \(message.id) is taken by another request; not submitted")
                }
            }
        }
    }

    func showProgress(bytesRead: Int, isLast: Bool = false) {
        guard StandardStreams.errorIsTerminal else { return }
        guard !isLast else { return StandardStreams.progress("") }
        var bar = ""
        if let totalBytes, totalBytes > 0 {
            let filled = min(30, 30 * bytesRead / totalBytes)
            bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled) + " "
        }
        StandardStreams.progress("\(bar)\(accepted + known) submitted")
    }

    func summary(queue: String) -> String {
        var parts = ["\(accepted) accepted"]
        if known > 0 { parts.append("\(known) already known") }
        if conflicts > 0 { parts.append("\(conflicts) refused: id taken by another request") }
        if malformed > 0 { parts.append("\(malformed) refused: malformed") }
        return parts.joined(separator: ", ") + " (\(queue))"
    }
}

import ArgumentParser
import Delivery
import EmbeddedQueue
import MessageQueues

/// `weir queue cancel`: takes requests back.
struct QueueCancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Take requests back, waiting or in work.",
        discussion: """
            A request that waits has its result (CANCELLED) at once. One that is in work is broken off by the process that \
            serves the queue; the command waits up to a second for it, and says what became of each.
            """)

    @Argument(help: "The requests' ids.")
    var ids: [String]

    @OptionGroup var queueOptions: QueueOptions

    private static let patience = Duration.seconds(1)

    func run() async throws {
        try await queueOptions.withQueue { queue in
            var receipts: [(id: String, receipt: CancelReceipt)] = []
            for id in ids {
                receipts.append((id, try await queue.cancel(id, tenant: nil, generation: nil)))
            }
            await Self.waitForResults(of: receipts.filter { $0.receipt == .cancelling }.map(\.id), in: queue)
            var failures = 0
            for (id, receipt) in receipts {
                let (sentence, isTakenBack) = try await Self.outcome(of: id, receipt, in: queue)
                if !isTakenBack { failures += 1 }
                print("\(TextTable.printable(id)): \(sentence)")
            }
            if failures > 0 { throw ExitCode(1) }
        }
    }

    /// Returns when all have their results, or patience has run out.
    private static func waitForResults(of ids: [String], in queue: EmbeddedQueue) async {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                try? await Task.sleep(for: patience)
                return false
            }
            for id in ids {
                group.addTask {
                    try? await queue.waitForResult(of: id)
                    return true
                }
            }
            var waiting = ids.count
            while waiting > 0, await group.next() == true { waiting -= 1 }
            group.cancelAll()
        }
    }

    private static func outcome(
        of id: String, _ receipt: CancelReceipt, in queue: EmbeddedQueue
    ) async throws -> (String, isTakenBack: Bool) {
        switch receipt {
        case .cancelled: return ("cancelled", true)
        case .unknown: return ("not in this queue", false)
        case .alreadyFinished: return ("has its result already", false)
        case .cancelling:
            guard let result = try await queue.result(of: id, tenant: nil) else {
                return ("in work; will be cancelled as soon as the process that has it notices", true)
            }
            guard result.errorCode == DeliveryErrorCode.cancelled.rawValue else {
                return ("finished before it could be taken back", false)
            }
            return ("cancelled", true)
        }
    }
}

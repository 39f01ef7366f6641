import ArgumentParser
import Basics
import Delivery
import EmbeddedQueue
import MessageQueues

/// `weir queue ls`: how full the queue is, and what is in it.
struct QueueListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show how full the queue is, or list its requests.")

    @OptionGroup var queueOptions: QueueOptions

    @Flag(help: "List requests, in the order of submission.")
    var messages = false

    @Option(help: "With --messages: only those in this state.")
    var state: RequestState?

    @Option(help: "With --messages: only those of this tenant.")
    var tenant: String?

    @Option(help: "With --messages: only those for this model.")
    var model: String?

    @Option(help: "With --messages: at most this many.")
    var limit = 100

    @Flag(help: "Print JSON: one object, or one for each request.")
    var json = false

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit must be above 0.") }
        guard messages || (state == nil && tenant == nil && model == nil) else {
            throw ValidationError("--state, --tenant and --model choose requests; add --messages.")
        }
    }

    func run() async throws {
        try await queueOptions.withQueue { queue in
            if messages { return try await listMessages(queue) }
            let depth = try await queue.depth()
            print(json ? Self.json(depth, path: queueOptions.path) : Self.table(depth, path: queueOptions.path))
        }
    }

    private func listMessages(_ queue: EmbeddedQueue) async throws {
        let filter = RequestFilter(tenant: tenant, state: state, model: model)
        var table = TextTable(["ID", "STATE", "CLASS", "TENANT", "MODEL", "ATTEMPTS", "STATUS", "DEADLINE"])
        var left = limit
        var cursor: Int64 = 0
        while left > 0 {
            let page = try await queue.requests(matching: filter, after: cursor, limit: min(left, 1000))
            for view in page.views {
                if json {
                    guard StandardStreams.output(RequestLine.members(view).finish() + [UInt8(ascii: "\n")]) else {
                        return
                    }
                } else {
                    table.add(Self.cells(view))
                }
            }
            if page.isComplete { break }
            cursor = page.cursor
            left -= page.views.count
        }
        if !json { table.lines().forEach { print($0) } }
    }

    private static func cells(_ view: RequestView) -> [String] {
        [
            view.id, view.state.rawValue, "\(view.priority)", view.tenant.isEmpty ? "-" : view.tenant,
            view.model ?? "-", "\(view.attempts.dispatches)", view.errorCode ?? view.statusCode.map { "\($0)" } ?? "-",
            view.deadline.dateText,
        ]
    }

    private static func table(_ depth: QueueDepth, path: String) -> String {
        [
            ("queue", path), ("ready", "\(depth.ready)"), ("in work", "\(depth.leased)"),
            ("waiting to be retried", "\(depth.delayed)"), ("results", "\(depth.results)"),
            ("dead letters", "\(depth.deadLetters)"),
            ("earliest deadline", depth.earliestDeadline?.dateText ?? "-"),
        ]
        .map { $0.0 + String(repeating: " ", count: 24 - $0.0.count) + $0.1 }.joined(separator: "\n")
    }

    private static func json(_ depth: QueueDepth, path: String) -> String {
        var line = JSONWriter()
        line.member("queue", path)
        line.member("ready", depth.ready)
        line.member("leased", depth.leased)
        line.member("delayed", depth.delayed)
        line.member("results", depth.results)
        line.member("dead_letters", depth.deadLetters)
        if let earliest = depth.earliestDeadline {
            line.member("earliest_deadline", earliest)
        } else {
            line.member("earliest_deadline", json: Array("null".utf8))
        }
        return String(decoding: line.finish(), as: UTF8.self)
    }
}

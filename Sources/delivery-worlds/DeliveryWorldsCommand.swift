import ArgumentParser
import DeliveryWorlds
import Foundation

/// Lives through many seeded worlds and says what happened; ends with 1 if an invariant did not hold.
@main
struct DeliveryWorldsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delivery-worlds",
        abstract: "Prove the life of asynchronous messages in seeded worlds under an adversary.",
        discussion: "A world that fails is made again, with everything that happens in it, by --seed N --trace.")

    @Option(help: "Worlds from A to B, as A-B.")
    var seeds = "1-5000"

    @Option(help: "One world.")
    var seed: UInt64?

    @Option(help: "Worlds at a time.")
    var jobs = ProcessInfo.processInfo.activeProcessorCount

    @Flag(help: "Write down what happens in each world.")
    var trace = false

    @Option(
        help: "Make this mistake on purpose, to see whether it is found.",
        transform: { name in
            guard let mutation = Mutation(rawValue: name) else {
                throw ValidationError(
                    "no such mistake; there are \(Mutation.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            return mutation
        })
    var mutation: Mutation?

    func run() async throws {
        let range = try seedRange()
        let began = ContinuousClock.now
        var counts = WorldCounts()
        var failed: [WorldReport] = []
        var finished = 0
        try await withThrowingTaskGroup(of: WorldReport.self) { group in
            var next = range.lowerBound
            func add() {
                guard next <= range.upperBound else { return }
                let (seed, mutation, trace) = (next, mutation, trace)
                group.addTask { try DeliveryWorlds.run(seed: seed, mutation: mutation, traces: trace) }
                next += 1
            }
            for _ in 0..<max(1, jobs) { add() }
            while let report = try await group.next() {
                finished += 1
                counts += report.counts
                write(report.trace)
                if !report.violations.isEmpty {
                    failed.append(report)
                    if failed.count <= 20 { tell(report) }
                }
                add()
            }
        }
        summarize(finished, counts, failed, elapsed: ContinuousClock.now - began)
        if !failed.isEmpty { throw ExitCode.failure }
    }

    private func seedRange() throws -> ClosedRange<UInt64> {
        if let seed { return seed...seed }
        let ends = seeds.split(separator: "-").map { UInt64($0) }
        guard ends.count == 2, let low = ends[0], let high = ends[1], low <= high, high < .max else {
            throw ValidationError("--seeds is written A-B, with A not above B")
        }
        return low...high
    }

    private func tell(_ report: WorldReport) {
        for violation in report.violations.prefix(3) {
            write([
                "seed \(report.seed), \(violation.seconds) s: \(violation.invariant.rawValue): \(violation.detail)"
            ])
        }
        let mistake = mutation.map { " --mutation \($0.rawValue)" } ?? ""
        write(["  again: delivery-worlds --seed \(report.seed)\(mistake) --trace"])
    }

    private func summarize(_ worlds: Int, _ counts: WorldCounts, _ failed: [WorldReport], elapsed: Duration) {
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        write(["\(worlds) worlds in \((seconds * 10).rounded() / 10) s, \(failed.count) of them failed"])
        for figure in counts.figures { write(["  \(figure.name): \(figure.value)"]) }
        if !failed.isEmpty {
            let invariants = Dictionary(grouping: failed) { $0.violations[0].invariant.rawValue }
            for (name, reports) in invariants.sorted(by: { $0.key < $1.key }) {
                write(["not held: \(name): \(reports.count) worlds, seeds \(reports.map(\.seed).sorted().prefix(8))"])
            }
        }
    }

    private func write(_ lines: [String]) {
        for line in lines { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
    }
}

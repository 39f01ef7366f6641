import ArgumentParser
import Basics
import EngineModel
import Foundation
import Lab

/// `weir lab`: asks what the scheduler would do with given traffic, in virtual time.
struct LabCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", abstract: "Ask what the scheduler would do with your traffic, in virtual time.",
        subcommands: [Run.self, List.self])

    /// `weir lab list`: names scenarios and policies.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List scenarios, policies, engines and formats.")

        func run() throws {
            print("Scenarios:")
            for scenario in Scenario.all {
                print("  " + scenario.name.padding(toLength: 14, withPad: " ", startingAt: 0) + scenario.summary)
            }
            print("Policies (N and T are numbers):\n  " + Policy.patterns.joined(separator: ", "))
            print("Engines:\n  " + EngineConfiguration.presetNames.joined(separator: ", "))
            print("Trace formats:\n  " + TraceFormat.allCases.map(\.rawValue).joined(separator: ", "))
        }
    }

    /// `weir lab run`: runs a scenario under each policy and reports.
    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run a scenario under each policy and compare.",
            discussion: "The same options and seed give the same figures, byte for byte but for the wall time.")

        @Argument(help: "The scenario; `weir lab list` names them.")
        var scenario: String

        @Option(help: "Real-time trace file. Default: generated, with the Azure conversation statistics.")
        var trace: String?

        @Option(help: "Format of the trace: azure or mooncake.")
        var format: String = "azure"

        @Option(help: "Speed the trace up by this factor.")
        var scale: Double = 1

        @Option(help: "File with the lengths of the offline job's lines. Default: generated likewise.")
        var offline: String?

        @Option(name: [.customLong("policy")], help: "Policies to compare, separated by commas.")
        var policies: String?

        @Option(help: "The engine of each replica; `weir lab list` names the presets.")
        var engine: String = "llama-8b-h100"

        @Option(help: "Model servers in the pool. Default: as many as the scenario is about.")
        var replicas: Int?

        @Option(help: "Factors on the rate of the trace to try one after the other, separated by commas.")
        var loads: String?

        @Option(help: "Seed of everything random.")
        var seed: UInt64 = 1

        @Option(help: "Run so many seeds, from --seed on; figures are then means with 95 % intervals.")
        var seeds: Int?

        @Option(help: "Play only so many seconds of the trace.")
        var duration: Double?

        @Option(help: "Messages in a push scenario.")
        var messages: Int?

        @Option(help: "Messages pushed per second in a push scenario.")
        var rate: Double?

        @Flag(help: "Hide output lengths from the scheduler: it sees a limit three times as long.")
        var hideLengths = false

        @Option(help: "Spread of the step time (sigma of its logarithm).")
        var noise: Double = 0

        @Option(help: "Factor by which weir takes engines to be slower than by default, before it has seen them work.")
        var priorFactor: Double = 1

        @Flag(help: "Print one JSON object instead of a table.")
        var json = false

        @Option(help: "Also write an HTML report to this file.")
        var html: String?

        func run() async throws {
            let report: LabReport
            do {
                let start = ContinuousClock.now
                report = try Lab.run(
                    Scenario.named(scenario), options: try options(), files: try files(),
                    wallClock: {
                        let elapsed = (ContinuousClock.now - start).components
                        return Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
                    },
                    progress: { if StandardStreams.errorIsTerminal { StandardStreams.progress("running \($0) …") } })
            } catch let error as LabError {
                throw CommandFailure.usage(error.description)
            }
            if StandardStreams.errorIsTerminal { StandardStreams.progress("") }
            print(json ? report.json() : report.text(), terminator: json ? "\n" : "")
            if let html {
                do {
                    try Data(report.html().utf8).write(to: URL(fileURLWithPath: html))
                } catch {
                    throw CommandFailure.failed("\(html): cannot be written")
                }
                StandardStreams.error("report: \(html)")
            }
            if !report.isWithinBounds { throw CommandFailure.failed("figures lie outside their bounds") }
        }

        private func options() throws -> LabOptions {
            var options = LabOptions()
            options.seed = seed
            options.scale = scale
            options.engine = engine
            options.replicas = try replicas ?? Scenario.named(scenario).defaultReplicas
            if let loads { options.loads = try loads.split(separator: ",").map { try Self.load(String($0)) } }
            if let seeds { options.seeds = seeds }
            options.format = try TraceFormat(named: format)
            options.duration = duration.map { .seconds($0) }
            options.hidesLengths = hideLengths
            options.stepNoiseSigma = noise
            options.priorFactor = priorFactor
            if let messages { options.messages = messages }
            if let rate { options.messagesPerSecond = rate }
            options.policies = try policies?.split(separator: ",").map { try Policy(named: String($0)) } ?? []
            return options
        }

        private static func load(_ text: String) throws -> Double {
            guard let load = Double(text), load > 0, load <= 1000 else {
                throw CommandFailure.usage("--loads: \"\(text)\" is not a number above 0, at most 1000")
            }
            return load
        }

        private func files() throws -> LabFiles { LabFiles(trace: try file(trace), offline: try file(offline)) }

        private func file(_ path: String?) throws -> LabFile? {
            guard let path else { return nil }
            guard let data = FileManager.default.contents(atPath: path) else {
                throw CommandFailure.usage("\(path): cannot be read")
            }
            return LabFile(name: URL(fileURLWithPath: path).lastPathComponent, bytes: [UInt8](data))
        }
    }
}

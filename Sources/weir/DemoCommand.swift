import ArgumentParser
import Composition
import Demo

/// `weir demo`: the whole product on one machine, without a GPU.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "See it: simulated servers, gateway, queue and traffic in one command.",
        discussion: "Takes under three minutes. On a terminal the gateway then goes on running until Ctrl-C.")

    @Option(help: "Messages in each push.")
    var messages: Int = 6000

    @Option(help: "Length of an act, in seconds.")
    var seconds: Double = 25

    @Option(help: "Where the report goes.")
    var report: String = "weir-demo.html"

    @Option(help: "Seed of traffic and messages.")
    var seed: UInt64 = 1

    @Flag(help: "Leave the gateway running at the end even if nobody watches.")
    var keepRunning = false

    func validate() throws {
        guard (1...100_000).contains(messages) else { throw ValidationError("--messages must be 1 to 100000.") }
        guard (5...600).contains(seconds) else { throw ValidationError("--seconds must be 5 to 600.") }
    }

    func run() async throws {
        var options = DemoOptions()
        options.messages = messages
        options.actSeconds = seconds
        options.reportPath = report
        options.seed = seed
        options.isTerminal = StandardStreams.outputIsTerminal
        options.staysUp = keepRunning || options.isTerminal
        let demo = Demo(options: options, version: Version.current) { StandardStreams.output(Array($0.utf8)) }
        do {
            try await demo.run {
                StandardStreams.output(Array("Stop with Ctrl-C.\n".utf8))
                await Signals.wait()
            }
        } catch let error as ServiceError {
            throw CommandFailure.failed(error.description)
        }
    }
}

import ArgumentParser

/// The command line of Weir; one file per subcommand, wiring only.
struct Weir: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weir",
        abstract: "One pool of model servers, two tempos: real-time first, batch on whatever is left.",
        version: "weir \(Version.current)",
        subcommands: [
            ServeCommand.self, AsyncCommand.self, SimCommand.self, DemoCommand.self, LabCommand.self,
            SubmitCommand.self,
            ResultsCommand.self, QueueCommand.self, PubSubCommand.self, ConfigCommand.self,
        ]
    )
}

/// Runs the command line and turns every outcome into the promised exit code: 0 success, 1 failure, 2 bad usage or
/// bad configuration, with one plain sentence on standard error.
@main
enum Main {
    static func main() async {
        StandardStreams.prepare()
        FileLimit.raise()
        MemoryArenas.limit()
        do {
            var command = try Weir.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            StandardStreams.error("weir: \(failure.message)")
            Weir.exit(withError: ExitCode(failure.exitCode))
        } catch {
            let code = Weir.exitCode(for: error)
            let message = Weir.fullMessage(for: error)
            if code == .success {
                print(message)
            } else if !message.isEmpty {
                StandardStreams.error(message)
            }
            Weir.exit(withError: code == .validationFailure ? ExitCode(2) : code)
        }
    }
}

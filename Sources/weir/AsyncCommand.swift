import ArgumentParser
import AsyncFlags
import Composition
import Foundation
import Logging
import WeirConfiguration

/// `weir async`: the asynchronous processor alone, with the command line of llm-d-async.
struct AsyncCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "async",
        abstract: "Run the asynchronous processor with the flags and files of llm-d-async.",
        discussion: """
            weir async --transport redis-sortedset --transport-config-file transport.json
            weir async … --print-config > weir.yaml     the same as a file for `weir serve --config`
            weir async --help                           every flag
            """)

    @Argument(parsing: .captureForPassthrough, help: "The flags of llm-d-async, and --print-config.")
    var arguments: [String] = []

    private static let printFlags: Set<String> = ["-print-config", "--print-config"]
    /// Longest file that is read, in bytes.
    private static let fileLimit = 1 << 20

    func run() async throws {
        if AsyncFlags.asksForHelp(arguments) {
            print("\(Weir.helpMessage(for: Self.self))\n\(AsyncFlags.help)", terminator: "")
            return
        }
        let flags = try translation()
        for note in flags.notes { StandardStreams.error("weir: \(note)") }
        if arguments.contains(where: Self.printFlags.contains) {
            let file = flags.file
            for note in file.notes { StandardStreams.error("weir: \(note)") }
            print(file.yaml, terminator: "")
            return
        }
        let service = WeirService(
            configuration: flags.configuration, version: Version.current, logLevel: Self.level(flags.verbosity))
        do {
            try await service.run(onReady: ServiceAnnouncement.write, untilStopped: { await Signals.wait() })
        } catch let error as ServiceError {
            throw error.isConfiguration ? CommandFailure.usage(error.description) : .failed(error.description)
        }
    }

    private func translation() throws(CommandFailure) -> AsyncFlags {
        do throws(ConfigurationError) {
            return try AsyncFlags(
                arguments.filter { !Self.printFlags.contains($0) }, environment: ProcessInfo.processInfo.environment,
                read: Self.text)
        } catch {
            throw .usage(error.description)
        }
    }

    private static func text(of path: String) throws(ConfigurationError) -> String {
        func fault(_ message: String) -> ConfigurationError {
            ConfigurationError(problems: [ConfigurationProblem(file: path, keyPath: "", message: message)])
        }
        guard let handle = FileHandle(forReadingAtPath: path) else { throw fault("cannot be read") }
        defer { try? handle.close() }
        let bytes: Data
        do {
            bytes = try handle.read(upToCount: fileLimit + 1) ?? Data()
        } catch {
            throw fault("cannot be read")
        }
        guard bytes.count <= fileLimit else { throw fault("is longer than 1 MiB") }
        guard let text = String(data: bytes, encoding: .utf8) else { throw fault("is not UTF-8 text") }
        return text
    }

    private static func level(_ verbosity: Int?) -> Logger.Level {
        switch verbosity {
        case nil, 2: .notice
        case .some(..<2): .warning
        case 3: .info
        default: .debug
        }
    }
}

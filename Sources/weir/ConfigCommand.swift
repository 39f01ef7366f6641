import ArgumentParser
import Composition
import EngineModel
import Telemetry
import WeirConfiguration

/// `weir config`: checks and explains configuration files.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Check a configuration file, or show what it amounts to.",
        subcommands: [Check.self, Show.self, Reference.self, Metrics.self])

    /// `weir config check`: says whether a file is sound.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Check a file; every problem is reported at once.")

        @Argument(help: "The configuration file.")
        var file = "weir.yaml"

        func run() throws {
            let configuration = try ConfigurationFile.load(file)
            do throws(ServiceError) {
                for notice in try WeirService.check(configuration) { print(notice) }
            } catch {
                throw CommandFailure.usage(error.description)
            }
            let endpoints = configuration.pools.reduce(0) { $0 + $1.endpoints.count }
            let queues = configuration.async?.queues.count ?? 0
            print(
                "\(file) is sound: \(configuration.pools.count) pool(s), \(endpoints) endpoint(s), \(queues) queue(s)")
        }
    }

    /// `weir config show`: prints every setting in force.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print every setting in force, defaults included.")

        @Argument(help: "The configuration file.")
        var file = "weir.yaml"

        func run() throws { print(try ConfigurationFile.load(file).effectiveYAML(), terminator: "") }
    }

    /// `weir config reference`: prints the reference page.
    struct Reference: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the reference of all settings as Markdown.")

        func run() throws { print(ConfigurationReference.markdown(), terminator: "") }
    }
}

extension ConfigCommand {
    /// `weir config metrics`: prints the metrics page.
    struct Metrics: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the reference of all metrics as Markdown.")

        func run() throws { print(MetricCatalog.markdown(), terminator: "") }
    }
}

/// Reads configuration files for commands.
enum ConfigurationFile {
    /// Reads and checks a file.
    static func load(_ path: String) throws(CommandFailure) -> Configuration {
        do throws(ConfigurationError) {
            return try Configuration.load(path: path, enginePresets: EngineConfiguration.presetNames)
        } catch {
            throw .usage(error.description)
        }
    }
}

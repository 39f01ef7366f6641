import ArgumentParser
import Composition
import PubSubQueue
import WeirConfiguration

/// `weir pubsub`: prepares Google Cloud Pub/Sub for a queue.
struct PubSubCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pubsub", abstract: "Prepare Google Cloud Pub/Sub for a queue.", subcommands: [Setup.self])

    /// `weir pubsub setup`: creates topics and subscriptions.
    struct Setup: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Create the topics and subscriptions of a queue with the settings that we recommend.",
            discussion: """
                Creates NAME-requests, NAME-results and NAME-dead-letters, each a topic with a subscription of the same \
                name. What it did goes to standard error, and the configuration that goes with it to standard output. What \
                is there already stays; running it again is harmless.

                    weir pubsub setup --project my-project --name batch --target https://gateway.example >weir.yaml

                It fails if a subscription is there with settings that Pub/Sub does not change, such as its order.

                With PUBSUB_EMULATOR_HOST set it works on the emulator. Credentials are those of Google's own tools: \
                GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the metadata server.
                """)

        @Option(help: "The Google Cloud project. Default: GOOGLE_CLOUD_PROJECT, or what the credentials say.")
        var project: String?

        @Option(help: "The word that all names begin with.")
        var name: String = "weir"

        @Flag(help: "Deliver requests with the same ordering key one after the other.")
        var ordered = false

        @Flag(help: "Change subscriptions that are there and set otherwise, where Pub/Sub allows it.")
        var update = false

        @Option(
            help: "The gateway that requests are sent to, for the configuration, as https://host or http://host:port.")
        var target: String?

        @Option(help: "A service account's key file, or a user's credentials file.")
        var credentials: String?

        @Option(help: "Another server than Google's, as host:port.")
        var endpoint: String?

        func run() async throws {
            do {
                if let target, !Self.isURL(target) {
                    throw CommandFailure.usage("--target \(target): write it as https://host or http://host:port")
                }
                let endpoint = try endpoint.map { try PubSubEndpoint($0) }
                let connection = try PubSubConnectionSettings(
                    endpoint: endpoint, credentialsFile: credentials, user: "weir pubsub setup")
                let project = try await project(connection)
                let setup = try PubSubSetup(project: project, name: name, isOrdered: ordered)
                let outcomes = try await setup.apply(connection, updatesExisting: update)
                for outcome in outcomes { StandardStreams.error(outcome.description) }
                for outcome in outcomes where !outcome.cannotBeChanged {
                    if let advice = outcome.advice { StandardStreams.error(advice) }
                }
                let fixed = outcomes.filter(\.cannotBeChanged).compactMap(\.advice)
                guard fixed.isEmpty else { throw CommandFailure.failed(fixed.joined(separator: "; ")) }
                print(configurationText(project: project, server: endpoint))
            } catch let error as PubSubError {
                throw error.kind == .invalid ? CommandFailure.usage("\(error)") : .failed("\(error)")
            } catch let error as ServiceError {
                throw error.isConfiguration ? CommandFailure.usage(error.description) : .failed(error.description)
            }
        }

        private func project(_ connection: PubSubConnectionSettings) async throws -> String {
            if let project { return project }
            do {
                return try await GoogleProject.discover(
                    credentialsFile: credentials, asksServers: connection.endpoint.usesTLS)
            } catch {
                throw CommandFailure.usage("name the project with --project: \(error)")
            }
        }

        /// One that can stand in the configuration between quotes.
        private static func isURL(_ text: String) -> Bool {
            let isHTTP = ["https://", "http://"].contains { text.hasPrefix($0) && text.utf8.count > $0.utf8.count }
            return isHTTP && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }
        }

        /// A configuration to be served as it is, or with pools of its own where there is no target.
        private func configurationText(project: String, server: PubSubEndpoint?) -> String {
            var lines: [String] = []
            if target == nil {
                lines += [
                    "# Requests go to the gateway of this process, which needs the pools of model servers:",
                    "# pools:", "#   - name: main", "#     endpoints:", "#       - url: http://127.0.0.1:8000",
                    "# or to another one, named below as the `target`.",
                ]
            }
            lines += ["async:"]
            if let target {
                lines += ["  target:", "    url: \"\(target)\""]
            } else {
                lines += ["  # target:", "  #   url: https://gateway.example"]
            }
            lines += [
                "  queues:", "    - name: \"\(name)\"", "      pubsub:", "        project: \"\(project)\"",
                "        subscription: \(name)-requests", "        resultTopic: \(name)-results",
                "        deadLetterTopic: \(name)-dead-letters", "        requestTopic: \(name)-requests",
            ]
            if let server { lines.append("        endpoint: \(server.usesTLS ? "https" : "http")://\(server)") }
            if let credentials {
                let path = credentials.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
                lines.append("        credentialsFile: \"\(path)\"")
            }
            return lines.joined(separator: "\n")
        }
    }
}

import ArgumentParser
import Composition
import EngineModel
import WeirConfiguration

/// `weir serve`: gateway, async processor, queue and admin server in one process.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Run the gateway and, beside it, the queue and its processor.",
        discussion: """
            With a file:     weir serve --config weir.yaml
            Without a file:  weir serve --endpoint http://localhost:8000
            """)

    @Option(help: "The configuration file.")
    var config: String?

    @Option(help: "A model server; repeat for more. Needs no file: its models and its engine are asked for.")
    var endpoint: [String] = []

    @Option(help: "The queue's file; `none` switches the asynchronous path off. Default: \(QueueOptions.defaultPath).")
    var queue: String?

    @Option(help: "The gateway's address. Overrides the file.")
    var listen: String?

    @Option(help: "The admin server's address. Overrides the file.")
    var adminListen: String?

    func validate() throws {
        guard (config == nil) != endpoint.isEmpty else {
            throw ValidationError("Name either a file (--config weir.yaml) or model servers (--endpoint URL).")
        }
        guard config == nil || queue == nil else {
            throw ValidationError("--queue goes with --endpoint; with a file, the file says which queues there are.")
        }
    }

    func run() async throws {
        let service = WeirService(configuration: try settings(), version: Version.current)
        do {
            try await service.run(onReady: ServiceAnnouncement.write, untilStopped: { await Signals.wait() })
        } catch let error as ServiceError {
            throw error.isConfiguration ? CommandFailure.usage(error.description) : .failed(error.description)
        }
    }

    private func settings() throws -> Configuration {
        var settings: Configuration
        if let config {
            settings = try ConfigurationFile.load(config)
        } else {
            do {
                settings = try Configuration.forEndpoints(
                    endpoint, queuePath: queue == "none" ? nil : queue ?? QueueOptions.defaultPath)
            } catch {
                throw CommandFailure.usage(error.description)
            }
        }
        if let listen { settings.gateway.listen = try Self.address(listen, option: "--listen") }
        if let adminListen { settings.admin.listen = try Self.address(adminListen, option: "--admin-listen") }
        return settings
    }

    private static func address(_ text: String, option: String) throws -> ListenAddress {
        guard let address = ListenAddress(text) else {
            throw CommandFailure.usage("\(option): expected host:port, found \(text)")
        }
        return address
    }
}

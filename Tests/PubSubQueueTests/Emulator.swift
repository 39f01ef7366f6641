import Foundation
import TestProcesses

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where Google's Pub/Sub emulator is on this machine.
enum EmulatorInstallation {
    /// Why the tests that need it do not run.
    static let absence =
        "no Pub/Sub emulator here: install google-cloud-cli and google-cloud-cli-pubsub-emulator, and Java"

    /// The program, if it is installed.
    static let path: String? = {
        let roots = [
            output(of: "gcloud", "info", "--format=value(installation.sdk_root)"), "/usr/lib/google-cloud-sdk",
        ]
        let paths = roots.map { $0 + "/platform/pubsub-emulator/bin/cloud-pubsub-emulator" }
        guard let found = paths.first(where: FileManager.default.isExecutableFile(atPath:)) else {
            FileHandle.standardError.write(Data("\(absence)\n".utf8))
            return nil
        }
        return found
    }()

    static var isPresent: Bool { path != nil }

    private static func output(of program: String, _ arguments: String...) -> String {
        guard let (status, output) = try? ChildProcess.run(program, arguments), status == 0 else { return "" }
        return String(output.split(separator: "\n").last ?? "")
    }
}

struct EmulatorFailure: Error {
    let reason: String
}

/// A running emulator. It ends with this object, and with this process however that ends.
final class Emulator: Sendable {
    let port: Int
    private let process: ChildProcess

    /// The one that tests share, each with topics of its own.
    static func shared() async throws -> Emulator { try await sharedStart.value }

    private static let sharedStart = Task { try await Emulator(port: freePort()) }

    init(port: Int) async throws {
        guard let path = EmulatorInstallation.path else { throw EmulatorFailure(reason: EmulatorInstallation.absence) }
        self.port = port
        // The shell's standard input closes when this process ends, however it does, and then it kills the emulator.
        process = try ChildProcess(
            "/bin/sh",
            ["-c", "\"$0\" --host=127.0.0.1 --port=\(port) </dev/null & emulator=$!; read -r _; kill $emulator", path],
            environment: ["JAVA_OPTS": "-Xmx512m"])
        try await process.said("Server started")
    }

    /// Kills the emulator, and everything that it held; returns when it is gone.
    func stop() { process.kill() }

    deinit { stop() }

    /// A TCP port of the loopback interface on which nobody listens.
    static func freePort() throws -> Int {
        #if canImport(Darwin)
            let kind = SOCK_STREAM
        #else
            let kind = Int32(SOCK_STREAM.rawValue)
        #endif
        let descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { throw EmulatorFailure(reason: "no socket") }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let outcome = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, length) == 0 ? getsockname(descriptor, generic, &length) : -1
            }
        }
        guard outcome == 0 else { throw EmulatorFailure(reason: "no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

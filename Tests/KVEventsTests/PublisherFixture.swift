import Basics
import Foundation
import Glibc
import InferenceAPI
import KVEvents
import NIOCore
import NIOPosix
import Synchronization
import TestProcesses

/// A Python with libzmq, and the publisher that it runs.
enum PythonInstallation {
    static let absence =
        "no Python with pyzmq and msgspec: set WEIR_TEST_PYTHON, or `.venv/bin/pip install pyzmq msgspec`"

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static let script = root.appendingPathComponent("Tests/Processes/kv_publisher.py").path

    /// The interpreter, if it can run the publisher.
    static let path: String? = {
        let candidate =
            ProcessInfo.processInfo.environment["WEIR_TEST_PYTHON"]
            ?? root.appendingPathComponent(".venv/bin/python").path
        guard let (status, _) = try? ChildProcess.run(candidate, ["-c", "import zmq, msgspec"]), status == 0 else {
            FileHandle.standardError.write(Data("\(absence)\n".utf8))
            return nil
        }
        return candidate
    }()

    static var isPresent: Bool { path != nil }
}

struct FixtureFailure: Error { let reason: String }

struct TimedOut: Error { let waitedFor: String }

/// Looks again and again until something holds; for what no event tells of.
func eventually(_ what: String, within limit: Duration = .seconds(20), _ holds: () throws -> Bool) async throws {
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
        if try holds() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    throw TimedOut(waitedFor: what)
}

func freePort() async throws -> Int {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .bind(host: "127.0.0.1", port: 0).get()
    let port = channel.localAddress?.port ?? 0
    try await channel.close()
    return port
}

/// One event as the publisher's control line wants it.
struct PublishedEvent: Encodable {
    var stored: [UInt64]?
    var removed: [UInt64]?
    var cleared: Bool?
    var parent: UInt64?
    var tokens: [UInt32]?
    var size: Int?
    var medium: String?
    var lora: String?
    var extra: [[String]?]?
    var group: Int?
    var kind: String?

    static let cleared = PublishedEvent(cleared: true)

    static func removed(_ blocks: [UInt64], medium: String? = nil) -> PublishedEvent {
        PublishedEvent(removed: blocks, medium: medium)
    }
}

/// A running publisher; it ends with this object.
final class Publisher: Sendable {
    private struct Control {
        var descriptor: Int32 = -1
    }

    private struct Command: Encodable {
        var batches: [[PublishedEvent]]?
        var lose: Bool?
        var raw: [String]?
    }

    struct Answer: Decodable {
        let sequence: Int
        let replays: Int
    }

    private let process: ChildProcess
    private let control = Mutex(Control())

    init(port: Int, replayPort: Int?, options: String = "{}") async throws {
        guard let python = PythonInstallation.path else { throw FixtureFailure(reason: PythonInstallation.absence) }
        let controlPort = try await freePort()
        process = try ChildProcess(
            python, [PythonInstallation.script, "\(port)", "\(replayPort ?? 0)", "\(controlPort)", options])
        try await process.said("ready")
        try control.withLock { $0.descriptor = try Self.connect(to: controlPort) }
    }

    deinit { stop() }

    func stop() {
        control.withLock { control in
            if control.descriptor >= 0 { close(control.descriptor) }
            control.descriptor = -1
        }
        process.kill()
    }

    /// Stops it in its tracks, or lets it go on.
    func pause(_ isPaused: Bool) { process.signal(isPaused ? SIGSTOP : SIGCONT) }

    /// Publishes batches; with `lose` they are numbered and kept for replays, and sent to nobody.
    @discardableResult
    func publish(_ batches: [[PublishedEvent]], lose: Bool = false) throws -> Answer {
        try send(Command(batches: batches, lose: lose))
    }

    /// Sends parts, in hexadecimal, as they are.
    func publish(raw parts: [String]) throws { _ = try send(Command(raw: parts)) }

    func answer() throws -> Answer { try send(Command()) }

    private func send(_ command: Command) throws -> Answer {
        let line = try JSONEncoder().encode(command) + Data([10])
        return try control.withLock { control in
            var sent = 0
            while sent < line.count {
                let rest = Array(line.dropFirst(sent))
                let count = write(control.descriptor, rest, rest.count)
                guard count > 0 else { throw FixtureFailure(reason: "the publisher is gone") }
                sent += count
            }
            var answer: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while answer.last != 10 {
                let count = read(control.descriptor, &buffer, buffer.count)
                guard count > 0 else { throw FixtureFailure(reason: "the publisher is gone") }
                answer += buffer[..<count]
            }
            return try JSONDecoder().decode(Answer.self, from: Data(answer))
        }
    }

    private static func connect(to port: Int) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw FixtureFailure(reason: "no control connection") }
        return descriptor
    }
}

/// What an index would hold after the changes that were told.
final class IndexCopy: Sendable {
    struct Content {
        var gpu: Set<UInt64> = []
        var cpu: Set<UInt64> = []
        var clears = 0
        /// Changes that a careful sender would not have told.
        var redundant = 0

        mutating func apply(_ change: ResidencyChange) {
            switch change {
            case .store(let key, .gpu): redundant += gpu.insert(key).inserted ? 0 : 1
            case .store(let key, .cpu): redundant += cpu.insert(key).inserted ? 0 : 1
            case .remove(let key, .gpu): redundant += gpu.remove(key) == nil ? 1 : 0
            case .remove(let key, .cpu): redundant += cpu.remove(key) == nil ? 1 : 0
            case .clear:
                gpu = []
                cpu = []
                clears += 1
            }
        }
    }

    private let value = Mutex(Content())

    var content: Content { value.withLock { $0 } }

    func apply(_ changes: [ResidencyChange]) { value.withLock { content in changes.forEach { content.apply($0) } } }
}

/// A prompt of a test: tokens made from a number, in blocks whose engine hashes are made from it too.
struct Prompt {
    let number: UInt32
    let blocks: Int
    var size = 4
    var model = "llama"

    var tokens: [UInt32] { (0..<UInt32(blocks * size)).map { number &* 100_000 &+ $0 } }
    var hashes: [UInt64] { (0..<UInt64(blocks)).map { UInt64(number) << 32 | $0 | 1 << 60 } }
    /// The keys that an index should have.
    var keys: [UInt64] { PromptBlocks(tokens: tokens, tokensPerBlock: size, model: model).hashes }

    /// The event that stores its blocks from `first` on.
    func stored(from first: Int = 0, to end: Int? = nil, medium: String? = nil) -> PublishedEvent {
        let end = end ?? blocks
        return PublishedEvent(
            stored: Array(hashes[first..<end]), parent: first > 0 ? hashes[first - 1] : nil,
            tokens: Array(tokens[(first * size)..<(end * size)]), size: size, medium: medium,
            lora: model == "llama" ? nil : model)
    }
}

import Foundation
import Glibc
import Synchronization

/// A program that a test runs beside itself. It is killed at the end of this object's life.
///
/// Foundation's `Process` will not do here: tests start many programs at once, each inherits what the others are listened to by,
/// and the end of one is noticed only when another has ended too. This one hands nothing on but its three streams.
public final class ChildProcess: Sendable {
    private struct State {
        var status: Int32?
        var text = ""
    }

    /// The program could not be started, or ended before it said what was expected.
    public struct Failure: Error, CustomStringConvertible {
        /// What is known of it.
        public let description: String
    }

    private static let starting = Mutex(())

    /// Its process id, which is also that of its group.
    public let id: Int32
    /// Its standard input; closing it is all that can be done with it.
    private let input: Int32
    private let state = Mutex(State())
    private let pieces: AsyncStream<String>

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - environment: changes to the environment of this process.
    public init(
        _ program: String, _ arguments: [String] = [], in folder: String? = nil, environment: [String: String] = [:]
    ) throws {
        let all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let command = folder.map { ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", $0] } ?? []
        var words: [UnsafeMutablePointer<CChar>?] = (command + [program] + arguments).map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = all.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (words + variables).forEach { free($0) } }
        var inputEnds: [Int32] = [0, 0]
        var outputEnds: [Int32] = [0, 0]
        // One at a time: between the making of a pipe and its mark to be closed nothing else may be started.
        let (id, fault) = try Self.starting.withLock { _ in
            guard pipe(&inputEnds) == 0, pipe(&outputEnds) == 0 else {
                throw Failure(description: "no pipe: \(String(cString: strerror(errno)))")
            }
            for end in inputEnds + outputEnds { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            posix_spawn_file_actions_adddup2(&actions, inputEnds[0], 0)
            posix_spawn_file_actions_adddup2(&actions, outputEnds[1], 1)
            posix_spawn_file_actions_adddup2(&actions, outputEnds[1], 2)
            // Sockets of other tests would be kept open by the child. The C library's header hides this function from Swift.
            if let function = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") {
                typealias CloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
                _ = unsafeBitCast(function, to: CloseFrom.self)(&actions, 3)
            }
            var attributes = posix_spawnattr_t()
            posix_spawnattr_init(&attributes)
            defer { posix_spawnattr_destroy(&attributes) }
            posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
            var id: pid_t = 0
            let fault = posix_spawnp(&id, command.first ?? program, &actions, &attributes, &words, &variables)
            return (id, fault)
        }
        close(inputEnds[0])
        close(outputEnds[1])
        guard fault == 0 else {
            close(inputEnds[1])
            close(outputEnds[0])
            throw Failure(description: "\(program) does not start: \(String(cString: strerror(fault)))")
        }
        self.id = id
        input = inputEnds[1]
        let (stream, continuation) = AsyncStream<String>.makeStream()
        pieces = stream
        let output = outputEnds[0]
        // A thread of its own, so that nobody else's is held up by a read.
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(output, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                continuation.yield(String(decoding: buffer[..<count], as: UTF8.self))
            }
            close(output)
            continuation.finish()
        }
    }

    deinit {
        kill()
        close(input)
    }

    /// Returns once the program has written this text, to either of its streams. To be called once.
    public func said(_ text: String) async throws {
        for await piece in pieces {
            let all = state.withLock { state in
                state.text = String((state.text + piece).suffix(8000))
                return state.text
            }
            if all.contains(text) { return }
        }
        throw Failure(description: "it ended, and had said: \(state.withLock { $0.text })")
    }

    /// Whether it has not ended yet.
    public var isRunning: Bool { collect(WNOHANG) == nil }

    /// Sends a signal to it.
    public func signal(_ number: Int32) {
        if isRunning { _ = Glibc.kill(id, number) }
    }

    /// Ends it, and all that it has started, as `kill -9` does; returns when it has ended.
    public func kill() {
        guard isRunning else { return }
        _ = Glibc.kill(-id, SIGKILL)
        waitForEnd()
    }

    /// Returns when it has ended: its exit status, or the negative number of the signal that ended it.
    @discardableResult
    public func waitForEnd() -> Int32 { collect(0) ?? 0 }

    private func collect(_ options: Int32) -> Int32? {
        state.withLock { state in
            if let status = state.status { return status }
            var word: Int32 = 0
            var result: pid_t
            repeat { result = waitpid(id, &word, options) } while result == -1 && errno == EINTR
            guard result == id else { return result == 0 ? nil : -1 }
            let signal = word & 0x7F
            state.status = signal == 0 ? (word >> 8) & 0xFF : -signal
            return state.status
        }
    }

    /// Runs a program that ends soon by itself: its exit status, or the negative number of the signal that ended it, and what
    /// it wrote.
    public static func run(
        _ program: String, _ arguments: [String], in folder: String? = nil
    ) throws -> (status: Int32, output: String) {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("weir-output-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        let shell = try ChildProcess(
            "/bin/sh",
            ["-c", "out=\"$1\"; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null", "sh", file.path, program] + arguments,
            in: folder)
        let status = shell.waitForEnd()
        return (status, (try? String(contentsOf: file, encoding: .utf8)) ?? "")
    }
}

import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Takes whole lines from any thread without ever blocking, and writes them out on one thread of its own.
///
/// What waits is bounded: when the sink cannot keep up, new lines are dropped and counted. A sink that fails loses the
/// lines of that moment, counted too, and is tried again with the next ones.
public final class LineWriter: Sendable {
    private struct Pending {
        var bytes: [UInt8] = []
        var lines = 0
        var isDrainScheduled = false
        var droppedLines = 0
    }

    private let descriptor: Int32
    private let ownsDescriptor: Bool
    private let limitBytes: Int
    private let pending = Mutex(Pending())
    /// Held while writing, so that a flush and the writer thread keep the order of the lines.
    private let output = Mutex(())
    private let thread = NIOThreadPool(numberOfThreads: 1)

    /// Creates a writer.
    ///
    /// - Parameters:
    ///   - descriptor: an open file descriptor.
    ///   - ownsDescriptor: whether to close it at the end.
    ///   - limitBytes: the most bytes that wait.
    public init(descriptor: Int32, ownsDescriptor: Bool = false, limitBytes: Int = 1 << 20) {
        self.descriptor = descriptor
        self.ownsDescriptor = ownsDescriptor
        self.limitBytes = limitBytes
        thread.start()
    }

    /// Creates a writer that appends to a file, which is made if it is missing.
    ///
    /// - Throws: ``OpenFailure`` with the system's reason.
    public convenience init(appendingTo path: String, limitBytes: Int = 1 << 20) throws(OpenFailure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw OpenFailure(path: path, reason: String(cString: strerror(errno))) }
        self.init(descriptor: descriptor, ownsDescriptor: true, limitBytes: limitBytes)
    }

    /// A writer to standard error. Make one for the process and share it, so that lines do not interleave.
    public static func standardError(limitBytes: Int = 1 << 20) -> LineWriter {
        LineWriter(descriptor: STDERR_FILENO, limitBytes: limitBytes)
    }

    deinit {
        drain()
        thread.shutdownGracefully { _ in }
        if ownsDescriptor { _ = close(descriptor) }
    }

    /// Why a file could not be opened for appending.
    public struct OpenFailure: Error, CustomStringConvertible {
        /// The file.
        public let path: String
        /// The system's reason.
        public let reason: String
        /// One plain sentence.
        public var description: String { "cannot append to \(path): \(reason)" }
    }

    /// Whether the sink is a terminal, that is, whether people read the lines as they come.
    public var isTerminal: Bool { isatty(descriptor) == 1 }

    /// Lines lost so far.
    public var droppedLines: Int { pending.withLock { $0.droppedLines } }

    /// Hands over one line without its line feed. Never blocks on the sink.
    public func write(_ line: some Collection<UInt8>) {
        let mustSchedule = pending.withLock { pending in
            guard pending.bytes.count + line.count < limitBytes else {
                pending.droppedLines += 1
                return false
            }
            pending.bytes.append(contentsOf: line)
            pending.bytes.append(UInt8(ascii: "\n"))
            pending.lines += 1
            defer { pending.isDrainScheduled = true }
            return !pending.isDrainScheduled
        }
        if mustSchedule { thread.submit { _ in self.drain() } }
    }

    /// Writes what waits before it returns. May block on the sink: for the end of the process, and for tests.
    public func flush() { drain() }

    private func drain() {
        output.withLock { _ in
            while true {
                let taken = pending.withLock { pending in
                    let taken = (bytes: pending.bytes, lines: pending.lines)
                    pending.bytes = []
                    pending.lines = 0
                    if taken.lines == 0 { pending.isDrainScheduled = false }
                    return taken
                }
                guard taken.lines > 0 else { return }
                let unwritten = writeAll(taken.bytes)
                if unwritten > 0 { pending.withLock { $0.droppedLines += unwritten } }
            }
        }
    }

    /// Writes the bytes; returns how many lines were not written to their end.
    private func writeAll(_ bytes: [UInt8]) -> Int {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                #if canImport(Glibc)
                    Glibc.write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
                #elseif canImport(Musl)
                    Musl.write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
                #else
                    Darwin.write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
                #endif
            }
            if count >= 0 {
                written += count
            } else if errno == EAGAIN {
                // Someone made the shared standard error non-blocking: wait until it takes more.
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&waiting, 1, 1000)
            } else if errno != EINTR {
                return bytes[written...].count { $0 == UInt8(ascii: "\n") }
            }
        }
        return 0
    }
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Reads lines of bytes from a file or standard input without holding more than one line and one block.
struct LineReader: ~Copyable {
    /// Why reading failed.
    struct Failure: Error {
        /// The reason, for people.
        let reason: String
    }

    /// The longest line, in bytes.
    static let maximumLineBytes = 80 << 20
    private static let blockBytes = 1 << 18
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var scanned = 0
    private var isAtEnd = false
    /// The number of the line that was returned last, from 1.
    private(set) var lineNumber = 0
    /// Bytes read so far.
    private(set) var bytesRead = 0
    /// The size of the file; nil if it is no regular file.
    let totalBytes: Int?

    /// Opens `path`, or standard input for `-`.
    init(path: String) throws(Failure) {
        if path == "-" {
            descriptor = STDIN_FILENO
        } else {
            descriptor = open(path, O_RDONLY)
            guard descriptor >= 0 else { throw Failure(reason: String(cString: strerror(errno))) }
        }
        var status = stat()
        let isRegular = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        totalBytes = isRegular ? Int(status.st_size) : nil
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    /// The next line without its line end, or nil at the end.
    mutating func next() throws(Failure) -> [UInt8]? {
        while true {
            if let end = buffer[scanned...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(buffer[start..<end])
                start = end + 1
                scanned = start
                lineNumber += 1
                return line
            }
            scanned = buffer.count
            if isAtEnd {
                guard start < buffer.count else { return nil }
                let line = Array(buffer[start...])
                start = buffer.count
                lineNumber += 1
                return line
            }
            guard buffer.count - start <= Self.maximumLineBytes else {
                throw Failure(reason: "the line is longer than \(Self.maximumLineBytes >> 20) MiB")
            }
            try fill()
        }
    }

    private mutating func fill() throws(Failure) {
        buffer.removeFirst(start)
        scanned -= start
        start = 0
        let used = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: Self.blockBytes))
        let source = descriptor
        let count = buffer.withUnsafeMutableBytes { bytes in
            var result: Int
            repeat {
                result = bytes.baseAddress.map { read(source, $0 + used, Self.blockBytes) } ?? 0
            } while result < 0 && errno == EINTR
            return result
        }
        buffer.removeLast(Self.blockBytes - max(0, count))
        guard count >= 0 else { throw Failure(reason: String(cString: strerror(errno))) }
        bytesRead += count
        if count == 0 { isAtEnd = true }
    }
}

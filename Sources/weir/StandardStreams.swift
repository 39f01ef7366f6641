#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// What commands print, and whether a person is looking.
enum StandardStreams {
    /// A reader that closes our output early (`weir results | head`) ends the command through a failed write.
    static func prepare() { signal(SIGPIPE, SIG_IGN) }

    /// Whether standard input is a terminal.
    static var inputIsTerminal: Bool { isatty(STDIN_FILENO) == 1 }

    /// Whether standard output is a terminal.
    static var outputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Whether standard error is a terminal.
    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Writes one line to standard error.
    static func error(_ line: String) { write(Array((line + "\n").utf8), to: STDERR_FILENO) }

    /// Writes bytes to standard output; false once nobody reads it any more.
    @discardableResult
    static func output(_ bytes: [UInt8]) -> Bool { write(bytes, to: STDOUT_FILENO) }

    /// Rewrites the last line of standard error.
    static func progress(_ text: String) { write(Array("\r\u{1B}[2K\(text)".utf8), to: STDERR_FILENO) }

    @discardableResult
    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var offset = 0
            while offset < buffer.count {
                guard let base = buffer.baseAddress else { return true }
                #if canImport(Darwin)
                    let count = Darwin.write(descriptor, base + offset, buffer.count - offset)
                #elseif canImport(Musl)
                    let count = Musl.write(descriptor, base + offset, buffer.count - offset)
                #else
                    let count = Glibc.write(descriptor, base + offset, buffer.count - offset)
                #endif
                if count < 0 {
                    if errno == EINTR { continue }
                    return false
                }
                offset += count
            }
            return true
        }
    }
}

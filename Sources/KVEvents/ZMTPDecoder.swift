/// Why a peer's bytes are not acceptable.
public enum ZMTPDefect: Error, Hashable, Sendable {
    /// They are not a greeting of ZMTP 3.
    case notZMTP
    /// It wants another security mechanism than NULL.
    case mechanism(String)
    /// A frame with reserved flags, or a command in the middle of a message.
    case malformedFrame
    /// A command that is none, or is not allowed now.
    case malformedCommand
    /// A frame or message beyond the bounds.
    case tooLarge
    /// The peer says no.
    case refused(String)
}

/// Cuts the bytes of a ZMTP 3 peer into greeting, commands and messages. Total, and bounded: it never holds more than one
/// message of the allowed size and what one read brought.
///
/// Source: ZMTP 3.1, rfc.zeromq.org/spec/37.
public struct ZMTPDecoder: Sendable {
    /// Bounds on what a peer can make us hold.
    public struct Limits: Hashable, Sendable {
        /// All parts of a message, or the body of a command.
        public var maximumMessageBytes = 8 << 20
        /// Parts of a message.
        public var maximumParts = 8

        /// The defaults.
        public init() {}
    }

    /// What a peer sends.
    public enum Element: Hashable, Sendable {
        /// It speaks version 3 with this minor number.
        case greeting(minorVersion: UInt8)
        /// A command of the protocol.
        case command(name: String, data: [UInt8])
        /// A whole message.
        case message([[UInt8]])
    }

    static let greetingBytes = 64

    private let limits: Limits
    private var bytes: [UInt8] = []
    private var start = 0
    private var hasGreeting = false
    private var parts: [[UInt8]] = []
    private var partBytes = 0

    /// Awaits a greeting.
    public init(limits: Limits = Limits()) { self.limits = limits }

    /// Takes in what was read.
    public mutating func append(_ new: some Collection<UInt8>) {
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.capacity <= 65_536)
            start = 0
        } else if start > 65_536 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes.append(contentsOf: new)
    }

    /// The next whole element; nil until more bytes come.
    public mutating func next() throws(ZMTPDefect) -> Element? {
        guard hasGreeting else { return try greeting() }
        while let (flags, body) = try frame() {
            if flags & 0x04 != 0 {
                guard parts.isEmpty else { throw .malformedFrame }
                guard let length = body.first, body.count > Int(length), length > 0 else { throw .malformedCommand }
                let name = body.dropFirst().prefix(Int(length))
                guard name.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw .malformedCommand }
                return .command(
                    name: String(decoding: name, as: UTF8.self), data: Array(body.dropFirst(1 + Int(length))))
            }
            guard parts.count < limits.maximumParts else { throw .tooLarge }
            parts.append(Array(body))
            partBytes += body.count
            if flags & 0x01 == 0 {
                defer {
                    parts = []
                    partBytes = 0
                }
                return .message(parts)
            }
        }
        return nil
    }

    private mutating func greeting() throws(ZMTPDefect) -> Element? {
        // What is wrong from the first byte on is told at once: an HTTP server never sends 64 bytes of its own accord.
        if start < bytes.count, bytes[start] != 0xFF { throw .notZMTP }
        guard bytes.count - start >= Self.greetingBytes else { return nil }
        let greeting = bytes[start..<(start + Self.greetingBytes)]
        guard greeting[start + 9] == 0x7F, greeting[start + 10] >= 3 else { throw .notZMTP }
        let mechanism = greeting[(start + 12)..<(start + 32)].prefix { $0 != 0 }
        guard Array(mechanism) == Array("NULL".utf8) else {
            throw .mechanism(String(decoding: mechanism, as: UTF8.self))
        }
        hasGreeting = true
        // A later major version speaks 3.1 to us, as we have greeted with that.
        let minor = greeting[start + 10] > 3 ? 1 : greeting[start + 11]
        start += Self.greetingBytes
        return .greeting(minorVersion: minor)
    }

    private mutating func frame() throws(ZMTPDefect) -> (flags: UInt8, body: ArraySlice<UInt8>)? {
        guard let flags = bytes[start...].first else { return nil }
        // Reserved flags, and a command that says that it has more parts.
        guard flags & 0xF8 == 0, flags & 0x05 != 0x05 else { throw .malformedFrame }
        let headBytes = flags & 0x02 == 0 ? 2 : 9
        guard bytes.count - start >= headBytes else { return nil }
        let size = bytes[(start + 1)..<(start + headBytes)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard size <= UInt64(limits.maximumMessageBytes - partBytes) else { throw .tooLarge }
        let end = start + headBytes + Int(size)
        guard bytes.count >= end else { return nil }
        defer { start = end }
        return (flags, bytes[(start + headBytes)..<end])
    }
}

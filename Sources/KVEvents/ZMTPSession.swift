/// The state of one ZMTP connection that we have opened: handshake, subscription, heartbeats. Pure: bytes in, bytes and
/// messages out.
public struct ZMTPSession: Sendable {
    /// What the connection is for.
    public enum Purpose: Hashable, Sendable {
        /// A SUB socket: messages whose first part begins with `topic`.
        case subscription(topic: [UInt8])
        /// A DEALER socket: `request` is sent once it is open.
        case request([[UInt8]])

        var socketType: String {
            switch self {
            case .subscription: "SUB"
            case .request: "DEALER"
            }
        }

        /// What the peer may be.
        var peers: Set<String> {
            switch self {
            case .subscription: ["PUB", "XPUB"]
            case .request: ["ROUTER", "REP", "DEALER"]
            }
        }
    }

    /// What is to be done about what came.
    public enum Output: Hashable, Sendable {
        /// Send these bytes.
        case send([UInt8])
        /// The handshake is done, and the subscription or request is sent.
        case opened
        /// A message came.
        case message([[UInt8]])
    }

    private enum Phase { case greeting, ready, open }

    private let purpose: Purpose
    private var decoder: ZMTPDecoder
    private var phase = Phase.greeting
    private var peerMinorVersion: UInt8 = 0

    /// A connection whose first bytes are to be sent: `opening`.
    public init(_ purpose: Purpose, limits: ZMTPDecoder.Limits = .init()) {
        self.purpose = purpose
        decoder = ZMTPDecoder(limits: limits)
    }

    /// What is sent before anything comes.
    public var opening: [UInt8] { ZMTPFrames.greeting() }

    /// A heartbeat that a living peer answers; nil if it cannot be expected to know heartbeats. The peer may think us dead
    /// after `timeToLiveSeconds`.
    public func heartbeat(timeToLiveSeconds: Int) -> [UInt8]? {
        guard phase == .open, peerMinorVersion >= 1 else { return nil }
        let deciseconds = UInt64(min(max(timeToLiveSeconds, 0) * 10, Int(UInt16.max)))
        return ZMTPFrames.command("PING", ZMTPFrames.bigEndian(deciseconds).suffix(2))
    }

    /// Takes in what was read and appends what is to be done.
    public mutating func receive(
        _ bytes: some Collection<UInt8>, into outputs: inout [Output]
    ) throws(ZMTPDefect) {
        decoder.append(bytes)
        while let element = try decoder.next() {
            switch element {
            case .greeting(let minorVersion):
                peerMinorVersion = minorVersion
                phase = .ready
                outputs.append(.send(ZMTPFrames.ready(socketType: purpose.socketType)))
            case .command(let name, let data): try receive(command: name, data, into: &outputs)
            case .message(let parts):
                guard phase == .open else { throw .malformedFrame }
                outputs.append(.message(parts))
            }
        }
    }

    private mutating func receive(
        command name: String, _ data: [UInt8], into outputs: inout [Output]
    ) throws(ZMTPDefect) {
        switch (name, phase) {
        case ("READY", .ready):
            let type = try Self.socketType(in: data)
            guard purpose.peers.contains(type) else { throw .refused("it is a \(type) socket") }
            phase = .open
            switch purpose {
            case .subscription(let topic):
                outputs.append(.send(ZMTPFrames.subscribe(to: topic, peerMinorVersion: peerMinorVersion)))
            case .request(let parts): outputs.append(.send(ZMTPFrames.message(parts)))
            }
            outputs.append(.opened)
        case ("ERROR", _): throw .refused(String(decoding: data.dropFirst().prefix(255), as: UTF8.self))
        case ("PING", .open):
            // Two bytes of time to live, then a context of at most 16 that goes back.
            outputs.append(.send(ZMTPFrames.command("PONG", Array(data.dropFirst(2).prefix(16)))))
        case (_, .open): break
        default: throw .malformedCommand
        }
    }

    /// The `Socket-Type` among the properties of a READY command; names are compared without case.
    private static func socketType(in data: [UInt8]) throws(ZMTPDefect) -> String {
        var rest = data[...]
        while let length = rest.popFirst() {
            let name = rest.prefix(Int(length))
            rest = rest.dropFirst(Int(length))
            guard name.count == Int(length), rest.count >= 4 else { throw .malformedCommand }
            let size = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(4)
            guard rest.count >= size else { throw .malformedCommand }
            if String(decoding: name, as: UTF8.self).lowercased() == "socket-type" {
                return String(decoding: rest.prefix(size).prefix(32), as: UTF8.self)
            }
            rest = rest.dropFirst(size)
        }
        throw .malformedCommand
    }
}

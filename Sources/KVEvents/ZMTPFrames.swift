/// What goes to a ZMTP peer, as bytes.
///
/// Source: ZMTP 3.1, rfc.zeromq.org/spec/37 (3.0: spec/23).
enum ZMTPFrames {
    /// The NULL mechanism, version 3.1: all 64 bytes at once.
    static func greeting() -> [UInt8] {
        var bytes: [UInt8] = [0xFF] + [UInt8](repeating: 0, count: 7) + [1, 0x7F, 3, 1]
        bytes += Array("NULL".utf8)
        bytes += [UInt8](repeating: 0, count: ZMTPDecoder.greetingBytes - bytes.count)
        return bytes
    }

    /// A command.
    static func command(_ name: String, _ data: [UInt8] = []) -> [UInt8] {
        let name = Array(name.utf8.prefix(255))
        return frame([UInt8(name.count)] + name + data, kind: 0x04)
    }

    /// The one command of the NULL mechanism's handshake.
    static func ready(socketType: String) -> [UInt8] {
        var data = property("Socket-Type", Array(socketType.utf8))
        if socketType == "DEALER" { data += property("Identity", []) }
        return command("READY", data)
    }

    /// A subscription: a command since 3.1, a message before.
    static func subscribe(to topic: [UInt8], peerMinorVersion: UInt8) -> [UInt8] {
        peerMinorVersion >= 1 ? command("SUBSCRIBE", topic) : frame([1] + topic, kind: 0)
    }

    /// A message of several parts.
    static func message(_ parts: [[UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (index, part) in parts.enumerated() { bytes += frame(part, kind: index + 1 < parts.count ? 0x01 : 0) }
        return bytes
    }

    private static func property(_ name: String, _ value: [UInt8]) -> [UInt8] {
        let name = Array(name.utf8)
        return [UInt8(name.count)] + name + bigEndian(UInt64(value.count)).suffix(4) + value
    }

    private static func frame(_ body: [UInt8], kind: UInt8) -> [UInt8] {
        if let count = UInt8(exactly: body.count) { return [kind, count] + body }
        return [kind | 0x02] + bigEndian(UInt64(body.count)) + body
    }

    /// The 8 bytes of a number, most significant first.
    static func bigEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
    }
}

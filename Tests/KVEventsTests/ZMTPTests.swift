import Basics
import Testing

@testable import KVEvents

/// Bytes worked out from the specification.
@Suite struct ZMTPTests {
    private static let peerGreeting =
        octets("ff00000000000000017f03014e554c4c") + [UInt8](repeating: 0, count: 48)
    /// READY, Socket-Type = PUB.
    private static let ready =
        octets("0419") + [5] + Array("READY".utf8) + [11] + Array("Socket-Type".utf8)
        + octets("00000003") + Array("PUB".utf8)

    private func outputs(
        _ session: inout ZMTPSession, _ bytes: [UInt8]
    ) throws(ZMTPDefect) -> [ZMTPSession.Output] {
        var outputs: [ZMTPSession.Output] = []
        try session.receive(bytes, into: &outputs)
        return outputs
    }

    private func opened(
        _ purpose: ZMTPSession.Purpose = .subscription(topic: Array("kv@".utf8)), limits: ZMTPDecoder.Limits = .init()
    ) throws -> ZMTPSession {
        var session = ZMTPSession(purpose, limits: limits)
        _ = try outputs(&session, Self.peerGreeting + Self.ready)
        return session
    }

    @Test func whatGoesOut() {
        let greeting = octets("ff00000000000000017f03014e554c4c") + [UInt8](repeating: 0, count: 48)
        #expect(ZMTPFrames.greeting() == greeting)
        #expect(greeting.count == 64)
        #expect(
            ZMTPFrames.ready(socketType: "SUB")
                == octets("0419055245414459" + "0b536f636b65742d54797065" + "00000003" + "535542"))
        #expect(
            ZMTPFrames.ready(socketType: "DEALER")
                == octets(
                    "0429055245414459" + "0b536f636b65742d54797065" + "00000006" + "4445414c4552" + "084964656e74697479"
                        + "00000000"))
        #expect(ZMTPFrames.subscribe(to: [0x6B], peerMinorVersion: 0) == octets("0002016b"))
        #expect(ZMTPFrames.subscribe(to: [0x6B], peerMinorVersion: 1) == octets("040b09535542534352494245" + "6b"))
        #expect(ZMTPFrames.message([[], [1, 2]]) == octets("0100" + "00020102"))
        let long = [UInt8](repeating: 7, count: 256)
        #expect(ZMTPFrames.message([long]) == octets("020000000000000100") + long)
        #expect(KVEventMessage.replayRequest(from: 258) == [[], octets("0000000000000102")])
    }

    @Test(arguments: [1, 3, 64, 1000])
    func aSubscriptionInPiecesOfAnySize(_ size: Int) throws {
        let long = [UInt8](repeating: 9, count: 300)
        // A message of three parts, a PING with context, another message.
        let bytes =
            Self.peerGreeting + Self.ready + octets("0103" + "6b7640" + "0100") + octets("02000000000000012c") + long
            + octets("040a0450494e470000616263") + octets("000158")
        var session = ZMTPSession(.subscription(topic: Array("kv@".utf8)))
        var all: [ZMTPSession.Output] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            all += try outputs(&session, Array(bytes[start..<min(bytes.count, start + size)]))
        }
        #expect(
            all == [
                .send(ZMTPFrames.ready(socketType: "SUB")),
                .send(ZMTPFrames.subscribe(to: Array("kv@".utf8), peerMinorVersion: 1)), .opened,
                .message([Array("kv@".utf8), [], long]), .send(octets("040804504f4e47616263")), .message([[0x58]]),
            ])
        #expect(session.heartbeat(timeToLiveSeconds: 3) == octets("04070450494e47001e"))
    }

    @Test func anOlderPeerGetsItsSubscriptionAsAMessage() throws {
        var greeting = Self.peerGreeting
        greeting[11] = 0
        var session = ZMTPSession(.subscription(topic: [0x6B]))
        let all = try outputs(&session, greeting + Self.ready)
        #expect(all == [.send(ZMTPFrames.ready(socketType: "SUB")), .send(octets("0002016b")), .opened])
        #expect(session.heartbeat(timeToLiveSeconds: 3) == nil)
    }

    @Test func aRequestGoesOutOnceTheRouterIsReady() throws {
        var session = ZMTPSession(.request([[], [1]]))
        let ready =
            octets("041c") + [5] + Array("READY".utf8) + [11] + Array("SOCKET-TYPE".utf8) + octets("00000006")
            + Array("ROUTER".utf8)
        let all = try outputs(&session, Self.peerGreeting + ready)
        #expect(all == [.send(ZMTPFrames.ready(socketType: "DEALER")), .send(octets("0100" + "000101")), .opened])
    }

    @Test func wrongPeersAreTold() throws {
        #expect(throws: ZMTPDefect.notZMTP) {
            var session = ZMTPSession(.request([]))
            _ = try outputs(&session, Array("HTTP/1.1 400 Bad Request\r\n".utf8))
        }
        #expect(throws: ZMTPDefect.mechanism("CURVE")) {
            var session = ZMTPSession(.request([]))
            var greeting = Self.peerGreeting
            greeting.replaceSubrange(12..<17, with: Array("CURVE".utf8))
            _ = try outputs(&session, greeting)
        }
        #expect(throws: ZMTPDefect.refused("it is a PUB socket")) {
            var session = ZMTPSession(.request([]))
            _ = try outputs(&session, Self.peerGreeting + Self.ready)
        }
        #expect(throws: ZMTPDefect.refused("no")) {
            var session = ZMTPSession(.request([]))
            _ = try outputs(&session, Self.peerGreeting + octets("0409" + "054552524f52" + "026e6f"))
        }
        #expect(throws: ZMTPDefect.malformedFrame) {
            var session = ZMTPSession(.request([]))
            _ = try outputs(&session, Self.peerGreeting + octets("000158"))
        }
    }

    @Test func whatIsTooLargeEndsBeforeItIsHeld() throws {
        var limits = ZMTPDecoder.Limits()
        limits.maximumMessageBytes = 100
        limits.maximumParts = 3
        let overflow: [(String, ZMTPDefect)] = [
            ("0065", .tooLarge), ("02ffffffffffffffff", .tooLarge), ("020000000000000065", .tooLarge),
            ("0664" + "00000000000065", .tooLarge), ("0100010001000100", .tooLarge), ("0800", .malformedFrame),
            ("0500", .malformedFrame), ("0400", .malformedCommand), ("0401ff", .malformedCommand),
            ("0402" + "0120", .malformedCommand), ("0100" + "0405" + "0450494e47", .malformedFrame),
        ]
        for (bytes, defect) in overflow {
            var session = try opened(limits: limits)
            #expect(throws: defect, "\(bytes)") { _ = try outputs(&session, octets(bytes)) }
        }
        // The parts of a message count together.
        var session = try opened(limits: limits)
        _ = try outputs(&session, [1, 60] + [UInt8](repeating: 0, count: 60))
        #expect(throws: ZMTPDefect.tooLarge) { _ = try outputs(&session, [0, 41]) }
    }

    @Test func anyBytesGiveMessagesOrADefect() throws {
        var random = SeededGenerator(seed: 11)
        var defects = 0
        var messages = 0
        for _ in 0..<3000 {
            var session = try opened()
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let length = Int.random(in: 0...20, using: &random)
                let kinds: [UInt8] = [0, 0, 1, 4, UInt8.random(in: 0...255, using: &random)]
                bytes += [kinds[Int.random(in: 0..<5, using: &random)], UInt8(length)]
                bytes += (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            }
            do {
                messages += try outputs(&session, bytes).filter { if case .message = $0 { true } else { false } }.count
            } catch { defects += 1 }
        }
        #expect(defects > 500)
        #expect(messages > 500)
    }
}

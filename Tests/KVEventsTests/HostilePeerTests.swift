import Basics
import KVEvents
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Peers that are no publishers, or bad ones.
@Suite struct HostilePeerTests {
    /// Sends its bytes to whoever connects, and listens to nothing.
    private final class Speaker: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        private let bytes: [UInt8]
        private let closes: Bool
        private let accepted: Mutex<Int>

        init(_ bytes: [UInt8], closes: Bool) {
            self.bytes = bytes
            self.closes = closes
            accepted = Mutex(0)
        }

        var connections: Int { accepted.withLock { $0 } }

        func channelActive(context: ChannelHandlerContext) {
            accepted.withLock { $0 += 1 }
            context.writeAndFlush(NIOAny(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
            if closes { context.close(promise: nil) }
        }
    }

    private static let greeting = octets("ff00000000000000017f03014e554c4c") + [UInt8](repeating: 0, count: 48)
    private static let ready =
        octets("0419") + [5] + Array("READY".utf8) + [11] + Array("Socket-Type".utf8)
        + octets("00000003") + Array("PUB".utf8)

    struct Peer: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let bytes: [UInt8]
        var closes = false
        let reason: String
    }

    static let peers = [
        Peer(testDescription: "HTTP", bytes: Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), reason: "notZMTP"),
        Peer(testDescription: "silence", bytes: [], reason: "in time"),
        Peer(testDescription: "half a greeting", bytes: Array(greeting.prefix(20)), reason: "in time"),
        Peer(testDescription: "a greeting only", bytes: greeting, closes: true, reason: "closed"),
        Peer(
            testDescription: "a large frame", bytes: greeting + ready + octets("020000010000000000"), reason: "tooLarge"
        ),
        Peer(
            testDescription: "many parts", bytes: greeting + ready + [UInt8](repeating: 1, count: 100_000),
            reason: "tooLarge"),
        Peer(
            testDescription: "an error", bytes: greeting + octets("0409" + "054552524f52" + "026e6f"), reason: "refused"
        ),
        Peer(
            testDescription: "a message without end",
            bytes: greeting + ready + octets("02000000000000ffff") + [UInt8](repeating: 1, count: 50_000),
            closes: true,
            reason: "closed"),
    ]

    @Test(arguments: peers)
    func theyAreGivenUpAndTriedAgain(_ peer: Peer) async throws {
        let speaker = Speaker(peer.bytes, closes: peer.closes)
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(speaker) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        var settings = KVEventSettings()
        settings.connectTimeout = .milliseconds(100)
        settings.firstPause = .milliseconds(10)
        settings.maximumPause = .milliseconds(20)
        let index = IndexCopy()
        let subscriber = KVEventSubscriber(
            KVEventSource(host: "127.0.0.1", port: server.localAddress?.port ?? 0, model: "m"), settings: settings
        ) { index.apply($0) }
        do {
            try await eventually("three attempts") { speaker.connections >= 3 }
            try await eventually("its reason, not \(subscriber.status.connection)") {
                if case .connecting(let reason?) = subscriber.status.connection {
                    reason.contains(peer.reason)
                } else {
                    false
                }
            }
        } catch {
            await subscriber.close()
            try await server.close()
            throw error
        }
        await subscriber.close()
        try await server.close()
        #expect(subscriber.status.connection == .closed)
        #expect(index.content.gpu.isEmpty)
    }

    @Test(.enabled(if: PythonInstallation.isPresent)) func aBadReplayDoesNotKeepTheSubscriptionUp() async throws {
        let speaker = Speaker(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), closes: true)
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(speaker) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try await freePort()
        let publisher = try await Publisher(port: port, replayPort: nil)
        var settings = KVEventSettings()
        settings.replayRetryPauses = [.milliseconds(1), .milliseconds(2)]
        let index = IndexCopy()
        let subscriber = KVEventSubscriber(
            KVEventSource(host: "127.0.0.1", port: port, replayPort: server.localAddress?.port, model: "llama"),
            settings: settings
        ) { index.apply($0) }
        let prompt = Prompt(number: 1, blocks: 3)
        // What comes while the replay is tried waits, and counts when it is given up.
        try await eventually("all blocks") {
            try publisher.publish([[prompt.stored()]])
            return index.content.gpu == Set(prompt.keys)
        }
        #expect(subscriber.status.counters.sequence.failedReplays == 3)
        await subscriber.close()
        try await server.close()
    }
}

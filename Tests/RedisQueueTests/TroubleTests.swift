import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import Synchronization
import Testing

@testable import RedisQueue

extension ServerTests {
    /// What the operator gets to read.
    @Suite struct TroubleTests {
        @Test func aServerThatIsNotThereAtFirstIsToldOnceAndItsReturnToo() async throws {
            try await RedisServer.run { server in
                server.kill()
                try await server.withClient { client in
                    let troubles = Troubles()
                    var configuration = RedisSortedSetQueue.Configuration()
                    configuration.reportsError = troubles.note
                    let queue = RedisSortedSetQueue(client: client, configuration: configuration)
                    var channel = RedisChannelQueue.Configuration()
                    let channelTroubles = Troubles()
                    channel.reportsError = channelTroubles.note
                    let other = RedisChannelQueue(client: client, configuration: channel)
                    for troubles in [troubles, channelTroubles] {
                        try await eventually("the trouble", within: .seconds(3)) {
                            troubles.texts.count >= 1 ? true : nil
                        }
                    }
                    // Several attempts later nothing more has been said.
                    try await Task.sleep(for: .seconds(1))
                    try await server.start()
                    for troubles in [troubles, channelTroubles] {
                        try await eventually("the recovery", within: .seconds(20)) {
                            troubles.texts.count >= 2 ? true : nil
                        }
                        #expect(troubles.texts.count == 2)
                        #expect(troubles.texts[0].contains("the connection failed: Connection refused"))
                        #expect(troubles.texts[1].hasSuffix("can be used again"))
                    }
                    await queue.close()
                    await other.close()
                }
            }
        }

        @Test func aLastingErrorIsToldOnceAndWhatLiesInStockIsKept() async throws {
            let troubles = Troubles()
            try await RedisServer.withQueue {
                $0.reportsError = troubles.note
            } body: { _, client, queue in
                _ = try await queue.enqueue([message("x", body: obscureBody("a"))])
                #expect(try await queue.take(1, lease: 1, excluding: ["a"]).isEmpty)
                let owners = try await client.type("HVALS", "request-sortedset:claim-owners")
                try await client.type("DEL", "retry-sortedset")
                try await client.type("SET", "retry-sortedset", "a string")
                try await Task.sleep(for: .milliseconds(2500))
                #expect(troubles.texts.count == 1)
                #expect(troubles.texts.first?.contains("WRONGTYPE") == true)
                #expect(try await client.type("HVALS", "request-sortedset:claim-owners") == owners)
                try await client.type("DEL", "retry-sortedset")
                try await eventually("the end of it") { troubles.texts.count == 2 ? true : nil }
                #expect(troubles.texts[1].hasSuffix("can be used again"))
            }
        }

        @Test func aChannelThatCannotGiveBackClosesSoonAndSaysSo() async throws {
            let troubles = Troubles()
            try await RedisServer.run { server in
                try await server.withClient {
                    $0.commandTimeout = .milliseconds(500)
                } body: { client in
                    var configuration = RedisChannelQueue.Configuration()
                    configuration.reportsError = troubles.note
                    let queue = RedisChannelQueue(client: client, configuration: configuration)
                    try await eventually("the subscription") { queue.status == .active ? true : nil }
                    for n in 0..<1000 {
                        try await client.type(
                            "PUBLISH", "request-queue",
                            #"{"internal":{},"request_kind":"pubsub","data":{"id":"\#(n)","deadline":2000000000,"payload":{}}}"#
                        )
                    }
                    try await eventually("all") { queue.statistics.received == 1000 ? true : nil }
                    server.kill()
                    let start = ContinuousClock.now
                    await queue.close()
                    // Sixteen batches would have taken eight seconds.
                    #expect(ContinuousClock.now - start < .seconds(4))
                    #expect(!troubles.texts.isEmpty)
                }
            }
        }

        @Test func aStoppedChannelKeepsNothingInMemory() async throws {
            try await RedisServer.run { server in
                try await server.withClient { client in
                    let queue = RedisChannelQueue(client: client, configuration: .init())
                    try await eventually("the subscription") { queue.status == .active ? true : nil }
                    for n in 0..<3 {
                        try await client.type(
                            "PUBLISH", "request-queue",
                            #"{"internal":{},"request_kind":"pubsub","data":{"id":"\#(n)","deadline":2000000000,"payload":{}}}"#
                        )
                    }
                    let leased = try await eventually("a message") {
                        try await queue.lease(limit: 1, duration: .seconds(15), excluding: []).first
                    }
                    try await eventually("all") { queue.statistics.received == 3 ? true : nil }
                    queue.stopLeasing()
                    try await eventually("the stock") { try await client.count("retry-sortedset") == 2 ? true : nil }
                    #expect(try await queue.release(leased.lease, attempts: .init(), readyAt: .zero))
                    #expect(try await client.count("retry-sortedset") == 3)
                    await queue.close()
                    #expect(try await client.count("retry-sortedset") == 3)
                }
            }
        }

        @Test func theSameTroubleIsNewsOnceAndTheRestGrows() {
            var log = TroubleLog()
            var news = [log.failed("a")]
            #expect(log.rest == .milliseconds(200))
            news.append(log.failed("a"))
            #expect(log.rest == .milliseconds(400))
            news += [log.failed("b"), log.failed("b")]
            for _ in 0..<10 { news.append(log.failed("b")) }
            #expect(news.filter { $0 }.count == 2 && news[0] && news[2])
            #expect(log.rest == .seconds(10))
            let ends = [log.succeeded(), log.succeeded()]
            #expect(ends == [true, false])
            let cuts = [log.cutOff(), log.cutOff(), log.failed("no connection"), log.succeeded(), log.failed("b")]
            #expect(cuts == [true, false, false, true, true])
        }
    }
}

/// What a queue has reported.
final class Troubles: Sendable {
    private let noted = Mutex<[String]>([])

    var texts: [String] { noted.withLock { $0 } }

    var note: @Sendable (any Error) -> Void {
        { [self] error in noted.withLock { $0.append("\(error)") } }
    }
}

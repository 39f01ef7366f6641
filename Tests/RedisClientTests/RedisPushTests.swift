import Basics
import Foundation
import Testing

@testable import RedisClient

@Suite struct RedisPushTests {
    @Test func aWatchTellsOfChangedKeysWithinMilliseconds() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                let changes = Mailbox<[String]?>()
                let watch = client.watch(prefixes: ["gate:", "quota:", "gate:a"]) { changes.post($0) }
                #expect(await watch.waitUntilDecided() == .active)
                #expect(await changes.next() == .some(nil))

                _ = try await client.send(RedisCommand("SET", ["other", "1"]))
                var fastest = Duration.seconds(10)
                for number in 0..<20 {
                    let start = ContinuousClock.now
                    _ = try await client.send(RedisCommand("SET", ["gate:b", .integer(Int64(number))]))
                    #expect(await changes.next() == ["gate:b"])
                    fastest = min(fastest, ContinuousClock.now - start)
                }
                #expect(fastest < .milliseconds(20))

                _ = try await client.send(RedisCommand("DEL", ["gate:b"]))
                #expect(await changes.next() == ["gate:b"])
                _ = try await client.send(RedisCommand("FLUSHALL"))
                #expect(await changes.next() == .some(nil))
                await watch.close()
                #expect(watch.status == .closed)
            }
        }
    }

    @Test func aWatchComesBackAfterARestartAndSaysThatAnythingMayHaveChanged() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                let changes = Mailbox<[String]?>()
                let watch = client.watch(prefixes: [""]) { changes.post($0) }
                #expect(await changes.next() == .some(nil))
                server.signal(SIGKILL)
                try await server.start()
                #expect(await changes.next() == .some(nil))
                #expect(watch.status == .active)
                try await server.withClient { _ = try await $0.send(RedisCommand("SET", ["k", "1"])) }
                #expect(await changes.next() == ["k"])
            }
        }
    }

    @Test(arguments: [
        ["--rename-command", "HELLO", ""],
        ["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-client|tracking"],
    ])
    func aServerThatCannotTellOfChangesIsSaidToBeUnable(arguments: [String]) async throws {
        try await RedisTestServer.run(arguments) { server in
            try await server.withClient { client in
                let watch = client.watch(prefixes: ["a"]) { _ in }
                guard case .unsupported(let reason) = await watch.waitUntilDecided() else {
                    Issue.record("\(watch.status)")
                    return
                }
                #expect(!reason.isEmpty)
                let pong = try await client.send(RedisCommand("PING"))
                #expect(pong == .simple("PONG"))
            }
        }
    }

    @Test(arguments: [false, true])
    func aSubscriptionGetsMessagesInOrderAndMarksGaps(isOld: Bool) async throws {
        try await RedisTestServer.run(isOld ? ["--rename-command", "HELLO", ""] : []) { server in
            try await server.withClient {
                $0.idleTimeout = .milliseconds(20)
            } body: { client in
                let events = Mailbox<RedisSubscriptionEvent>()
                let subscription = client.subscribe(channels: ["a", "b", "a"]) { events.post($0) }
                #expect(await events.next() == .subscribed(mayHaveMissed: false))
                #expect(subscription.status == .active)
                for number in 0..<200 {
                    let channel = number.isMultiple(of: 2) ? "a" : "b"
                    let listeners = try await client.send(
                        RedisCommand("PUBLISH", [.text(channel), .integer(Int64(number))]))
                    #expect(listeners == .integer(1))
                }
                for number in 0..<200 {
                    let expected = RedisSubscriptionEvent.message(
                        channel: number.isMultiple(of: 2) ? "a" : "b", payload: Array("\(number)".utf8))
                    #expect(await events.next() == expected)
                }

                server.signal(SIGKILL)
                guard case .interrupted = await events.next() else {
                    Issue.record("no word of the interruption")
                    return
                }
                try await server.start()
                #expect(await events.next() == .subscribed(mayHaveMissed: true))
                try await server.withClient { _ = try await $0.send(RedisCommand("PUBLISH", ["b", "again"])) }
                #expect(await events.next() == .message(channel: "b", payload: Array("again".utf8)))
                await subscription.close()
            }
        }
    }

    @Test func aSubscriptionThatIsNotAllowedIsSaidToBe() async throws {
        try await RedisTestServer.run(["--user", "default", "on", "nopass", "~*", "resetchannels", "&mine", "+@all"]) {
            server in
            try await server.withClient { client in
                let subscription = client.subscribe(channels: ["mine", "theirs"]) { _ in }
                guard case .unsupported(let reason) = await subscription.waitUntilDecided() else {
                    Issue.record("\(subscription.status)")
                    return
                }
                #expect(reason.contains("NOPERM"))
            }
        }
    }

    @Test func aWatchThatWaitsForAServerConnectsWhenItComes() async throws {
        let port = try await RedisTestServer.freePort()
        let client = RedisClient(.init(address: RedisAddress(host: "127.0.0.1", port: port)))
        let watch = client.watch(prefixes: ["a"]) { _ in }
        let waiting = Task { await watch.waitUntilDecided() }
        waiting.cancel()
        guard case .connecting = await waiting.value else {
            Issue.record("\(watch.status)")
            return
        }
        await client.close()
        #expect(await watch.waitUntilDecided() == .closed)
    }
}

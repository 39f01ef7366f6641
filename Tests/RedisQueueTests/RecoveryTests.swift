import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import RedisQueue
import Synchronization
import Testing

extension ServerTests {
    @Suite struct RecoveryTests {
        @Test func messagesOfAReplicaThatDiesComeBackWhenTheirLeasesRunOut() async throws {
            try await RedisServer.withQueue { server, client, survivor in
                _ = try await survivor.enqueue((0..<50).map { message("m\($0)") })
                try await server.withClient { other in
                    let dying = RedisSortedSetQueue(client: other, configuration: .init())
                    let taken = try await dying.take(50, lease: 0.5)
                    #expect(taken.count == 50)
                    // Nothing reaches the server any more, as if the process were gone.
                    await other.close()
                }
                let start = ContinuousClock.now
                var ids: Set<String> = []
                while ids.count < 50 { ids.formUnion(try await survivor.receive().map(\.message.id)) }
                #expect(ContinuousClock.now - start < .seconds(4))
                #expect(try await client.count("request-sortedset:claims-idx") == 50)
            }
        }

        @Test func waitingEndsWhenSomebodySubmits() async throws {
            try await RedisServer.withQueue { server, client, queue in
                try await server.withClient { other in
                    let producer = RedisSortedSetQueue(client: other, configuration: .init())
                    // Once the server tells of changes, nothing is asked for in between.
                    try await eventually("the watch") { try await client.tracksChanges() ? true : nil }
                    let ids = Mutex<[String]>([])
                    let worker = Task {
                        while !Task.isCancelled {
                            try await queue.waitUntilReady(excluding: [])
                            for leased in try await queue.take(10) {
                                ids.withLock { $0.append(leased.message.id) }
                                try await queue.answer(leased)
                            }
                        }
                    }
                    var pauses: [Duration] = []
                    for index in 0..<50 {
                        let start = ContinuousClock.now
                        _ = try await producer.enqueue([message("m\(index)")])
                        while ids.withLock({ $0.count }) <= index { try await Task.sleep(for: .milliseconds(1)) }
                        pauses.append(ContinuousClock.now - start)
                    }
                    worker.cancel()
                    _ = try? await worker.value
                    #expect(ids.withLock { $0 } == (0..<50).map { "m\($0)" })
                    // The middle one, on a machine that others use too.
                    #expect(pauses.sorted()[25] < .milliseconds(100))
                    await producer.close()
                }
            }
        }

        @Test func aServerThatDoesNotTellIsAsked() async throws {
            // A user who may not use CLIENT TRACKING.
            try await RedisServer.run(["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-client|tracking"]) {
                server in
                try await server.withClient { client in
                    let queue = RedisSortedSetQueue(client: client, configuration: .init())
                    let waiting = Task { try await queue.waitUntilReady(excluding: []) }
                    _ = try await queue.enqueue([message("x")])
                    try await waiting.value
                    let leased = try #require(try await queue.take(1).first)
                    let cancellation = Task { try await queue.nextCancellations() }
                    #expect(try await queue.cancel(id: "x"))
                    #expect(try await cancellation.value == [leased.lease])
                    #expect(try await queue.release(leased.lease, attempts: .init(), readyAt: SystemClock().now()))
                    await queue.close()
                }
            }
        }

        @Test func aRepeatedSettlementWhoseReplyWasLostHasOneEffect() async throws {
            try await RedisServer.run { server in
                try await server.withClient {
                    $0.commandTimeout = .seconds(1)
                } body: { client in
                    let queue = RedisSortedSetQueue(client: client, configuration: .init())
                    _ = try await queue.enqueue((0..<20).map { message("m\($0)") })
                    let taken = try await queue.take(20, lease: 60)
                    #expect(taken.count == 20)
                    // The server holds still while the results are sent, and runs them afterwards; nobody hears its reply.
                    server.pause(true)
                    let tries = taken.map { leased in Task { try? await queue.answer(leased) } }
                    try await Task.sleep(for: .milliseconds(1500))
                    server.pause(false)
                    for (leased, first) in zip(taken, tries) {
                        if let settled = await first.value {
                            #expect(settled)
                        } else {
                            #expect(try await eventually("an answer") { try? await queue.answer(leased) })
                        }
                    }
                    let ids = try await client.list("result-list").compactMap { try object($0)["id"] as? String }
                    #expect(ids.count == 20)
                    #expect(Set(ids).count == 20)
                    await queue.close()
                }
            }
        }

        @Test func aLeaseWhoseReplyWasLostIsNotLost() async throws {
            try await RedisServer.run { server in
                try await server.withClient {
                    $0.commandTimeout = .seconds(1)
                } body: { client in
                    let queue = RedisSortedSetQueue(client: client, configuration: .init())
                    _ = try await queue.enqueue((0..<20).map { message("m\($0)") })
                    server.pause(true)
                    let taking = Task { try await queue.take(20, lease: 60) }
                    try await Task.sleep(for: .milliseconds(1200))
                    server.pause(false)
                    let taken = try await taking.value
                    #expect(Set(taken.map(\.message.id)).count == 20)
                    for leased in taken {
                        #expect(try await eventually("an answer") { try? await queue.answer(leased) })
                    }
                    await queue.close()
                }
            }
        }

        @Test func nothingIsLostWhenTheServerDiesInTheMiddle() async throws {
            try await RedisServer.run(["--appendonly", "yes", "--appendfsync", "always"]) { server in
                try await server.withClient {
                    $0.commandTimeout = .seconds(2)
                } body: { client in
                    let queue = RedisSortedSetQueue(client: client, configuration: .init())
                    let count = 400
                    _ = try await queue.enqueue((0..<count).map { message("m\($0)") })
                    let done = Counter()
                    let worker = Task {
                        while !Task.isCancelled {
                            do {
                                let messages = try await queue.take(20, lease: 1)
                                if messages.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
                                await withTaskGroup(of: Void.self) { group in
                                    for leased in messages {
                                        group.addTask {
                                            // As a processor: until it is known what became of it.
                                            while !Task.isCancelled {
                                                do {
                                                    if try await queue.answer(leased) { done.add() }
                                                    return
                                                } catch {
                                                    try? await Task.sleep(for: .milliseconds(20))
                                                }
                                            }
                                        }
                                    }
                                }
                            } catch {
                                try? await Task.sleep(for: .milliseconds(20))
                            }
                        }
                    }
                    for part in 1...3 {
                        try await eventually("some results") { done.count >= part * count / 5 ? true : nil }
                        server.kill()
                        try await server.start()
                    }
                    let ids = try await eventually("all results", within: .seconds(30)) {
                        let ids = try? await client.list("result-list").compactMap { try object($0)["id"] as? String }
                        return ids.map { Set($0).count == count ? $0 : nil } ?? nil
                    }
                    worker.cancel()
                    _ = await worker.value
                    #expect(ids.count == count)
                    #expect(try await client.count("request-sortedset:claims-idx") == 0)
                    await queue.close()
                }
            }
        }
    }
}

extension RedisClient {
    /// Whether some client of the server is told of changes.
    fileprivate func tracksChanges() async throws -> Bool {
        try await type("CLIENT", "LIST").asString?.contains(" flags=t") ?? false
    }
}

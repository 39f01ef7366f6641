import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import Synchronization
import Testing

@testable import RedisQueue

extension ServerTests {
    /// How much one look of the server costs.
    @Suite struct BoundsTests {
        @Test func aSearchLooksAtAFewMegabytesAndThenLeavesTheServerAlone() async throws {
            try await RedisServer.withQueue { _, client, queue in
                try await eventually("the watch") { queue.core.isTold ? true : nil }
                let body = #"{"model":"a","text":"\#(String(repeating: "x", count: 50_000))"}"#
                let blocked = (0..<400).map { message("a\($0)", window: Double(1000 + $0), body: body) }
                _ = try await queue.enqueue(blocked)
                #expect(try await queue.take(8, excluding: ["a"]).isEmpty)
                // 4 MiB are 83 of them.
                let passed = queue.core.search.withLock { $0.passed }
                #expect(passed > 60 && passed < 90)
                // The rest is searched, and once all has been seen nothing more is asked.
                try await eventually("the end of the search") {
                    let wait = Task { try await queue.waitUntilReady(excluding: ["a"]) }
                    try await Task.sleep(for: .milliseconds(700))
                    wait.cancel()
                    _ = try await wait.value
                    #expect(try await queue.take(8, excluding: ["a"]).isEmpty)
                    let version = queue.core.readiness.version
                    return queue.core.search.withLock { $0.turn(version: version, isTold: true) } == .afterChange
                        ? true : nil
                }
                let claims = try await client.calls(of: "zcard")
                for _ in 0..<50 { #expect(try await queue.take(8, excluding: ["a"]).isEmpty) }
                #expect(try await client.calls(of: "zcard") == claims)
                // What is added is found, and so is what is waited for when a target becomes free.
                let found = Task { () -> [LeasedMessage] in
                    while true {
                        try await queue.waitUntilReady(excluding: ["a"])
                        let messages = try await queue.take(8, excluding: ["a"])
                        if !messages.isEmpty { return messages }
                    }
                }
                _ = try await queue.enqueue([message("b", body: #"{"model":"b"}"#)])
                #expect(try await found.value.map(\.message.id) == ["b"])
                #expect(try await queue.receive(8, excluding: ["c"]).count == 8)
            }
        }

        @Test func membersOfManyMegabytesAreTakenOneByOne() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let body = #"{"model":"a","text":"\#(String(repeating: "x", count: 5_000_000))"}"#
                _ = try await queue.enqueue((0..<6).map { message("m\($0)", body: body) })
                let taken = try await queue.core.claim(limit: 32, duration: .seconds(15))
                #expect(taken.messages.count == 1)
                #expect(taken.left == 5)
                // A call of the queue goes on until it has what it wants.
                #expect(try await queue.take(3).count == 3)
            }
        }

        @Test func aTooLongMemberThatTheDeadLettersDoNotTakeHoldsUpNothing() async throws {
            try await RedisServer.withQueue {
                $0.maximumMemberBytes = 2000
            } body: { _, client, queue in
                try await client.type("SET", "request-sortedset:dead-letter", "a string")
                let body = #"{"a":"\#(String(repeating: "x", count: 3000))"}"#
                _ = try await queue.enqueue([message("long", window: 10, body: body), message("short")])
                #expect(try await queue.take(5).map(\.message.id) == ["short"])
                #expect(try await client.count("request-sortedset") == 1)
            }
        }

        @Test func dueRetriesOfOthersAreNotLookedAtAgainAndAgain() async throws {
            try await RedisServer.withQueue { _, client, queue in
                try await client.addForeignRetries(5000)
                try await client.type("ZADD", "retry-sortedset", "20000", retry("mine", "request-sortedset"))
                #expect(try await queue.receive().map(\.message.id) == ["mine"])
                // Nothing is counted off from the head.
                #expect(try await client.calls(of: "zrangebyscore") < 10)
                let looks = try await client.calls(of: "zrange")
                for n in 0..<20 {
                    try await client.type(
                        "ZADD", "retry-sortedset", "\(20001 + n)", retry("n\(n)", "request-sortedset"))
                    #expect(try await queue.receive().map(\.message.id) == ["n\(n)"])
                }
                #expect(try await client.calls(of: "zrange") - looks < 200)
                // Some of the others leave: the place is not lost.
                try await client.type("ZREMRANGEBYRANK", "retry-sortedset", "0", "2500")
                try await client.type("ZADD", "retry-sortedset", "30000", retry("last", "request-sortedset"))
                #expect(try await queue.receive().map(\.message.id) == ["last"])
                #expect(try await client.calls(of: "zrange") - looks < 250)
            }
        }

        @Test func aChannelRemembersHowFarItHasLooked() async throws {
            try await RedisServer.run { server in
                try await server.withClient { client in
                    try await client.addForeignRetries(5000)
                    let queue = RedisChannelQueue(client: client, configuration: .init())
                    func take() async throws -> String {
                        try await eventually("a retry") {
                            try await queue.lease(limit: 1, duration: .seconds(15), excluding: []).first?.message.id
                        }
                    }
                    try await client.type("ZADD", "retry-sortedset", "20000", retry("first", "request-queue"))
                    #expect(try await take() == "first")
                    let looks = try await client.calls(of: "zrange")
                    for n in 0..<20 {
                        try await client.type(
                            "ZADD", "retry-sortedset", "\(20001 + n)", retry("n\(n)", "request-queue"))
                        #expect(try await take() == "n\(n)")
                    }
                    #expect(try await client.calls(of: "zrange") - looks < 200)
                    await queue.close()
                }
            }
        }

        @Test func retriesOfOthersThatAreDueTogetherAreAllPassed() async throws {
            try await RedisServer.withQueue { _, client, queue in
                try await client.addForeignRetries(3000, at: "7")
                try await client.type("ZADD", "retry-sortedset", "8", retry("mine", "request-sortedset"))
                #expect(try await queue.receive().map(\.message.id) == ["mine"])
            }
        }

        private func retry(_ id: String, _ queue: String) -> String {
            #"{"internal":{"request_queue_name":"\#(queue)","retry_count":1},"request_kind":"plain","data":{"id":"\#(id)","created":1,"deadline":\#(unixNow() + 600),"payload":{}}}"#
        }
    }

    @Suite struct TargetSearchTests {
        private let now = Instant(seconds: 1000)

        @Test func eachLookInVainDoublesThePause() {
            var search = TargetSearch()
            search.leaveOut(["a"])
            var pauses: [Double] = []
            for _ in 0..<6 {
                _ = search.look(version: 1)
                search.looked(
                    found: false, wasted: false, passed: 10, reachedEnd: false, took: .milliseconds(100), now: now)
                guard case .at(let next) = search.turn(version: 1, isTold: true) else {
                    Issue.record("the search has ended")
                    return
                }
                pauses.append((next - now).seconds)
            }
            #expect(pauses == [0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
            search = TargetSearch()
            search.leaveOut(["a"])
            pauses = []
            for version in 1...6 {
                _ = search.look(version: UInt64(version))
                search.looked(
                    found: false, wasted: false, passed: 10, reachedEnd: true, took: .milliseconds(1), now: now)
                guard case .at(let next) = search.turn(version: UInt64(version) + 1, isTold: true) else {
                    Issue.record("the search has ended")
                    return
                }
                pauses.append((next - now).seconds)
            }
            #expect(pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.5])
        }

        @Test func onlyAChangeOrAFreeTargetMakesAnExhaustedSearchGoOn() {
            var search = TargetSearch()
            search.leaveOut(["a"])
            _ = search.look(version: 7)
            search.looked(found: false, wasted: false, passed: 3, reachedEnd: true, took: .zero, now: now)
            #expect(search.turn(version: 7, isTold: true) == .afterChange)
            #expect(search.turn(version: 7, isTold: false) != .afterChange)
            #expect(search.turn(version: 8, isTold: true) != .afterChange)
            search.leaveOut(["a", "b"])
            #expect(search.turn(version: 7, isTold: true) == .afterChange)
            search.leaveOut(["b"])
            #expect(search.turn(version: 7, isTold: true) == .at(now))
        }

        @Test func aChangeDuringASearchCountsAsNewAtItsEnd() {
            var search = TargetSearch()
            search.leaveOut(["a"])
            _ = search.look(version: 7)
            search.looked(found: false, wasted: false, passed: 100, reachedEnd: false, took: .zero, now: now)
            let passed = search.look(version: 9)
            #expect(passed == 100)
            search.looked(found: false, wasted: false, passed: 150, reachedEnd: true, took: .zero, now: now)
            #expect(search.turn(version: 9, isTold: true) != .afterChange)
        }
    }
}

extension RedisClient {
    /// How often a command has been called since the server started, in scripts too.
    func calls(of command: String) async throws -> Int {
        let text = try await type("INFO", "commandstats").asString ?? ""
        let head = "cmdstat_\(command):calls="
        let line = text.split(separator: "\r\n").first { $0.hasPrefix(head) }
        return Int(line?.dropFirst(head.count).prefix { $0.isNumber } ?? "") ?? 0
    }

    /// Puts due retries of a queue that nobody serves into the retry set.
    func addForeignRetries(_ count: Int, at score: String? = nil) async throws {
        try await type(
            "EVAL",
            #"""
            for n = 1, tonumber(ARGV[1]) do
              local member = '{"internal":{"request_queue_name":"other","retry_count":1},"request_kind":"plain","data":{"id":"o'
                .. n .. '","created":1,"deadline":9,"payload":{}}}'
              redis.call('ZADD', 'retry-sortedset', ARGV[2] == '' and n or ARGV[2], member)
            end
            """#, "0", "\(count)", score ?? "")
    }
}

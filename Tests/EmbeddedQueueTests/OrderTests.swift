import Basics
import Delivery
import EmbeddedQueue
import GRDB
import MessageQueues
import Testing

/// Which message comes next.
@Suite(.timeLimit(.minutes(5))) struct OrderTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    @Test func aHigherClassComesFirstWhateverTheDeadlines() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([
            place.message("low", window: .seconds(10), priority: -9), place.message("middle", window: .seconds(50)),
            place.message("high", window: .seconds(90), priority: 9),
        ])
        #expect(try await queue.leaseIDs(2) == ["high", "middle"])
        #expect(try await queue.leaseIDs(2) == ["low"])
    }

    @Test func tenantsOfAClassShareByBytes() async throws {
        let queue = try place.open()
        let large = String(repeating: " ", count: 9 * 1024)
        for number in 0..<200 {
            _ = try await queue.enqueue([
                place.message("large-\(number)", window: .seconds(10), body: large, tenant: "large"),
                place.message("small-\(number)", window: .seconds(1000), body: "", tenant: "small"),
            ])
        }
        // 10 KiB against 1 KiB: one of the large for ten of the small, and no lead for early deadlines.
        var taken: [String: Int] = [:]
        for _ in 0..<22 {
            for id in try await queue.leaseIDs(5) { taken[String(id.prefix(5)), default: 0] += 1 }
        }
        #expect(taken["large", default: 0] >= 9 && taken["large", default: 0] <= 11)
        #expect(taken["small", default: 0] >= 99)
    }

    @Test func aTenantThatComesLateIsServedAtOnce() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue((0..<500).map { place.message("a-\($0)", tenant: "a") })
        #expect(try await queue.leaseIDs(100).count == 100)
        _ = try await queue.enqueue((0..<500).map { place.message("b-\($0)", tenant: "b") })
        let next = try await queue.leaseIDs(100)
        #expect(next.count { $0.hasPrefix("b") } == 50)
    }

    @Test func aTenantsMessagesComeByDeadlineAcrossItsModels() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([
            place.message("3", window: .seconds(300), model: "x"),
            place.message("1", window: .seconds(100), model: "y"),
            place.message("2", window: .seconds(200), model: nil),
            place.message("4", window: .seconds(300), model: "y"),
            place.message("5", window: .seconds(300), model: "x"),
        ])
        #expect(try await queue.leaseIDs() == ["1", "2", "3", "4", "5"])
    }

    @Test func excludedTargetsAreLeftWhereTheyAre() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([
            place.message("down-1", window: .seconds(1), model: "down"),
            place.message("up", window: .seconds(9), model: "up"),
            place.message("none", window: .seconds(10), model: nil),
        ])
        #expect(try await queue.leaseIDs(excluding: ["down", ""]) == ["up"])
        #expect(try await queue.leaseIDs(excluding: ["down", ""]) == [])
        #expect(try await queue.leaseIDs(excluding: ["down"]) == ["none"])
        #expect(try await queue.leaseIDs() == ["down-1"])
    }

    @Test func messagesOfExcludedTargetsAreNotLookedAt() throws {
        // Reading 20,000 of them takes milliseconds, stepping over them none. The least of many runs is not disturbed by
        // what else the machine does.
        func time(excluded count: Int) throws -> Duration {
            let database = try DatabaseQueue()
            var store = MessageStore(name: "test")
            let time = place.clock.time
            try database.write { database in
                try QueueSchema.migrate(database)
                for number in 0..<count {
                    let message = place.message("d\(number)", window: .seconds(5), model: "down")
                    _ = try store.enqueue(message, digest: 0, now: time.wall, database)
                }
            }
            let request = LeaseRequest(limit: 10, duration: .seconds(30), excluding: ["down"])
            return try (0..<30).map { _ in
                try ContinuousClock().measure {
                    let leased = try database.write { try store.lease(request, token: 1, time: time, $0) }
                    #expect(leased.isEmpty)
                    let span = try database.read {
                        try store.timeUntilReady(excluding: ["down"], time: time, $0)
                    }
                    #expect(span == nil)
                }
            }.min() ?? .zero
        }
        #expect(try time(excluded: 20_000) < time(excluded: 20) * 4)
    }

    @Test func waitingIgnoresExcludedTargets() async throws {
        let queue = try place.open { $0.foreignPoll = .seconds(3600) }
        _ = try await queue.enqueue([place.message("a", model: "down")])
        async let waited: Void = queue.waitUntilReady(excluding: ["down"])
        _ = try await queue.enqueue([place.message("b", model: "up")])
        try await waited
        #expect(try await queue.leaseIDs(excluding: ["down"]) == ["b"])
        let isReady = try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await queue.waitUntilReady(excluding: ["down"])
                return !Task.isCancelled
            }
            group.cancelAll()
            return try await group.next()
        }
        #expect(isReady == false)
    }

    @Test func withMoreLanesThanOneCallLooksAtEveryLaneHasItsTurn() async throws {
        let queue = try place.open()
        let tenants = MessageStore.maximumLanes * 2 + 10
        _ = try await queue.enqueue((0..<tenants).map { place.message("m\($0)", tenant: "t\($0)") })
        var seen: Set<String> = []
        for _ in 0..<tenants { seen.formUnion(try await queue.leaseIDs(1)) }
        #expect(seen.count == tenants)
    }

    @Test func moreLanesThanOneCallLooksAtDoNotHideAReadyOne() async throws {
        let queue = try place.open()
        let lanes = MessageStore.maximumLanes + 100
        _ = try await queue.enqueue((0..<lanes).map { place.message("m\($0)", model: "a\($0)") })
        _ = try await queue.enqueue([place.message("up", model: "up")])
        let excluded = Set((0..<lanes).map { "a\($0)" })
        try await queue.waitUntilReady(excluding: excluded)
        var found = try await queue.leaseIDs(10, excluding: excluded)
        if found.isEmpty { found = try await queue.leaseIDs(10, excluding: excluded) }
        #expect(found == ["up"])
    }

    @Test func overdueMessagesAreTakenWhereverTheyWait() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([
            place.message("low", window: .seconds(5), model: "down", priority: -9),
            place.message("later", window: .seconds(500)), place.message("delayed", window: .seconds(4)),
        ])
        let delayed = try #require(try await queue.lease(excluding: ["down"]).first)
        #expect(delayed.message.id == "delayed")
        _ = try await queue.release(
            delayed.lease, attempts: AttemptRecord(), readyAt: place.clock.now() + .seconds(100))
        let overdue = try await queue.leaseOverdue(
            before: place.clock.now() + .seconds(10), limit: 10, duration: .seconds(30))
        #expect(overdue.map(\.message.id) == ["delayed", "low"])
        #expect(try await queue.complete(overdue[1].lease, with: place.result(overdue[1])))
        #expect(try await queue.leaseOverdue(before: place.clock.now(), limit: 10, duration: .seconds(30)) == [])
    }

    @Test(arguments: 0..<20) func theOrderIsThatOfASortedList(seed: Int) throws {
        // One tenant: exactly by class, deadline and submission, with any number of models.
        var generator = SeededGenerator(seed: UInt64(seed))
        let database = try DatabaseQueue()
        let start = Instant(seconds: 1_800_000_000)
        var store = MessageStore(name: "test")
        try database.write { try QueueSchema.migrate($0) }
        var expected: [(order: [Int64], id: String)] = []
        let count = 200
        for number in 0..<count {
            let deadline = start + .seconds(Double(1 + Int(generator.unit() * 20)))
            let message = InferenceMessage(
                id: "m\(number)", created: start, deadline: deadline, path: "/", payload: [],
                model: "x\(Int(generator.unit() * 6))", priority: Int(generator.unit() * 3))
            expected.append(([Int64(-message.priority), deadline.nanoseconds, Int64(number)], message.id))
            _ = try database.write { try store.enqueue(message, digest: 0, now: start, $0) }
        }
        expected.sort { $0.order.lexicographicallyPrecedes($1.order) }
        var taken: [String] = []
        while taken.count < count {
            let request = LeaseRequest(limit: 1 + Int(generator.unit() * 40), duration: .seconds(60))
            let messages = try database.write {
                try store.lease(
                    request, token: Int64(taken.count + 1), time: DeliveryTime(wall: start, steady: .zero), $0)
            }
            try #require(!messages.isEmpty)
            taken += messages.map(\.message.id)
        }
        #expect(taken == expected.map(\.id))
    }
}

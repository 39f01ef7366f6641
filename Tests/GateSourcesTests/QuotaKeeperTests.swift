import Basics
import DispatchGates
import Foundation
import GateSources
import RedisClient
import Synchronization
import Testing

/// Against a real redis-server.
@Suite(.needsRedis, .timeLimit(.minutes(5))) struct QuotaKeeperTests {
    @Test func slotsAreGrantedUpToTheLimitAndFreeAgainWhenGivenBack() async throws {
        let fixture = try await QuotaFixture()
        let (one, other) = (fixture.keeper(), fixture.keeper())
        let held = [fixture.request(limit: 2), fixture.request(limit: 2)]
        #expect(try await one.acquire(held[0]))
        #expect(try await other.acquire(held[1]))
        #expect(try await !one.acquire(fixture.request(limit: 2)))
        #expect(try await one.acquire(held[0]), "asking again with the same owner changes nothing")
        #expect(try await fixture.number() == 2)
        await one.giveBack([held[0]])
        #expect(one.slotsHeld == 0 && one.unitsOwed == 0)
        #expect(try await other.acquire(fixture.request(limit: 2)))
        #expect(try await fixture.number() == 2)
    }

    @Test func givingBackWhatIsNotHeldChangesNothing() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        let held = fixture.request(limit: 1)
        #expect(try await keeper.acquire(held))
        let refused = fixture.request(limit: 1)
        #expect(try await !keeper.acquire(refused))
        await keeper.giveBack([refused, fixture.request(limit: 1)])
        #expect(try await fixture.number() == 1)
        await keeper.giveBack([held])
        await keeper.giveBack([held, held])
        #expect(try await fixture.number() == nil)
        #expect(try await fixture.redis.send(RedisCommand("DBSIZE")).asInteger == 0)
    }

    @Test func keysAreIndependent() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        #expect(try await keeper.acquire(fixture.request(limit: 1, key: "quota:userid:anna")))
        #expect(try await keeper.acquire(fixture.request(limit: 1, key: "quota:userid:bert")))
        #expect(try await !keeper.acquire(fixture.request(limit: 1, key: "quota:userid:bert")))
    }

    @Test func aCrowdNeverExceedsTheLimit() async throws {
        let fixture = try await QuotaFixture()
        let keepers = [fixture.keeper(), fixture.keeper()]
        let granted = try await withThrowingTaskGroup(of: QuotaRequest?.self) { group in
            for index in 0..<200 {
                let request = fixture.request(limit: 7)
                group.addTask { try await keepers[index % 2].acquire(request) ? request : nil }
            }
            return try await group.reduce(into: []) { $0 += $1.map { [$0] } ?? [] }
        }
        #expect(granted.count == 7)
        await keepers[0].giveBack(granted)
        #expect(try await fixture.number() == nil)
    }

    @Test func aSlotOfADeadProcessIsFreeAfterItsLifeHoweverBusyTheTenantIs() async throws {
        let fixture = try await QuotaFixture()
        let (dead, living) = (fixture.keeper(), fixture.keeper())
        let began = ContinuousClock.now
        // Nobody runs `dead`, so it sends no news, as if it had been killed.
        #expect(try await dead.acquire(fixture.request(limit: 2, window: 1)))
        var tookBoth = false
        while !tookBoth, ContinuousClock.now - began < .seconds(30) {
            let mine = [fixture.request(limit: 2, window: 1), fixture.request(limit: 2, window: 1)]
            #expect(try await living.acquire(mine[0]))
            tookBoth = try await living.acquire(mine[1])
            await living.giveBack(mine)
        }
        #expect(tookBoth)
        #expect(ContinuousClock.now - began >= .milliseconds(990))
    }

    @Test func aLivingHolderKeepsItsSlotBeyondItsLife() async throws {
        let fixture = try await QuotaFixture()
        let (holder, rival) = (fixture.keeper(), fixture.keeper())
        let running = Task { await holder.run() }
        let held = fixture.request(limit: 1, window: 3)
        #expect(try await holder.acquire(held))
        let end = ContinuousClock.now + .seconds(4)
        while ContinuousClock.now < end {
            #expect(try await !rival.acquire(fixture.request(limit: 1, window: 3)))
            try await Task.sleep(for: .milliseconds(50))
        }
        await holder.giveBack([held])
        #expect(try await rival.acquire(fixture.request(limit: 1, window: 3)))
        running.cancel()
        await running.value
    }

    @Test func tokensAreGrantedPerWindowAndCanBeGivenBack() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        let tokens = [fixture.request(.rateLimit, limit: 2), fixture.request(.rateLimit, limit: 2)]
        #expect(try await keeper.acquire(tokens[0]))
        #expect(try await keeper.acquire(tokens[1]))
        #expect(try await !keeper.acquire(fixture.request(.rateLimit, limit: 2)))
        await keeper.giveBack([tokens[0], tokens[0]])
        #expect(try await keeper.acquire(fixture.request(.rateLimit, limit: 2)))
        #expect(try await !keeper.acquire(fixture.request(.rateLimit, limit: 2)))

        let short = { fixture.request(.rateLimit, limit: 1, window: 0.5, key: "short") }
        let began = ContinuousClock.now
        #expect(try await keeper.acquire(short()))
        #expect(try await eventually { try await keeper.acquire(short()) })
        #expect(ContinuousClock.now - began >= .milliseconds(490))
    }

    @Test func aServerThatIsAwayIsAnErrorAndLearnsLaterWhatIsHeldAndWhatWasGivenBack() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        let running = Task { await keeper.run() }
        let (kept, returned) = (fixture.request(limit: 2, window: 3), fixture.request(limit: 2, window: 3))
        #expect(try await keeper.acquire(kept))
        #expect(try await keeper.acquire(returned))
        fixture.server.kill()
        await keeper.giveBack([returned])
        #expect(keeper.unitsOwed == 1 && keeper.slotsHeld == 1)
        let lost = fixture.request(limit: 2, window: 3)
        let error = await #expect(throws: QuotaError.self) { _ = try await keeper.acquire(lost) }
        #expect(error?.description.hasPrefix("the quota quota:userid:anna cannot be asked: ") == true)
        // It comes back without memory: the slot that is still held has to be entered anew.
        try await fixture.server.start()
        #expect(try await eventually { keeper.unitsOwed == 0 })
        #expect(try await eventually { try await fixture.number() == 1 })
        running.cancel()
        await running.value
    }

    @Test func aSlotThatIsGivenBackWhileAnotherServerHangsIsNotRenewed() async throws {
        let (slow, other) = (try await QuotaFixture(), try await QuotaFixture())
        let keeper = slow.keeper()
        let held = slow.request(limit: 2, window: 6)
        var returned = other.request(limit: 2, window: 6)
        returned.owner = "owner-of-the-other"
        // Servers are told in the order of their addresses.
        returned.address = "localhost:\(other.server.port)"
        for slot in [held, returned] { #expect(try await keeper.acquire(slot)) }
        _ = try await slow.redis.send(RedisCommand("CLIENT", ["PAUSE", "60000", "WRITE"]))
        let running = Task { await keeper.run() }
        #expect(
            try await eventually {
                let clients = try await slow.redis.send(RedisCommand("CLIENT", ["LIST"])).asString ?? ""
                return clients.contains("flags=b")
            })
        await keeper.giveBack([returned])
        #expect(try await other.number() == nil)
        let slots: RedisArgument = .text("{quota:userid:anna}:slots")
        let score = RedisCommand("ZSCORE", [slots, .text(held.owner)])
        let former = try await slow.redis.send(score).asString
        // Once the slow server has been told again, the other one has had its turn.
        _ = try await slow.redis.send(RedisCommand("CLIENT", ["UNPAUSE"]))
        _ = try await eventually { try await slow.redis.send(score).asString != former }
        #expect(try await eventually { keeper.unitsOwed == 0 })
        #expect(try await other.number() == nil)
        running.cancel()
        await running.value
    }

    @Test func whatIsOwedIsSettledBeforeTheEndOrTheTimeIsOver() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        #expect(await keeper.settle(within: .seconds(30)), "nothing is owed")
        let slot = fixture.request(limit: 2)
        #expect(try await keeper.acquire(slot))
        fixture.server.kill()
        await keeper.giveBack([slot])
        #expect(await keeper.settle(within: .milliseconds(100)) == false)
        #expect(keeper.unitsOwed == 1)
        // Also in a task that has been told to end.
        let ending = Task {
            while !Task.isCancelled { await Task.yield() }
            return await keeper.settle(within: .seconds(30))
        }
        ending.cancel()
        try await fixture.server.start()
        #expect(await ending.value && keeper.unitsOwed == 0)
    }

    @Test func aServersFailureIsToldOnceAndSoIsItsEnd() async throws {
        let fixture = try await QuotaFixture()
        let told = Mutex<[(server: String, failure: String?)]>([])
        let keeper = QuotaKeeper(redis: RedisClients(), timeout: .seconds(1)) { server, failure in
            told.withLock { $0.append((server, failure)) }
        }
        #expect(try await keeper.acquire(fixture.request(limit: 9)))
        #expect(told.withLock { $0.isEmpty })
        fixture.server.kill()
        for _ in 1...2 { _ = try? await keeper.acquire(fixture.request(limit: 9)) }
        try await fixture.server.start()
        #expect(try await eventually { (try? await keeper.acquire(fixture.request(limit: 9))) == true })
        let name = "redis server redis://127.0.0.1:\(fixture.server.port)"
        #expect(told.withLock { $0.map(\.server) } == [name, name])
        #expect(told.withLock { $0.map { $0.failure != nil } } == [true, false])
        // An error about one key says nothing about its server, and no address shows its password.
        _ = try await fixture.redis.send(RedisCommand("SADD", ["set", "x"]))
        _ = try? await keeper.acquire(fixture.request(limit: 1, key: "set"))
        #expect(told.withLock { $0.count } == 2)
        var lost = fixture.request(limit: 1)
        lost.address = "redis://:secret@127.0.0.1:1"
        _ = try? await keeper.acquire(lost)
        #expect(told.withLock { $0.count == 3 && $0.last.map { !"\($0)".contains("secret") } == true })
    }

    @Test func aKeyOfAnotherTypeAndAWrongAddressAreErrors() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        _ = try await fixture.redis.send(RedisCommand("SADD", ["quota:userid:anna", "x"]))
        let error = await #expect(throws: QuotaError.self) { _ = try await keeper.acquire(fixture.request(limit: 1)) }
        #expect(error?.description.contains("WRONGTYPE") == true)
        #expect(keeper.unitsOwed == 0)
        var lost = fixture.request(limit: 1)
        lost.address = "redis://:secret@host:port"
        let wrong = await #expect(throws: QuotaError.self) { _ = try await keeper.acquire(lost) }
        #expect(wrong?.description.contains("the port of a Redis URL") == true)
        #expect(wrong?.description.contains("secret") == false)
    }
}

/// A processor of the reference on the same keys.
@Suite(.needsRedis, .timeLimit(.minutes(5))) struct SharedQuotaTests {
    @Test func bothSeeEachOthersSlots() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        #expect(try await fixture.referenceAcquires(limit: 3, window: 60))
        let mine = [fixture.request(limit: 3), fixture.request(limit: 3)]
        #expect(try await keeper.acquire(mine[0]))
        #expect(try await keeper.acquire(mine[1]))
        #expect(try await !keeper.acquire(fixture.request(limit: 3)))
        #expect(try await !fixture.referenceAcquires(limit: 3, window: 60))
        await keeper.giveBack([mine[0]])
        #expect(try await fixture.referenceAcquires(limit: 3, window: 60))
        #expect(try await !keeper.acquire(fixture.request(limit: 3)))
        try await fixture.referenceReleases(window: 60)
        try await fixture.referenceReleases(window: 60)
        #expect(try await fixture.number() == 1)
        await keeper.giveBack([mine[1]])
        #expect(try await fixture.number() == nil)
    }

    @Test func whatADeadReferenceLeftIsForgottenAlthoughWeAreBusy() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        let began = ContinuousClock.now
        #expect(try await fixture.referenceAcquires(limit: 2, window: 1))
        var tookBoth = false
        while !tookBoth, ContinuousClock.now - began < .seconds(30) {
            let mine = [fixture.request(limit: 2, window: 1), fixture.request(limit: 2, window: 1)]
            #expect(try await keeper.acquire(mine[0]))
            tookBoth = try await keeper.acquire(mine[1])
            await keeper.giveBack(mine)
        }
        #expect(tookBoth)
        #expect(ContinuousClock.now - began >= .milliseconds(990))
    }

    @Test func whatALivingReferenceHoldsIsNotForgotten() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        #expect(try await fixture.referenceAcquires(limit: 3, window: 3))
        let end = ContinuousClock.now + .seconds(4)
        while ContinuousClock.now < end {
            // It holds one slot all the time, and its other requests come and go.
            #expect(try await fixture.referenceAcquires(limit: 3, window: 3))
            let mine = fixture.request(limit: 3, window: 3)
            #expect(try await keeper.acquire(mine))
            #expect(try await !keeper.acquire(fixture.request(limit: 3, window: 3)))
            try await fixture.referenceReleases(window: 3)
            await keeper.giveBack([mine])
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(try await fixture.number() == 1)
    }

    @Test func aNumberThatTheReferenceLostTrackOfNeverHidesOurSlots() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        #expect(try await keeper.acquire(fixture.request(limit: 1)))
        _ = try await fixture.redis.send(RedisCommand("DEL", ["quota:userid:anna"]))
        #expect(try await !keeper.acquire(fixture.request(limit: 1)))
        #expect(try await fixture.number() == 1)
    }

    @Test func rateLimitsAreOneSet() async throws {
        let fixture = try await QuotaFixture()
        let keeper = fixture.keeper()
        // The reference enters its clock's nanoseconds, as score and as member.
        let now = Int64(Date().timeIntervalSince1970 * 1e9)
        _ = try await fixture.redis.send(
            RedisCommand("ZADD", ["quota:userid:anna", .integer(now), .integer(now)]))
        #expect(try await keeper.acquire(fixture.request(.rateLimit, limit: 2)))
        #expect(try await !keeper.acquire(fixture.request(.rateLimit, limit: 2)))
        let count = RedisCommand("ZCOUNT", ["quota:userid:anna", .integer(now - 60_000_000_000), "+inf"])
        #expect(try await fixture.redis.send(count).asInteger == 2)
        let old = try await fixture.redis.send(
            RedisCommand("ZREMRANGEBYSCORE", ["quota:userid:anna", "0", .integer(now - 60_000_000_000)]))
        #expect(old.asInteger == 0, "the reference's own sweep keeps ours")
    }
}

import Basics
import Delivery
import MessageQueues
import Testing

@testable import PubSubQueue

struct DeliveryLedgerTests {
    private static func ledger(exactlyOnce: Bool = true, ordered: Bool = false, kept: Int = 100) -> DeliveryLedger {
        var ledger = DeliveryLedger(
            ackDeadline: .seconds(60), token: 7, keptLimit: kept, finishedMemory: 3, recordMemory: 3)
        ledger.isExactlyOnce = exactlyOnce
        ledger.isOrdered = ordered
        return ledger
    }

    private static func message(
        _ id: String, key: String = "", attempt: Int = 0, deadline: Double = 1e6
    ) throws -> ReceivedMessage {
        let body = "{\"id\":\"\(id)\",\"deadline\":\(deadline),\"payload\":{}}"
        return try ReceivedMessage(
            data: Array(body.utf8), attributes: [:], messageID: "m-" + id, orderingKey: key, published: .zero,
            deliveryAttempt: attempt, defaults: MessageDefaults(now: .zero), labels: [:])
    }

    private static let start = Instant(seconds: 1000)

    private func taken(_ ledger: inout DeliveryLedger, _ limit: Int = 10, at now: Instant = start) -> [LeasedMessage] {
        ledger.take(limit: limit, duration: .seconds(15), excluding: [], now: now)
    }

    // MARK: Deliveries

    @Test(arguments: [(true, ["2"]), (false, ["1", "2"])])
    func aSecondDeliveryOfWhatIsInHandReplacesTheIDOrJoinsIt(_ isExactlyOnce: Bool, _ ids: [String]) throws {
        var ledger = Self.ledger(exactlyOnce: isExactlyOnce)
        #expect(ledger.admit(ackID: "1", messageID: "m-a", now: Self.start) == .fresh)
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        let leased = try #require(taken(&ledger).first)
        #expect(ledger.admit(ackID: "2", messageID: "m-a", now: Self.start) == .inHand)
        #expect(ledger.ackIDs(of: leased.lease) == ids)
        #expect(taken(&ledger).isEmpty)
    }

    @Test func theIDsOfOneMessageAreBounded() throws {
        var ledger = Self.ledger(exactlyOnce: false)
        ledger.insert(try Self.message("a"), ackID: "0", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        for id in 1...50 { _ = ledger.admit(ackID: "\(id)", messageID: "m-a", now: Self.start) }
        #expect(ledger.ackIDs(of: lease) == (43...50).map { "\($0)" })
        #expect(ledger.leasesByAckID.count == DeliveryLedger.ackIDLimit)
    }

    @Test func whatIsFinishedIsRemembered() throws {
        var ledger = Self.ledger()
        for id in ["a", "b", "c", "d"] {
            ledger.insert(try Self.message(id), ackID: id, now: Self.start)
            let lease = try #require(taken(&ledger).first).lease
            #expect(ledger.beginCompletion(lease) == .publish)
            ledger.published(lease)
            #expect(ledger.acknowledged(lease, [(id, .confirmed)]) == .removed)
        }
        #expect(ledger.count == 0)
        #expect(ledger.admit(ackID: "x", messageID: "m-d", now: Self.start) == .finished)
        #expect(ledger.admit(ackID: "x", messageID: "m-a", now: Self.start) == .fresh)
    }

    // MARK: Acknowledging

    @Test func aLateAcknowledgementIsLostUnlessTheMessageCameAgainMeanwhile() throws {
        for comesAgain in [false, true] {
            var ledger = Self.ledger()
            ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
            let lease = try #require(taken(&ledger).first).lease
            #expect(ledger.beginCompletion(lease) == .publish)
            ledger.published(lease)
            if comesAgain { _ = ledger.admit(ackID: "2", messageID: "m-a", now: Self.start) }
            #expect(ledger.acknowledged(lease, [("1", .lost)]) == (comesAgain ? .again : .lost))
            guard comesAgain else { continue }
            #expect(ledger.acknowledged(lease, [("2", .failed)]) == .again)
            #expect(ledger.acknowledged(lease, [("2", .confirmed)]) == .removed)
        }
    }

    @Test func aResultIsNotPublishedTwiceWhenAcknowledgingFailed() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        _ = ledger.beginCompletion(lease)
        ledger.completionFailed(lease, now: Self.start)
        #expect(ledger.beginCompletion(lease) == .publish)
        ledger.published(lease)
        ledger.completionFailed(lease, now: Self.start)
        #expect(ledger.beginCompletion(lease) == .acknowledge)
    }

    // MARK: Keeping

    @Test func deadlinesAreExtendedAtHalfTimeTogetherWithThoseDueSoon() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        ledger.insert(try Self.message("b"), ackID: "2", now: Self.start + .seconds(16))
        ledger.insert(try Self.message("c"), ackID: "3", now: Self.start + .seconds(29))
        #expect(ledger.tick(now: Self.start + .seconds(29)).extend == [])
        let due = Self.start + .seconds(31.5)
        #expect(Set(ledger.tick(now: due).extend) == ["1", "2"])
        ledger.extended(["1", "2"], until: due + .seconds(60))
        #expect(ledger.tick(now: due).extend == [])
    }

    @Test func whatCouldNotBeExtendedLeavesTheStockButNotTheProcessor() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        ledger.insert(try Self.message("b"), ackID: "2", now: Self.start)
        let late = Self.start + .seconds(61)
        #expect(ledger.extend([lease], duration: .seconds(3600), now: Self.start) == [])
        #expect(ledger.tick(now: late).handBack == ["2"])
        #expect(ledger.stock.count == 0)
        #expect(ledger.count == 1)
    }

    @Test func aLostMessageIsToldToTheProcessorAndMayComeBackToIt() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        #expect(ledger.lost(["1"]) == [])
        #expect(ledger.extend([lease], duration: .seconds(15), now: Self.start) == [lease])
        // Nobody else gets it while it may still be running here.
        #expect(ledger.admit(ackID: "2", messageID: "m-a", now: Self.start) == .inHand)
        #expect(ledger.extend([lease], duration: .seconds(15), now: Self.start) == [])
        #expect(ledger.beginCompletion(lease) == .publish)
    }

    @Test func theResultOfALostMessageIsNotPublished() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        _ = ledger.lost(["1"])
        #expect(ledger.beginCompletion(lease) == .lost(handBack: []))
        #expect(ledger.count == 0)
    }

    @Test func theIDsOfAMessageMayHaveLapsedUnlessItsResultIsPublished() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        #expect(ledger.lapsedIDs(of: lease, now: Self.start + .seconds(59)) == [])
        #expect(ledger.lapsedIDs(of: lease, now: Self.start + .seconds(60)) == ["1"])
        ledger.extended(["1"], until: Self.start + .seconds(70))
        #expect(ledger.lapsedIDs(of: lease, now: Self.start + .seconds(60)) == [])
        ledger.published(lease)
        #expect(ledger.lapsedIDs(of: lease, now: Self.start + .seconds(90)) == [])
    }

    @Test func aLeaseThatIsNotExtendedLapses() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        #expect(ledger.tick(now: Self.start + .seconds(14)) == DeliveryLedger.Tick())
        let tick = ledger.tick(now: Self.start + .seconds(15))
        #expect(tick.handBack == ["1"])
        #expect(tick.lapsed == 1)
        #expect(ledger.extend([lease], duration: .seconds(15), now: Self.start) == [lease])
        #expect(ledger.beginCompletion(lease) == .lost(handBack: []))
    }

    // MARK: Giving back

    @Test(arguments: [
        (nil, 0.0, 0, Int32(0)), (nil, -5, 0, 0), (nil, 2.2, 0, 10), (nil, 5000, 0, 600), (10.0, 9, 0, 0),
        (10, 11, 0, 30), (10, 39, 3, 0), (10, 41, 3, 60), (10, 599, 40, 0),
    ])
    func aPauseIsTheBrokersIfItIsLongEnoughAndElseADeadline(
        _ minimum: Double?, _ pause: Double, _ attempt: Int, _ seconds: Int32
    ) throws {
        var ledger = Self.ledger(kept: 0)
        ledger.backoff = minimum.map { BrokerBackoff(minimum: .seconds($0), maximum: .seconds(600)) }
        ledger.insert(try Self.message("a", attempt: attempt), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        let outcome = ledger.release(lease, attempts: .init(), pause: .seconds(pause), now: Self.start)
        #expect(outcome.tookEffect)
        #expect(outcome.handBack == DeliveryLedger.HandBack(ackIDs: ["1"], seconds: seconds))
        #expect(ledger.count == 0)
        #expect(!ledger.release(lease, attempts: .init(), pause: .zero, now: Self.start).tookEffect)
    }

    @Test func whatIsGivenBackStaysHereUnderANewLease() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a"), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        var attempts = AttemptRecord()
        attempts.failures = 2
        let outcome = ledger.release(lease, attempts: attempts, pause: .zero, now: Self.start)
        #expect(outcome.tookEffect)
        #expect(outcome.handBack == DeliveryLedger.HandBack())
        #expect(!ledger.release(lease, attempts: attempts, pause: .zero, now: Self.start).tookEffect)
        let second = try #require(taken(&ledger).first)
        #expect(second.lease != lease)
        #expect(second.attempts == attempts)
        #expect(ledger.ackIDs(of: second.lease) == ["1"])
        let pausing = ledger.release(second.lease, attempts: attempts, pause: .seconds(40), now: Self.start)
        #expect(pausing.handBack == DeliveryLedger.HandBack())
        #expect(taken(&ledger).isEmpty)
        let due = Self.start + .seconds(40)
        // It is kept alive like everything that is out.
        #expect(ledger.tick(now: due - .seconds(1)).extend == ["1"])
        #expect(ledger.tick(now: due).hasNewStock)
        #expect(taken(&ledger, at: due).first?.attempts == attempts)
    }

    @Test func beyondTheBoundAndAfterTheLastLeaseWhatIsGivenBackGoesToTheBroker() throws {
        var ledger = Self.ledger(kept: 2)
        for id in ["a", "b", "c"] { ledger.insert(try Self.message(id), ackID: id, now: Self.start) }
        let leases = taken(&ledger).map(\.lease)
        func handedBack(_ index: Int) -> [String] {
            ledger.release(leases[index], attempts: .init(), pause: .seconds(5), now: Self.start).handBack.ackIDs
        }
        #expect(handedBack(0) == ["a"])
        #expect(handedBack(1) == [])
        ledger.isReturning = true
        #expect(handedBack(2) == ["c"])
        #expect(ledger.handBackAll(includingHeld: false) == ["b"])
    }

    @Test func aRestingMessageWhoseDeadlinePassesIsHandedOutToBeEnded() throws {
        var ledger = Self.ledger()
        ledger.insert(try Self.message("a", deadline: 2000), ackID: "1", now: Self.start)
        let lease = try #require(taken(&ledger).first).lease
        _ = ledger.release(lease, attempts: .init(), pause: .seconds(3600), now: Self.start)
        func overdue(_ instant: Double) -> [String] {
            ledger.takeOverdue(
                before: Instant(seconds: instant), limit: 5, duration: .seconds(15), now: Self.start
            ).map(\.message.id)
        }
        #expect(overdue(2000) == [])
        #expect(overdue(2001) == ["a"])
        #expect(overdue(2001) == [])
    }

    @Test func theRecordOfAMessageWinsOverTheBrokersCount() throws {
        var ledger = Self.ledger(kept: 0)
        ledger.insert(try Self.message("a", attempt: 4), ackID: "1", now: Self.start)
        let leased = try #require(taken(&ledger).first)
        #expect(leased.attempts.dispatches == 3)
        #expect(leased.attempts.failures == 0)
        var attempts = leased.attempts
        attempts.failures = 1
        _ = ledger.release(leased.lease, attempts: attempts, pause: .zero, now: Self.start)
        ledger.insert(try Self.message("a", attempt: 5), ackID: "2", now: Self.start)
        #expect(taken(&ledger).first?.attempts.failures == 1)
    }

    // MARK: Order

    @Test func aKeysMessagesGoOneByOneWhateverTheirDeadlines() throws {
        var ledger = Self.ledger(ordered: true)
        for (index, id) in ["a", "b", "c"].enumerated() {
            ledger.insert(
                try Self.message(id, key: "k", deadline: 1e6 - Double(index)), ackID: id, now: Self.start)
        }
        ledger.insert(try Self.message("z", key: "l", deadline: 2e6), ackID: "z", now: Self.start)
        let first = taken(&ledger)
        #expect(first.map(\.message.id) == ["a", "z"])
        _ = ledger.beginCompletion(first[0].lease)
        ledger.published(first[0].lease)
        #expect(taken(&ledger).isEmpty)
        #expect(ledger.acknowledged(first[0].lease, [("a", .confirmed)]) == .removed)
        #expect(taken(&ledger).map(\.message.id) == ["b"])
    }

    @Test func aPauseInALineIsSpentHereUnderANewLease() throws {
        var ledger = Self.ledger(ordered: true)
        for id in ["a", "b"] { ledger.insert(try Self.message(id, key: "k"), ackID: id, now: Self.start) }
        let lease = try #require(taken(&ledger).first).lease
        let outcome = ledger.release(lease, attempts: .init(), pause: .seconds(5), now: Self.start)
        #expect(outcome.tookEffect)
        #expect(outcome.handBack.ackIDs == [])
        #expect(taken(&ledger).isEmpty)
        #expect(!ledger.tick(now: Self.start + .seconds(4)).hasNewStock)
        #expect(ledger.tick(now: Self.start + .seconds(5)).hasNewStock)
        let again = try #require(taken(&ledger).first)
        #expect(again.message.id == "a")
        #expect(again.lease != lease)
    }

    @Test func whatGoesBackFromALineTakesAlongThoseBehindIt() throws {
        var ledger = Self.ledger(ordered: true)
        for id in ["a", "b", "c", "d"] { ledger.insert(try Self.message(id, key: "k"), ackID: id, now: Self.start) }
        let lease = try #require(taken(&ledger).first).lease
        // The third is lost: the fourth must not overtake it.
        #expect(ledger.lost(["c"]) == ["d"])
        ledger.isReturning = true
        let outcome = ledger.release(lease, attempts: .init(), pause: .zero, now: Self.start)
        #expect(outcome.handBack.ackIDs == ["a", "b"])
        #expect(ledger.lines.isEmpty)
        #expect(ledger.leasesByMessage.isEmpty)
        #expect(ledger.leasesByAckID.isEmpty)
    }

    // MARK: Worlds

    @Test(arguments: 1...40)
    func inRandomWorldsNothingRunsTwiceAtATimeAndNothingIsLeftBehind(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var ledger = Self.ledger(exactlyOnce: seed % 2 == 0, ordered: seed % 3 == 0, kept: seed % 5 == 0 ? 3 : 100)
        var now = Self.start
        var lastID = 0
        var running: [String: Lease] = [:]
        for _ in 0..<600 {
            now = now + .milliseconds(generator.unit() * 2000)
            switch Int.random(in: 0..<9, using: &generator) {
            case 0, 1, 2:
                let id = "\(Int.random(in: 0..<30, using: &generator))"
                lastID += 1
                guard ledger.admit(ackID: "\(lastID)", messageID: "m-" + id, now: now) == .fresh else { break }
                let key = "\(Int.random(in: 0..<4, using: &generator))"
                ledger.insert(try Self.message(id, key: key), ackID: "\(lastID)", now: now)
            case 3, 4:
                for leased in taken(&ledger, 3, at: now) {
                    #expect(running[leased.message.id] == nil)
                    running[leased.message.id] = leased.lease
                }
            case 5:
                let lost = Set(ledger.extend(Array(running.values), duration: .seconds(15), now: now))
                for (id, lease) in running where lost.contains(lease) && ledger.entries[lease] == nil {
                    running[id] = nil
                }
            case 6:
                guard let (id, lease) = running.randomElement(using: &generator) else { break }
                running[id] = nil
                _ = ledger.release(lease, attempts: .init(), pause: .seconds(generator.unit() * 3), now: now)
            case 7:
                guard let (id, lease) = running.randomElement(using: &generator) else { break }
                running[id] = nil
                guard ledger.beginCompletion(lease) == .publish else { break }
                ledger.published(lease)
                let outcomes = ledger.ackIDs(of: lease).map {
                    ($0, Bool.random(using: &generator) ? .confirmed : Acknowledgement.lost)
                }
                #expect(ledger.acknowledged(lease, outcomes) != .again)
            default:
                let tick = ledger.tick(now: now)
                if Bool.random(using: &generator) { ledger.extended(tick.extend, until: now + .seconds(60)) }
                if let id = tick.extend.randomElement(using: &generator) { _ = ledger.lost([id]) }
                for (id, lease) in running where ledger.entries[lease] == nil { running[id] = nil }
            }
            #expect(ledger.leasesByMessage.count == ledger.entries.count)
            #expect(ledger.leasesByAckID.count == ledger.entries.values.reduce(0) { $0 + $1.ackIDs.count })
            #expect(ledger.leasesByMessage.allSatisfy { ledger.entries[$1]?.messageID == $0 })
            #expect(ledger.stock.count == ledger.entries.values.count { $0.stage == .stocked })
            for line in ledger.lines.values {
                #expect(line.allSatisfy { ledger.entries[$0] != nil })
                #expect(line.dropFirst().allSatisfy { ledger.entries[$0]?.stage == .behind })
            }
        }
        _ = ledger.handBackAll(includingHeld: true)
        #expect(ledger.count == 0)
        #expect(ledger.lines.isEmpty)
        #expect(ledger.leasesByAckID.isEmpty)
    }
}

import Basics
import DispatchGates
import Testing
import WorkerPools

@Suite struct WorkerPoolOrderTests {
    /// Ends what runs, one after the other, and returns the order of the starts.
    private func order(
        _ machine: inout WorkerPoolStateMachine, begunWith first: [UInt64], step: TimeSpan = .zero
    ) -> [UInt64] {
        var order = first
        var running = first
        var now = start
        while let id = running.first {
            running.removeFirst()
            now = now + step
            let started = machine.ended(id, .accepted, now: now).started
            order += started
            running += started
        }
        return order
    }

    @Test func theEarliestDeadlineOfAllQueuesGoesFirst() {
        var machine = pool()
        let first = machine.offered(subject(1, due: 50), now: start).started
        for (id, queue, due) in [(2, "a", 40.0), (3, "b", 10), (4, "a", 20), (5, "b", 30)] as [(UInt64, String, Double)]
        {
            #expect(machine.offered(subject(id, queue: queue, due: due), now: start).isEmpty)
        }
        #expect(order(&machine, begunWith: first) == [1, 3, 4, 5, 2])
    }

    @Test func aHigherPriorityClassGoesBeforeAnEarlierDeadline() {
        var machine = pool()
        let first = machine.offered(subject(1), now: start).started
        _ = machine.offered(subject(2, due: 1), now: start)
        _ = machine.offered(subject(3, queue: "b", due: 9, priority: 2), now: start)
        #expect(order(&machine, begunWith: first) == [1, 3, 2])
    }

    @Test func noMoreThanTheWorkersAreUnderWay() {
        var machine = pool(workers: 3)
        let started = (UInt64(1)...8).flatMap { machine.offered(subject($0), now: start).started }
        #expect(started == [1, 2, 3] && machine.runningCount == 3 && machine.waitingCount == 5)
        #expect(machine.ended(2, .accepted, now: start).started == [4])
    }

    @Test func randomRobinGivesEachQueueItsTurnWhateverTheDeadlines() {
        var machine = pool(merge: .randomRobin)
        var first: [UInt64] = []
        for id in UInt64(1)...200 {
            first += machine.offered(subject(id, queue: id <= 100 ? "a" : "b", due: Double(id)), now: start).started
        }
        let fromB = order(&machine, begunWith: first).prefix(100).count { $0 > 100 }
        #expect((30...70).contains(fromB), "\(fromB) of the first 100")
    }

    @Test func tiersGoInStrictLanes() {
        var machine = pool(merge: .tierPriority)
        let first = machine.offered(subject(1), now: start).started
        let labels: [[String: String]] = [
            ["tier": "batch"], ["tier": "async"], ["tier": "interactive"],
            ["tier": "batch", "classification": "reserved"], ["tier": "interactive", "classification": "reserved"],
        ]
        for (index, labels) in labels.enumerated() {
            _ = machine.offered(subject(UInt64(index) + 2, due: Double(index), labels: labels), now: start)
        }
        #expect(order(&machine, begunWith: first) == [1, 6, 5, 4, 3, 2])
    }

    @Test func theLabelsOfAQueueWinOverThoseOfItsMessages() {
        var machine = pool(merge: .tierPriority)
        machine.addQueue("slow", labels: ["tier": "batch"], gate: nil)
        let first = machine.offered(subject(1), now: start).started
        _ = machine.offered(subject(2, queue: "slow", due: 1, labels: ["tier": "interactive"]), now: start)
        _ = machine.offered(subject(3, due: 9, labels: ["tier": "async"]), now: start)
        #expect(order(&machine, begunWith: first) == [1, 3, 2])
    }

    /// One worker, a request per second, and always a fresh one of the first lane.
    private func lowLaneWait(ageing: TimeSpan?) -> Double? {
        var machine = pool(merge: .tierPriority, ageing: ageing)
        var running = machine.offered(subject(1, labels: ["tier": "interactive"]), now: start).started
        _ = machine.offered(subject(2, labels: ["tier": "batch"]), now: start)
        for second in 1...300 {
            let now = start + .seconds(Double(second))
            _ = machine.offered(subject(UInt64(second) + 2, labels: ["tier": "interactive"]), now: now)
            running = machine.ended(running[0], .accepted, now: now).started
            if running == [2] { return Double(second) }
        }
        return nil
    }

    @Test func ageingBoundsTheWaitOfALowLane() throws {
        #expect(lowLaneWait(ageing: nil) == nil)
        let wait = try #require(lowLaneWait(ageing: .seconds(30)))
        #expect(wait >= 30 && wait <= 32)
    }

    @Test func ageingLeavesEverySecondStartToThePolicy() {
        var machine = pool(merge: .tierPriority, ageing: .seconds(1))
        var running = machine.offered(subject(1, labels: ["tier": "interactive"]), now: start).started
        for id in UInt64(100)..<150 { _ = machine.offered(subject(id, labels: ["tier": "batch"]), now: start) }
        var fresh = 0
        for turn in 1...40 {
            let now = start + .seconds(10 + Double(turn))
            _ = machine.offered(subject(UInt64(turn) + 1, labels: ["tier": "interactive"]), now: now)
            running = machine.ended(running[0], .accepted, now: now).started
            if running[0] < 100 { fresh += 1 }
        }
        #expect(fresh == 20)
    }
}

@Suite struct WorkerPoolGateTests {
    private let source = GateSource.prometheus(query: "slack")

    private func slackGate() throws -> DispatchGate { try gate("prometheus-query", ["query": .text("slack")]) }

    @Test func aGateWithoutAReadingIsClosedAndItsReadingOpensIt() throws {
        var machine = pool(workers: 4, gate: try slackGate())
        #expect(machine.sources == [source])
        #expect((UInt64(1)...3).allSatisfy { machine.offered(subject($0), now: start).isEmpty })
        #expect(machine.limit(now: start) == 0)
        #expect(machine.observed(.value(1), of: source, now: start).started == [1, 2, 3])
    }

    @Test(arguments: [(0.0, 0), (0.1, 1), (0.5, 4), (0.51, 5), (1, 8)])
    func theBudgetBoundsWhatIsUnderWayAsAShareOfTheWorkers(budget: Double, limit: Int) throws {
        var machine = pool(workers: 8, gate: try slackGate())
        for id in UInt64(1)...20 { _ = machine.offered(subject(id), now: start) }
        #expect(machine.observed(.value(budget), of: source, now: start).started.count == limit)
    }

    @Test func aShrinkingBudgetStopsNobodyButStartsNobodyEither() throws {
        var machine = pool(workers: 4, gate: try slackGate())
        _ = machine.observed(.value(1), of: source, now: start)
        for id in UInt64(1)...8 { _ = machine.offered(subject(id), now: start) }
        _ = machine.observed(.value(0.25), of: source, now: start)
        #expect(machine.ended(1, .accepted, now: start).started.isEmpty && machine.runningCount == 3)
        _ = machine.ended(2, .accepted, now: start)
        #expect(machine.ended(3, .accepted, now: start).started.isEmpty)
        #expect(machine.ended(4, .accepted, now: start).started == [5])
    }

    @Test func theGateOfOneQueueDoesNotHoldUpAnother() throws {
        var machine = pool(workers: 2, queues: [("a", try slackGate()), ("b", nil)])
        #expect(machine.offered(subject(1, due: 1), now: start).isEmpty)
        #expect(machine.offered(subject(2, queue: "b", due: 9), now: start).started == [2])
        #expect(machine.observed(.value(1), of: source, now: start).started == [1])
    }

    @Test func aLocalLimitLetsTheNextGoWhenOneEnds() throws {
        let local = try gate("local-max-concurrency", ["limit": .number(2)])
        var machine = pool(workers: 50, queues: [("a", local), ("b", nil)])
        let started = (UInt64(1)...6).flatMap { machine.offered(subject($0), now: start).started }
        #expect(started == [1, 2])
        #expect(machine.ended(1, .accepted, now: start).started == [3])
    }

    @Test func aSaturatedPoolDropsInteractiveOverflowAndKeepsBatch() throws {
        let tiers = try gate(
            "tier-priority-admission",
            [
                "saturation_gate": .text("constant"),
                "saturation_gate_params": .object(["budget": .number(0)]),
            ])
        var machine = pool(workers: 2, queues: [("a", tiers)])
        let dropped = machine.offered(
            subject(1, labels: ["tier": "interactive", "classification": "overflow"]), now: start)
        guard case .drop(1, _)? = dropped.first else {
            Issue.record("expected a drop, not \(dropped)")
            return
        }
        #expect(machine.offered(subject(2, labels: ["tier": "batch"]), now: start).isEmpty)
        #expect(machine.waitingCount == 1)
    }

    @Test func aModelWithoutCreditHoldsUpNoOther() {
        var machine = pool(workers: 10)
        _ = machine.creditChanged(
            to: [CapacityCredit(models: ["m"], requests: 1), CapacityCredit(models: ["n"], requests: 3)], now: start)
        var started: [UInt64] = []
        for id in UInt64(1)...8 {
            var request = subject(id)
            request.model = id <= 4 ? "m" : "n"
            started += machine.offered(request, now: start).started
        }
        #expect(started == [1, 5, 6, 7])
        #expect(machine.ended(5, .accepted, now: start).started == [8])
        #expect(machine.ended(1, .accepted, now: start).started == [2])
    }

    @Test func creditBoundsWhatIsUnderWay() {
        var machine = pool(workers: 10)
        _ = machine.creditChanged(to: [CapacityCredit(models: [], requests: 2)], now: start)
        let started = (UInt64(1)...5).flatMap { machine.offered(subject($0), now: start).started }
        #expect(started == [1, 2])
        #expect(machine.creditChanged(to: [CapacityCredit(models: [], requests: 3)], now: start).started == [3])
        #expect(machine.creditChanged(to: nil, now: start).started == [4, 5])
    }
}

@Suite struct WorkerPoolQuotaTests {
    @Test func aTenantBeyondItsQuotaIsPassedBy() throws {
        var machine = pool(workers: 4, queues: [("a", try quotaGate())])
        let first = try #require(machine.offered(subject(1, due: 1, user: "greedy"), now: start).asked.first)
        #expect(machine.acquired(first.id, first.quota, granted: true, now: start).started == [1])
        let second = try #require(machine.offered(subject(2, due: 2, user: "greedy"), now: start).asked.first)
        #expect(machine.acquired(second.id, second.quota, granted: false, now: start).started.isEmpty)
        let other = try #require(machine.offered(subject(3, due: 3, user: "modest"), now: start).asked.first)
        #expect(machine.acquired(other.id, other.quota, granted: true, now: start).started == [3])
        // The end of the first returns its unit, and with it the second is asked for again.
        let after = machine.ended(1, .accepted, now: start)
        #expect(after.returned == [first.quota])
        let again = try #require(machine.tick(now: start).asked.first)
        #expect(again.id == 2)
        #expect(machine.acquired(again.id, again.quota, granted: true, now: start).started == [2])
    }

    @Test func anExhaustedQuotaIsNotAskedForAgainBeforeAPause() throws {
        var machine = pool(workers: 4, queues: [("a", try quotaGate())])
        let first = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
        _ = machine.acquired(first.id, first.quota, granted: false, now: start)
        #expect((UInt64(2)...50).allSatisfy { machine.offered(subject($0, user: "x"), now: start).asked.isEmpty })
        let wake = try #require(machine.nextWake(now: start))
        #expect(wake - start >= .milliseconds(50) && wake - start <= .milliseconds(100))
        #expect(machine.tick(now: wake).asked.isEmpty == false)
    }

    @Test func whatIsGrantedToARequestThatHasLeftIsReturned() throws {
        var machine = pool(workers: 4, queues: [("a", try quotaGate())])
        let asked = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
        #expect(machine.withdrawn(1, now: start).returned.isEmpty)
        #expect(machine.acquired(asked.id, asked.quota, granted: true, now: start).returned == [asked.quota])
        #expect(machine.waitingCount == 0)
    }

    @Test func manyWhoAreTurnedAwayGoBackToTheirQueue() throws {
        var machine = pool(workers: 4, queues: [("a", try quotaGate()), ("b", nil)])
        let first = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
        _ = machine.acquired(first.id, first.quota, granted: false, now: start)
        let actions = (UInt64(2)...100).flatMap { machine.offered(subject($0, user: "x"), now: start) }
        let postponed = actions.count { if case .postpone = $0 { true } else { false } }
        #expect(postponed == 36 && machine.waitingCount == 64)
    }

    @Test func aQuotaThatCannotBeAskedForKeepsItsRequestWaiting() throws {
        var machine = pool(workers: 4, queues: [("a", try quotaGate())])
        let asked = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
        #expect(machine.acquireFailed(asked.id, asked.quota, now: start).started.isEmpty)
        let wake = try #require(machine.nextWake(now: start))
        #expect(machine.tick(now: wake).asked.first?.id == 1)
    }

    private let classifying: [String: GateParameter] = ["gating_mode": .text("classifying")]

    @Test func aClassifyingQuotaThatCannotBeAskedForLabelsNobody() throws {
        for merge in [MergePolicy.deadline, .tierPriority] {
            var machine = pool(workers: 4, merge: merge, queues: [("a", try quotaGate(classifying))])
            let asked = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
            #expect(machine.acquireFailed(asked.id, asked.quota, now: start).started.isEmpty)
            // Neither this one nor another goes by what is remembered of the failure.
            let other = machine.offered(subject(2, user: "x"), now: start)
            #expect(other.started.isEmpty && other.asked.isEmpty && machine.tick(now: start).isEmpty)
            let wake = try #require(machine.nextWake(now: start))
            let again = machine.tick(now: wake).asked
            try #require(again.map(\.id) == [1, 2])
            let started = machine.acquired(1, again[0].quota, granted: true, now: wake)
            #expect(started.contains(.start(1, labels: ["classification": "reserved"])))
        }
    }

    @Test func aFailureUnderTierPriorityAdmissionDropsNobody() throws {
        let quota: GateParameter = .object([
            "address": .text("127.0.0.1:6379"), "limit": .number(1), "gating_mode": .text("blocking"),
        ])
        let tiers = try gate(
            "tier-priority-admission", ["saturation_gate": .text("redis-quota"), "saturation_gate_params": quota])
        var machine = pool(workers: 4, queues: [("a", tiers)])
        let labels = ["tier": "interactive", "classification": "overflow"]
        let asked = try #require(machine.offered(subject(1, user: "x", labels: labels), now: start).asked.first)
        #expect(machine.acquireFailed(asked.id, asked.quota, now: start).returned == [asked.quota])
        #expect(machine.offered(subject(2, user: "x", labels: labels), now: start).isEmpty)
        #expect(machine.waitingCount == 2)
    }

    @Test func aClassifyingQuotaIsAskedAboutEachRequest() throws {
        var machine = pool(workers: 4, queues: [("a", try quotaGate(classifying))])
        let first = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
        #expect(machine.acquired(first.id, first.quota, granted: false, now: start).started == [1])
        let second = try #require(machine.offered(subject(2, user: "x"), now: start).asked.first)
        let actions = machine.acquired(second.id, second.quota, granted: true, now: start)
        #expect(actions.contains(.start(2, labels: ["classification": "reserved"])))
    }

    @Test func aQuotaServerThatHangsHoldsUpNoOtherQueue() throws {
        var machine = pool(workers: 2, queues: [("a", try quotaGate()), ("b", nil)])
        for id in UInt64(1)...9 { _ = machine.offered(subject(id, due: 1, user: "u\(id)"), now: start) }
        // For a moment the workers are kept for those who are more urgent.
        #expect(machine.offered(subject(20, queue: "b"), now: start).started.isEmpty)
        #expect(machine.offered(subject(21, queue: "b"), now: start).started.isEmpty)
        let wake = try #require(machine.nextWake(now: start))
        #expect(wake - start <= .milliseconds(20))
        #expect(machine.tick(now: wake).started == [20, 21])
    }

    @Test func thereIsAQuestionForEachFreeWorkerAndNoMore() throws {
        var machine = pool(workers: 3, queues: [("a", try quotaGate()), ("b", nil)])
        _ = machine.offered(subject(100, queue: "b"), now: start)
        let asked = (UInt64(1)...9).flatMap { machine.offered(subject($0, user: "u\($0)"), now: start).asked }
        #expect(asked.map(\.id) == [1, 2])
        #expect(machine.tick(now: start + .seconds(1)).asked.isEmpty)
    }

    @Test(arguments: [true, false])
    func whoIsGrantedAQuotaWhileNoWorkerIsFreeWaitsAndKeepsIt(isPoolGate: Bool) throws {
        let quota = try quotaGate()
        var machine =
            isPoolGate ? pool(gate: quota) : pool(queues: [("a", quota), ("b", nil)])
        let asked = try #require(machine.offered(subject(1, due: 1, user: "x"), now: start).asked.first)
        _ = machine.offered(subject(2, queue: "b", due: 2), now: start)
        let later = start + .milliseconds(20)
        #expect(machine.tick(now: later).started == [2])
        // Neither more than one worker, nor a quota that is given back and asked for again.
        #expect(machine.acquired(asked.id, asked.quota, granted: true, now: later).isEmpty)
        #expect(machine.tick(now: later + .seconds(9)).isEmpty && machine.runningCount == 1)
        #expect(machine.ended(2, .accepted, now: later).started == [1])
        #expect(machine.ended(1, .accepted, now: later).returned == [asked.quota])
    }

    @Test func aRequestThatFillsTheGateItselfIsNotLockedOutByIt() throws {
        let local: GateParameter = .object([
            "gate_type": .text("local-max-concurrency"), "gate_params": .object(["limit": .number(1)]),
        ])
        let quota: GateParameter = .object([
            "gate_type": .text("redis-quota"),
            "gate_params": .object([
                "address": .text("h:1"), "limit": .number(1), "gating_mode": .text("blocking"),
            ]),
        ])
        var machine = pool(gate: try gate("composite", ["gates": .list([local, quota])]))
        let asked = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
        #expect(machine.offered(subject(2, queue: "b"), now: start).started.isEmpty)
        #expect(machine.tick(now: start + .seconds(1)).started.isEmpty && machine.limit(now: start) == 0)
        #expect(machine.acquired(asked.id, asked.quota, granted: true, now: start).started == [1])
    }

    @Test func aSaturatedPoolBehindAQuotaIsNotAskedAboutWithoutPause() throws {
        let quota: GateParameter = .object([
            "gate_type": .text("redis-quota"),
            "gate_params": .object([
                "address": .text("h:1"), "limit": .number(9), "gating_mode": .text("classifying"),
            ]),
        ])
        let tiers: GateParameter = .object([
            "gate_type": .text("tier-priority-admission"),
            "gate_params": .object([
                "saturation_gate": .text("prometheus-query"),
                "saturation_gate_params": .object(["query": .text("slack")]),
            ]),
        ])
        var machine = pool(gate: try gate("composite", ["gates": .list([quota, tiers])]))
        let asked = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
        let answer = machine.acquired(asked.id, asked.quota, granted: true, now: start)
        #expect(answer.asked.isEmpty && answer.returned == [asked.quota])
        let wake = try #require(machine.nextWake(now: start))
        #expect(wake - start >= .milliseconds(50) && wake - start <= .milliseconds(100))
        #expect(machine.tick(now: wake).asked.map(\.id) == [1])
    }

    @Test func theQuotaDecidesTheLane() throws {
        var machine = pool(merge: .tierPriority, queues: [("a", try quotaGate(["gating_mode": .text("classifying")]))])
        let first = try #require(machine.offered(subject(1, user: "x"), now: start).asked.first)
        #expect(machine.acquired(first.id, first.quota, granted: true, now: start).started == [1])
        let over = try #require(machine.offered(subject(2, due: 1, user: "x"), now: start).asked.first)
        #expect(machine.acquired(over.id, over.quota, granted: false, now: start).isEmpty)
        let within = try #require(machine.offered(subject(3, due: 9, user: "y"), now: start).asked.first)
        #expect(machine.acquired(within.id, within.quota, granted: true, now: start).isEmpty)
        let next = machine.ended(1, .accepted, now: start)
        #expect(next.contains(.start(3, labels: ["classification": "reserved"])))
    }
}

@Suite struct ElasticPoolTests {
    @Test func aPoolWithoutANumberOfItsOwnFollowsWhatTheGatewayHasRoomFor() {
        var configuration = WorkerPoolConfiguration(name: "default", workers: 2)
        configuration.isElastic = true
        var machine = WorkerPoolStateMachine(configuration, gate: nil, seed: 1)
        machine.addQueue("a", labels: [:], gate: nil)
        let first = (UInt64(1)...9).flatMap { machine.offered(subject($0), now: start).started }
        #expect(first == [1, 2])
        #expect(
            machine.creditChanged(to: [CapacityCredit(models: [], requests: 6)], now: start).started == [3, 4, 5, 6])
        #expect(machine.creditChanged(to: nil, now: start).started.isEmpty)
        #expect(machine.limit(now: start) == 2)
    }
}

import Basics
import DispatchGates
import Testing

@Suite struct AdmissionGateTests {
    private func quota(
        _ mode: QuotaRequest.Mode, _ gating: GateConfiguration.GatingMode, limit: Int = 2
    ) -> GateConfiguration {
        var gate = GateConfiguration.RedisQuota(address: "r:1", limit: limit)
        gate.mode = mode
        gate.gatingMode = gating
        return .redisQuota(gate)
    }

    @Test func localConcurrencyRefusesBeyondItsLimit() {
        var bench = GateBench(.localMaxConcurrency(.init(limit: 2)))
        #expect(bench.apply(1).isProceed)
        #expect(bench.gate.reportedBudget(now: bench.now) == 0.5 && bench.budget == 1)
        #expect(bench.apply(2).isProceed && bench.apply(3).isRefuse)
        #expect(bench.gate.reportedBudget(now: bench.now) == 0 && bench.budget == 0)
        bench.gate.release(1)
        bench.gate.release(1)
        #expect(bench.apply(3).isProceed && bench.apply(4).isRefuse)
    }

    @Test func localConcurrencyThatBlocksMakesRequestsWait() {
        var bench = GateBench(.localMaxConcurrency(.init(limit: 1, gatingMode: .blocking)))
        #expect(bench.apply(1).isProceed && bench.apply(2) == .wait)
        bench.gate.release(1)
        #expect(bench.apply(2).isProceed)
    }

    @Test func aQuotaIsAskedForUnderTheValueOfItsAttribute() throws {
        var bench = GateBench(quota(.concurrency, .blocking, limit: 7))
        let first = try #require(bench.apply(1, user: "ann").request)
        let second = try #require(bench.apply(2, user: "bob").request)
        #expect(first.key == "quota:userid:ann" && second.key == "quota:userid:bob")
        #expect(first.address == "r:1" && first.limit == 7 && first.mode == .concurrency)
        #expect(first.owner.hasPrefix("test/") && first.owner != second.owner)
        #expect(bench.apply(3) == .proceed(labels: [:]), "no attribute, no quota")
        #expect(bench.apply(1, user: "ann") == .wait, "the question is open")
    }

    @Test func aBlockingQuotaRefusesAndAClassifyingOneLabels() {
        var blocking = GateBench(quota(.rateLimit, .blocking))
        _ = blocking.apply(1, user: "ann")
        #expect(
            blocking.gate.resume(1, granted: true, now: blocking.now)
                == .proceed(labels: ["classification": "reserved"]))
        _ = blocking.apply(2, user: "ann")
        #expect(blocking.gate.resume(2, granted: false, now: blocking.now).isRefuse)
        #expect(blocking.gate.opensAt(now: blocking.now).map { $0 > blocking.now } == true)
        var classifying = GateBench(quota(.rateLimit, .classifying))
        _ = classifying.apply(1, user: "ann")
        #expect(
            classifying.gate.resume(1, granted: false, now: classifying.now)
                == .proceed(labels: ["classification": "overflow"]))
        classifying.gate.release(1)
        #expect(classifying.gate.takeReturns().isEmpty, "nothing was granted")
    }

    @Test func aConcurrencySlotIsReturnedOnceAndARateTokenIsUsedUp() throws {
        var slots = GateBench(quota(.concurrency, .blocking))
        let request = try #require(slots.apply(1, user: "ann").request)
        #expect(slots.gate.resume(1, granted: true, now: slots.now).isProceed)
        #expect(slots.gate.takeReturns().isEmpty)
        slots.gate.release(1)
        slots.gate.release(1)
        #expect(slots.gate.takeReturns() == [request] && slots.gate.takeReturns().isEmpty)

        var rate = GateBench(quota(.rateLimit, .blocking))
        _ = rate.apply(1, user: "ann")
        _ = rate.gate.resume(1, granted: true, now: rate.now)
        rate.gate.release(1)
        #expect(rate.gate.takeReturns().isEmpty)
        let taken = try #require(rate.apply(2, user: "ann").request)
        _ = rate.gate.resume(2, granted: true, now: rate.now)
        rate.gate.withdraw(2)
        #expect(rate.gate.takeReturns() == [taken], "it was never sent")
    }

    @Test func aQuotaThatCannotBeAskedIsClosedAndGivenBackInCaseItWasGranted() throws {
        var bench = GateBench(quota(.concurrency, .classifying))
        let request = try #require(bench.apply(1, user: "ann").request)
        #expect(bench.gate.acquireFailed(1, now: bench.now) == .wait)
        #expect(bench.gate.takeReturns() == [request] && bench.gate.heldCount == 0)
        let again = try #require(bench.gate.opensAt(now: bench.now))
        #expect(again > bench.now && bench.gate.opensAt(now: again) == nil)
    }

    @Test func aRequestTakenBackBeforeItsAnswerReturnsWhatIsGrantedLater() throws {
        var bench = GateBench(quota(.rateLimit, .blocking))
        let request = try #require(bench.apply(1, user: "ann").request)
        bench.gate.release(1)
        #expect(bench.gate.takeReturns().isEmpty && bench.apply(1, user: "ann") == .wait)
        #expect(bench.gate.resume(1, granted: true, now: bench.now) == .wait)
        #expect(bench.gate.takeReturns() == [request] && bench.gate.heldCount == 0)
        #expect(bench.apply(1, user: "ann").request != nil)
    }

    @Test func aCompositeGivesBackWhatEarlierGatesReserved() throws {
        var bench = GateBench(
            .composite([
                .localMaxConcurrency(.init(limit: 1)), quota(.rateLimit, .blocking),
                .prometheusQuery(.init(query: "q")),
            ]))
        bench.read(.value(0))
        let request = try #require(bench.apply(1, user: "ann").request)
        #expect(bench.apply(2, user: "ann").isRefuse, "the slot is held while the quota is asked for")
        #expect(bench.gate.resume(1, granted: true, now: bench.now).isRefuse, "the last gate is closed")
        #expect(bench.gate.takeReturns() == [request] && bench.gate.heldCount == 0)
        bench.read(.value(0.5))
        #expect(bench.budget == 0.5)
        _ = bench.apply(2, user: "ann")
        #expect(bench.gate.resume(2, granted: true, now: bench.now).isProceed)
        #expect(bench.gate.takeReturns().isEmpty)
    }

    @Test func aCompositesBudgetIsTheLeast() {
        var bench = GateBench(
            .composite([
                .constant(budget: 0.7), .prometheusQuery(.init(query: "a")), .prometheusQuery(.init(query: "b")),
            ]))
        bench.read(.value(0.9), where: "query a")
        #expect(bench.budget == 0, "one has no reading")
        bench.read(.value(0.4), where: "query b")
        #expect(isNear(bench.budget, 0.4))
        bench.read(.value(0.95), where: "query b")
        #expect(isNear(bench.budget, 0.7))
    }

    @Test func waitOnRefuseKeepsHoldOfWhatTheInnerGateRefuses() {
        var bench = GateBench(.waitOnRefuse(.composite([.constant(budget: 1), .prometheusQuery(.init(query: "q"))])))
        #expect(bench.apply(1) == .wait && bench.budget == 0)
        bench.read(.value(0.2))
        #expect(bench.apply(1).isProceed && isNear(bench.budget, 0.2))
    }

    @Test(arguments: [
        ("reserved", "batch", GateVerdict.wait), ("reserved", "interactive", .wait),
        ("overflow", "interactive", .drop(reason: "Too Many Requests")),
        ("overflow", "batch", .refuse(reason: "the pool is saturated")),
        ("", "interactive", .refuse(reason: "the pool is saturated")),
        ("overflow", "", .refuse(reason: "the pool is saturated")),
    ])
    func aSaturatedPoolSortsByClassAndTier(classification: String, tier: String, verdict: GateVerdict) {
        let labels = ["classification": classification, "tier": tier].filter { !$0.value.isEmpty }
        var closed = GateBench(.tierPriorityAdmission(.init(saturationGate: .constant(budget: 0))))
        #expect(closed.apply(1, labels) == verdict)
        #expect(closed.budget == 1, "requests must be asked about to be sorted")
        #expect(closed.gate.reportedBudget(now: closed.now) == 0)
        var open = GateBench(.tierPriorityAdmission(.init(saturationGate: .constant(budget: 0.3))))
        #expect(open.apply(1, labels) == .proceed(labels: [:]) && open.budget == 0.3)
    }

    private let interactiveOverflow = ["classification": "overflow", "tier": "interactive"]

    @Test func anInnerGateThatHasRequestsWaitOrDropsThemDoesNotCountAsSaturated() {
        let tier = { GateConfiguration.tierPriorityAdmission(.init(saturationGate: $0)) }
        let local = GateConfiguration.localMaxConcurrency(.init(limit: 1))
        for inner in [GateConfiguration.waitOnRefuse(.constant(budget: 0)), tier(.constant(budget: 0))] {
            // What the inner gate reserved before is given back, and what follows the outer gate is asked all the same.
            var bench = GateBench(.composite([tier(.composite([local, inner])), .prometheusQuery(.init(query: "q"))]))
            #expect(bench.apply(1, interactiveOverflow).isRefuse)
            bench.read(.value(1))
            #expect(bench.apply(1, interactiveOverflow) == .proceed(labels: [:]))
            #expect(bench.apply(2, interactiveOverflow) == .proceed(labels: [:]), "the place was given back")
        }
    }

    @Test func aPlaceThatIsWaitedForIsNotPassedBy() {
        let local = GateConfiguration.localMaxConcurrency(.init(limit: 1, gatingMode: .blocking))
        var bench = GateBench(.tierPriorityAdmission(.init(saturationGate: local)))
        #expect(bench.apply(1, interactiveOverflow).isProceed && bench.apply(2, interactiveOverflow) == .wait)
    }

    @Test func aQuotaThatCannotBeAskedForDropsNobody() {
        var bench = GateBench(.tierPriorityAdmission(.init(saturationGate: quota(.concurrency, .blocking))))
        _ = bench.apply(1, interactiveOverflow, user: "ann")
        #expect(bench.gate.acquireFailed(1, now: bench.now) == .wait)
        #expect(bench.gate.takeReturns().count == 1, "it may have been granted")
        _ = bench.apply(1, interactiveOverflow, user: "ann")
        #expect(bench.gate.unasked(1, now: bench.now) == .wait)
        #expect(bench.gate.takeReturns().isEmpty && bench.gate.heldCount == 0, "it was never asked for")
        _ = bench.apply(1, interactiveOverflow, user: "ann")
        #expect(bench.gate.resume(1, granted: false, now: bench.now) == .drop(reason: GateVerdict.tooManyRequests))
    }

    @Test func onlyABlockingQuotaTurnsAwayByItsNo() {
        var blocking = GateBench(quota(.rateLimit, .blocking))
        var classifying = GateBench(quota(.rateLimit, .classifying))
        _ = blocking.apply(1, user: "ann")
        _ = classifying.apply(1, user: "ann")
        #expect(blocking.gate.refusalBlocks(1) && !classifying.gate.refusalBlocks(1))
    }

    @Test func whatRequestsFillThemselvesIsNoPartOfTheMeasuredBudget() {
        var bench = GateBench(
            .composite([.localMaxConcurrency(.init(limit: 1)), .prometheusQuery(.init(query: "q"))]))
        bench.read(.value(0.5))
        #expect(bench.apply(1).isProceed)
        #expect(bench.budget == 0 && bench.gate.measuredBudget(now: bench.now) == 0.5)
        bench.read(.value(0))
        #expect(bench.gate.measuredBudget(now: bench.now) == 0)
    }

    @Test func theClassificationOfAnEarlierGateCounts() {
        var bench = GateBench(
            .composite([
                quota(.concurrency, .classifying), .tierPriorityAdmission(.init(saturationGate: .constant(budget: 0))),
            ]))
        _ = bench.apply(1, ["tier": "interactive"], user: "ann")
        #expect(bench.gate.resume(1, granted: false, now: bench.now) == .drop(reason: GateVerdict.tooManyRequests))
        _ = bench.apply(2, ["tier": "interactive"], user: "ann")
        #expect(bench.gate.resume(2, granted: true, now: bench.now) == .wait)
        #expect(bench.gate.takeReturns().count == 1, "what waits holds no quota meanwhile")
    }
}

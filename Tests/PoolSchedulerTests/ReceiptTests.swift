import Basics
import Harvest
import Pool
import PoolScheduler
import Routing
import Testing

/// What is kept of decisions, and what a policy in the shadow would have done.
@Suite struct ReceiptTests {
    @Test func aReceiptTellsWhatWasKnownAndWhatCameOfIt() throws {
        var scheduler = makeScheduler(endpoints: 3)
        _ = scheduler.endpointChanged(EndpointID(2), isUp: false, now: .zero)
        let placePlace = scheduler.submit(turn(1, text: 1, blocks: 20), now: .zero).place(of: 1)
        let place = try #require(placePlace)
        let early = try #require(scheduler.receipt(of: 1))
        #expect(early.policy == "cost" && early.decided == .zero && early.waited == .zero)
        #expect(early.candidates.map(\.endpoint) == ["endpoint-0", "endpoint-1", "endpoint-2"])
        #expect(early.candidates.map(\.isCandidate) == [true, true, false])
        #expect(early.picked == place.index)
        let picked = early.candidates[place.index]
        #expect(picked.predictedTTFTMilliseconds > 1280 * 0.0202 && picked.predictedTPOTMilliseconds > 6.86)
        #expect(early.candidates.filter(\.isCandidate).allSatisfy { picked.cost.total <= $0.cost.total })
        #expect(early.outcome == .init())
        scheduler.firstToken(1, now: Instant(seconds: 0.05))
        #expect(scheduler.receipt(of: 1)?.outcome.ttftMilliseconds == 50)
        let answer = AnswerFacts(promptTokens: 1300, cachedPromptTokens: 16, outputTokens: 101)
        _ = scheduler.finished(1, answer, now: Instant(seconds: 1.05))
        let outcome = try #require(scheduler.receipt(of: 1)).outcome
        #expect(outcome.tpotMilliseconds == 10 && outcome.outputTokens == 101 && outcome.cachedPromptTokens == 16)
    }

    @Test func aReceiptTellsHowLongTheRequestWaited() {
        var scheduler = makeScheduler(concurrency: 1)
        _ = scheduler.submit(chat(1), now: .zero)
        _ = scheduler.submit(turn(2, text: 1, blocks: 1), now: .zero)
        #expect(scheduler.receipt(of: 2) == nil, "nothing has been decided yet")
        _ = scheduler.finished(1, AnswerFacts(outputTokens: 1), now: Instant(seconds: 3))
        #expect(scheduler.receipt(of: 2)?.waited == .seconds(3))
    }

    @Test func aSheddableRequestHasAReceiptOfThePlaceThatItGot() throws {
        var scheduler = makeScheduler(endpoints: 2)
        var first = turn(1, text: 1, blocks: 20)
        first.priority = -1
        let firstPlace = scheduler.submit(first, now: .zero).place(of: 1)
        let early = try #require(scheduler.receipt(of: 1))
        #expect(early.policy == "harvest" && early.picked == firstPlace?.index)
        #expect(early.candidates.map(\.cachedPromptTokens) == [0, 0])
        scheduler.firstToken(1, now: Instant(seconds: 0.05))
        _ = scheduler.finished(1, AnswerFacts(outputTokens: 200), now: Instant(seconds: 2))
        #expect(scheduler.receipt(of: 1)?.outcome.outputTokens == 200)
        // The next with that beginning goes where it is cached, and its receipt says so.
        var second = turn(2, text: 1, blocks: 20)
        second.priority = -1
        let secondPlace = try #require(scheduler.submit(second, now: Instant(seconds: 3)).place(of: 2))
        #expect(secondPlace == firstPlace)
        #expect(scheduler.expectedCache(of: 2)[secondPlace.index] > 0)
    }

    @Test func receiptsAreKeptForTheLatestThatAskedForOne() {
        var scheduler = makeScheduler()
        for id in 1...300 {
            let now = Instant(seconds: Double(id) * 2)
            var request = turn(UInt64(id), text: UInt64(id), blocks: 1)
            request.isExplained = id % 10 != 0
            _ = scheduler.serve(request, now: now)
        }
        let kept = (1...300 as ClosedRange<UInt64>).filter { scheduler.receipt(of: $0) != nil }
        #expect(kept.count == 256)
        #expect(kept == (1...300).filter { $0 % 10 != 0 }.suffix(256))
    }

    /// Requests of several texts and sizes, some of them at the same time.
    private func work(_ scheduler: inout PoolScheduler, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var running: [UInt64] = []
        for id in 1...300 as ClosedRange<UInt64> {
            let now = Instant(seconds: Double(id) / 20)
            let text = UInt64.random(in: 0..<12, using: &generator)
            let request = turn(id, text: text, blocks: Int.random(in: 1...80, using: &generator))
            running += scheduler.submit(request, now: now).started
            if running.count > 10 {
                let first = running.removeFirst()
                scheduler.firstToken(first, now: now)
                running += scheduler.finished(first, AnswerFacts(outputTokens: 50), now: now).started
            }
        }
    }

    @Test func aPolicyInTheShadowIsComparedAndNeverFollowed() throws {
        var alone = makeScheduler(endpoints: 4)
        var shadowed = makeScheduler(endpoints: 4, shadow: .weighted(.routerDefault))
        work(&alone, seed: 1)
        work(&shadowed, seed: 1)
        for id in 1...300 as ClosedRange<UInt64> {
            #expect(shadowed.receipt(of: id)?.picked == alone.receipt(of: id)?.picked)
        }
        let tally = try #require(shadowed.shadowTally)
        #expect(tally.decisions == shadowed.counters.started[.realtime])
        #expect((1..<tally.decisions).contains(tally.agreements))
        #expect(tally.regretMilliseconds > 0, "nothing is cheaper by cost than what goes by cost")
        #expect(tally.improvements == 0)
        #expect(alone.shadowTally == nil && alone.shadowPolicyName == nil)
        #expect(shadowed.shadowPolicyName == "weighted")
    }

    @Test func theCostPolicyInTheShadowOfAWeightedOneShowsWhatThatCosts() throws {
        var scheduler = makeScheduler(
            endpoints: 4, routing: .weighted(WeightedPolicy(picker: WeightedPicker(.random))), shadow: .cost(.init()))
        work(&scheduler, seed: 2)
        let tally = try #require(scheduler.shadowTally)
        #expect(tally.regretMilliseconds < 0)
        #expect(tally.improvements > tally.decisions / 2 && tally.agreements > 0)
    }

    @Test func aPolicyAgreesWithItself() throws {
        var scheduler = makeScheduler(endpoints: 4, shadow: .cost(.init()))
        work(&scheduler, seed: 3)
        let tally = try #require(scheduler.shadowTally)
        #expect(tally.agreements == tally.decisions && tally.regretMilliseconds == 0)
    }

    @Test func aWeightedPolicyReadsAttributesAsEndpointsReportThem() {
        let scale = WeightedAttributeScale(attribute: "power", lowerIsBetter: true, range: nil)
        let policy = WeightedPolicy(scorers: [.init("frugal", .endpointAttribute(scale), weight: 1)])
        var scheduler = makeScheduler(endpoints: 3, routing: .weighted(policy), attributes: ["heat", "power"])
        func report(_ values: [[Double?]]) {
            for (index, value) in values.enumerated() {
                _ = scheduler.scraped(EndpointID(index), ScrapedMetrics(attributes: value), now: .zero)
            }
        }
        report([[1, 700], [5, 300], [0, nil]])
        #expect(scheduler.serve(turn(1, text: 1, blocks: 10), now: .zero) == EndpointID(1))
        report([[1, 700], [5, nil], [0, 800]])
        #expect(scheduler.serve(turn(2, text: 2, blocks: 10), now: Instant(seconds: 9)) == EndpointID(0))
    }

    @Test func aWeightedPolicyRoutesAsItsPipelineSays() throws {
        let policy = WeightedPolicy(scorers: [
            .init("kv", .kvCacheUtilization, weight: 1), .init("queue", .queue, weight: 2),
        ])
        var scheduler = makeScheduler(endpoints: 3, routing: .weighted(policy))
        let reports: [(waiting: Int, usage: Double)] = [(0, 0.9), (0, 0.2), (8, 0)]
        for (index, report) in reports.enumerated() {
            let metrics = ScrapedMetrics(waiting: report.waiting, running: 0, kvUsage: report.usage)
            _ = scheduler.scraped(EndpointID(index), metrics, now: .zero)
        }
        #expect(scheduler.submit(turn(1, text: 1, blocks: 10), now: .zero).place(of: 1) == EndpointID(1))
        let receipt = try #require(scheduler.receipt(of: 1))
        #expect(receipt.policy == "weighted")
        let scores = receipt.candidates.map { candidate in
            ["kv", "queue", "total"].map { candidate.scores[$0] ?? -1 }
        }
        let expected: [[Float]] = [[0.1, 1, 2.1], [0.8, 1, 2.8], [1, 0, 1]]
        for (row, wanted) in zip(scores, expected) {
            for (score, value) in zip(row, wanted) { #expect(abs(Double(score - value)) < 1e-5) }
        }
    }
}

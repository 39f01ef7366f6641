import Basics
import Pool
import Testing

@testable import Routing

/// `latency-scorer` and `slo-headroom-tier-filter`, worked out by hand from shared reference `scheduling.md` 4.4.
@Suite struct WeightedLatencyTests {
    private let streaming = WeightedHeadroom(isStreaming: true)
    private var table: CandidateTable
    private var request = weightedRequest()

    init() {
        table = weightedTable(3)
        table.inFlightRequests = [1, 1, 1]
        request.ttftLimitMilliseconds = 100
        request.tpotLimitMilliseconds = 20
    }

    private func scores(
        _ strategy: WeightedLatencyPreference.Strategy = .least, _ headroom: WeightedHeadroom? = nil
    ) -> [Double] {
        weightedRow(
            .latency(WeightedLatencyPreference(strategy: strategy)), table, request, headroom: headroom ?? streaming)
    }

    @Test mutating func theNarrowestFitWinsUnlessTheMostHeadroomIsWanted() {
        table.predictedTTFTMilliseconds = [50, 70, 90]
        table.predictedTPOTMilliseconds = [10, 15, 18]
        // Headroom 50, 30, 10 and 10, 5, 2: scaled 1, .5, 0 and 1, .375, 0; combined 1, .475, 0.
        // least: int(0) + 1, int(52.5) + 1, int(100) + 1 hundredths, the last clamped.
        #expect(isClose(scores(), [0.01, 0.53, 1]))
        #expect(isClose(scores(.most), [1, 0.48, 0.01]))
    }

    @Test mutating func hundredthsAreCutAndNotRounded() {
        table.predictedTTFTMilliseconds = [0, 29, 90]
        table.predictedTPOTMilliseconds = [10, 10, 10]
        // Headroom 100, 71, 10: scaled 1, 61/90 = .6778, 0. No range in the other: all weight here.
        // least for the second: int(32.2) + 1 = 33; most: int(67.8) + 1 = 68.
        #expect(isClose(scores(), [0.01, 0.33, 1]))
        #expect(isClose(scores(.most), [1, 0.68, 0.01]))
    }

    @Test mutating func allEqualIsTheMiddle() {
        table.predictedTTFTMilliseconds = [40, 40, 40]
        table.predictedTPOTMilliseconds = [5, 5, 5]
        #expect(isClose(scores(), [0.51, 0.51, 0.51]))
    }

    @Test mutating func endpointsThatMissALimitScoreZeroWhileOthersMeetBoth() {
        table.predictedTTFTMilliseconds = [50, 150, 90]
        table.predictedTPOTMilliseconds = [10, 10, 30]
        #expect(isClose(scores(), [0.51, 0, 0]))
    }

    @Test mutating func whenAllMissIdleEndpointsComeFirst() {
        table.predictedTTFTMilliseconds = [200, 150, 300]
        table.predictedTPOTMilliseconds = [30, 30, 30]
        table.inFlightRequests = [0, 1, 0]
        // Deficits of the idle ones: 100 and 200; the smaller is better, also if the most headroom is wanted.
        #expect(isClose(scores(), [1, 0, 0.01]))
        #expect(isClose(scores(.most), [1, 0, 0.01]))
    }

    @Test mutating func whenAllMissAndNoneIsIdleTheMildestMissComesFirst() {
        table.predictedTTFTMilliseconds = [200, 150, 50]
        table.predictedTPOTMilliseconds = [30, 10, 30]
        #expect(isClose(scores(), [0, 0, 0.51]))
        table.predictedTTFTMilliseconds = [200, 150, 170]
        #expect(isClose(scores(), [0, 0.51, 0]))
        table.predictedTPOTMilliseconds = [30, 40, 35]
        // Deficits 100, 50, 70 and 10, 20, 15: scaled 1, 0, .4 and 0, 1, .5; combined .8, .2, .42.
        // In binary 1 − .8 and 1 − .42 are a hair below .2 and .58, so that 19 and 57 hundredths are left of them.
        #expect(isClose(scores(), [0.2, 0.81, 0.58]))
    }

    @Test mutating func withoutALimitTheFastestWins() {
        request.ttftLimitMilliseconds = nil
        request.tpotLimitMilliseconds = nil
        table.predictedTTFTMilliseconds = [50, 100, 150]
        table.predictedTPOTMilliseconds = [10, 10, 10]
        #expect(isClose(scores(), [1, 0.51, 0.01]))
    }

    @Test mutating func theTimePerOutputTokenCountsOnlyWhenStreaming() {
        table.predictedTTFTMilliseconds = [50, 70, 90]
        table.predictedTPOTMilliseconds = [10, 10, 900]
        #expect(isClose(scores(.least, WeightedHeadroom()), [0.01, 0.51, 1]))
        #expect(isClose(scores(), [0.01, 1, 0]))
    }

    @Test mutating func aRunningRequestTightensTheLimit() {
        table.predictedTTFTMilliseconds = [50, 50, 50]
        table.predictedTPOTMilliseconds = [10, 10, 10]
        table.tightestTPOTLimitMilliseconds = [.infinity, 8, 12]
        // Headroom 10, −2, 2: the second misses; the third is the narrower fit.
        #expect(isClose(scores(), [0.01, 0, 1]))
        // 15 − 10, 6 − 10 and 9 − 10: only the first still fits.
        let strict = WeightedHeadroom(isStreaming: true, limitFactor: 0.75)
        #expect(isClose(scores(.least, strict), [0.51, 0, 0]))
    }

    @Test mutating func withoutAnyPredictionLoadAndCacheDecide() {
        table.scrapedWaiting = [0, 2, 4]
        table.scrapedKVUsage = [0.5, 0, 1]
        table.promptBlocks = 4
        table.cachedBlocks = [0, 1, 4]
        // (.5 + 1 + 0) / 3, (1 + .5 + .25) / 3, (0 + 0 + 1) / 3, rounded to hundredths.
        #expect(isClose(scores(), [0.5, 0.58, 0.33]))
        table.scrapedWaiting = [0, 0, 0]
        #expect(isClose(scores(), [0.5, 0.75, 0.67]))
        let none = WeightedLatencyPreference(fallbackKVWeight: 0, fallbackQueueWeight: 0, fallbackPrefixWeight: 0)
        #expect(isClose(weightedRow(.latency(none), table, request, headroom: streaming), [0.5, 1, 0]))
    }

    @Test mutating func anEndpointWithoutPredictionCountsAsMeetingTheLimitsExactly() {
        table.predictedTTFTMilliseconds = [50, -1, 150]
        table.predictedTPOTMilliseconds = [10, -1, 10]
        #expect(isClose(scores(), [0.01, 1, 0]))
    }

    @Test mutating func theTierFilterKeepsThePositiveTierAndExploresRarely() {
        table.predictedTTFTMilliseconds = [50, 150, -1]
        table.predictedTPOTMilliseconds = [10, 10, -1]
        let never = WeightedFilterRule.headroomTier(negativeTierProbability: 0)
        let always = WeightedFilterRule.headroomTier(negativeTierProbability: 1)
        #expect(weightedKept(never, table, request, headroom: streaming).kept == [0])
        #expect(weightedKept(always, table, request, headroom: streaming).kept == [1, 2])
        let rare = WeightedPolicy(
            filters: [.init("tier", .headroomTier(negativeTierProbability: 0.01))], headroom: streaming)
        var pipeline = WeightedPipeline(rare, identities: table.identities, seed: 3)
        var explored = 0
        for id in 0..<20_000 {
            request.id = UInt64(id)
            if pipeline.pick(for: request, among: table, now: .zero).endpoint != EndpointID(0) { explored += 1 }
        }
        #expect((150...250).contains(explored))
    }

    @Test mutating func theTierFilterKeepsAllIfThereIsOneTierOrNoPrediction() {
        let always = WeightedFilterRule.headroomTier(negativeTierProbability: 1)
        #expect(weightedKept(always, table, request, headroom: streaming).kept == [0, 1, 2])
        table.predictedTTFTMilliseconds = [150, 150, 150]
        table.predictedTPOTMilliseconds = [10, 10, 10]
        #expect(weightedKept(always, table, request, headroom: streaming).kept == [0, 1, 2])
        table.predictedTTFTMilliseconds = [50, 50, 50]
        #expect(weightedKept(always, table, request, headroom: streaming).kept == [0, 1, 2])
    }
}

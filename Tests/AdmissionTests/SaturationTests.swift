import Admission
import Basics
import Testing

@Suite struct SaturationTests {
    private let fresh = TimeSpan.milliseconds(10)

    /// Three endpoints: (queue 2, kv .4), (queue 6, kv .2), (queue 0, kv .9).
    private var columns: EndpointColumns {
        EndpointColumns(
            waitingRequests: [2, 6, 0], kvCacheUsage: [0.4, 0.2, 0.9], scrapeAge: [fresh, fresh, fresh],
            requestsInFlight: [50, 150, 20], tokensInFlight: [100_000, 50_000, 900_000])
    }

    @Test func utilizationIsTheMeanOfTheLargerRatios() {
        // max(2/5, .4/.8) = .5; max(6/5, .2/.8) = 1.2; max(0, .9/.8) = 1.125
        let saturation = UtilizationDetector().saturation(of: columns, rows: 0..<3)
        #expect(abs(saturation - (0.5 + 1.2 + 1.125) / 3) < 1e-12)
        #expect(UtilizationDetector().saturation(of: columns, rows: 0..<0) == 1)
    }

    private static let staleCases: [(StalePolicy, Double)] = [
        (.saturated, 2.5 / 3), (.lastKnown, 1.7 / 2), (.excluded, 0.5),
    ]

    @Test(arguments: staleCases)
    func staleValuesMeanWhatTheOperatorSays(policy: StalePolicy, expected: Double) {
        var columns = columns
        columns.scrapeAge = [fresh, .milliseconds(201), nil]
        var detector = UtilizationDetector(stalePolicy: policy)
        #expect(abs(detector.saturation(of: columns, rows: 0..<3) - expected) < 1e-12)
        detector.metricsStalenessThreshold = .milliseconds(201)
        let patient: Double = policy == .saturated ? 2.7 / 3 : 1.7 / 2
        #expect(abs(detector.saturation(of: columns, rows: 0..<3) - patient) < 1e-12)
    }

    @Test func aPoolOfWhichNothingIsKnownIsSaturatedOnlyByTheStrictestPolicy() {
        let unknown = EndpointColumns()
        let saturations = [StalePolicy.saturated, .lastKnown, .excluded].map {
            UtilizationDetector(stalePolicy: $0).saturation(of: unknown, rows: 0..<2)
        }
        #expect(saturations == [1, 0, 0])
    }

    @Test func utilizationDropsEndpointsBeyondThresholdAndHeadroomUnlessAllAre() {
        #expect(UtilizationDetector().fitting(columns, rows: 0..<3) == [0])
        #expect(UtilizationDetector(headroom: 0.13).fitting(columns, rows: 0..<3) == [0, 2])
        #expect(UtilizationDetector(headroom: 0.2).fitting(columns, rows: 0..<3) == [0, 1, 2])
        #expect(UtilizationDetector().fitting(columns, rows: 1..<3) == [1, 2])
    }

    private static let concurrencyCases: [(ConcurrencyDetector.Mode, Double)] = [
        (.requests, 220.0 / 300), (.tokens, 1_050_000.0 / 3_000_000),
        // max(.5, .1), max(1.5, .05), max(.2, .9)
        (.hybrid, 2.9 / 3),
    ]

    @Test(arguments: concurrencyCases)
    func concurrencyIsWhatIsInFlightRelativeToCapacity(mode: ConcurrencyDetector.Mode, expected: Double) {
        let detector = ConcurrencyDetector(mode: mode)
        #expect(abs(detector.saturation(of: columns, rows: 0..<3) - expected) < 1e-12)
        #expect(detector.saturation(of: columns, rows: 0..<0) == 1)
    }

    @Test func concurrencyDropsEndpointsBeyondCapacityAndHeadroom() {
        #expect(ConcurrencyDetector().fitting(columns, rows: 0..<3) == [0, 2])
        #expect(ConcurrencyDetector(headroom: 0.5).fitting(columns, rows: 0..<3) == [0, 1, 2])
        let tokens = ConcurrencyDetector(mode: .hybrid, maxTokenConcurrency: 500_000)
        #expect(tokens.fitting(columns, rows: 0..<3) == [0])
        #expect(tokens.fitting(columns, rows: 1..<3).isEmpty)
    }

    @Test func thePredictiveDetectorLooksAtTheBestEndpoint() {
        let detector = PredictiveDetector(ttftLimitMilliseconds: 1000, minimumBudgetShare: 0.1)
        var columns = EndpointColumns(
            predictedTTFTMilliseconds: [1100, 650, 2000], unloadedTTFTMilliseconds: [200, 200, 200])
        // (650 - 200) / (1000 - 200)
        #expect(abs(detector.saturation(of: columns, rows: 0..<3) - 0.5625) < 1e-12)
        #expect(abs(detector.saturation(of: columns, rows: 0..<3, limitMilliseconds: 500) - 1.5) < 1e-12)
        #expect(detector.fitting(columns, rows: 0..<3) == [1])
        // A prompt that takes the whole limit when alone is left a tenth of it for queueing.
        columns.unloadedTTFTMilliseconds = [950, 600, 1900]
        #expect(abs(detector.saturation(of: columns, rows: 2..<3) - 1) < 1e-12)
        #expect(abs(detector.saturation(of: columns, rows: 1..<2) - 0.125) < 1e-12)
        columns.predictedTTFTMilliseconds = [.nan, .infinity]
        #expect(detector.saturation(of: columns, rows: 0..<3) == 1)
    }

    @Test func theFullestPartitionOfAPoolCounts() {
        let detector = SaturationDetector.concurrency(ConcurrencyDetector())
        #expect(detector.saturation(of: columns, count: 3, partitions: [0..<1, 1..<3]) == 0.85)
        #expect(abs(detector.saturation(of: columns, count: 3) - 220.0 / 300) < 1e-12)
        #expect(SaturationDetector.utilization(.init()).fitting(columns, count: 3) == [0])
        #expect(SaturationDetector.predictive(.init()).saturation(of: columns, count: 3) == 1)
    }
}

@Suite struct UsageLimitTests {
    private static let ceilingCases: [(UsageLimitPolicy, [Double])] = [
        (.fixed(ceiling: 0.9), [0.9, 0.9, 0.9]),
        (.priorityHoldback(domain: .rank, minimum: 0.5), [1, 0.75, 0.5]),
        // Priorities 10, 8, 0: r = 1, .8, 0.
        (.priorityHoldback(domain: .value, minimum: 0.5, maximum: 0.9), [0.9, 0.82, 0.5]),
        (.softReflective, [1, 0.7, 0.4]),
    ]

    @Test(arguments: ceilingCases)
    func ceilingsAreAsInTheReference(policy: UsageLimitPolicy, expected: [Double]) {
        let ceilings = policy.ceilings(priorities: [10, 8, 0], saturation: 0.6)
        #expect(zip(ceilings, expected).allSatisfy { abs($0 - $1) < 1e-12 } && ceilings.count == 3)
    }

    @Test func aSingleBandHasTheHighestCeiling() {
        let policies: [UsageLimitPolicy] = [
            .priorityHoldback(domain: .rank, minimum: 0.5), .priorityHoldback(domain: .value, minimum: 0.5),
            .softReflective,
        ]
        for policy in policies { #expect(policy.ceilings(priorities: [4], saturation: 0.8) == [1]) }
        #expect(policies[0].ceilings(priorities: [], saturation: 0.8).isEmpty)
    }

    @Test func aBandThatHasToWaitHoldsUpAllBelowIt() {
        var gate = UsageGate(.priorityHoldback(domain: .rank, minimum: 0.5))
        let floors = [0.2, 0.5, 0.74, 0.75, 0.99, 1].map { gate.floor(priorities: [10, 8, 0], saturation: $0) }
        #expect(floors == [0, 8, 8, 10, 10, nil])
    }

    @Test func theReflectiveCeilingLetsOneInSoManyThrough() {
        var gate = UsageGate(.softReflective)
        // .75: ceilings 1 and .25; the lower band is let through once in round(.75 / .25) = 3 times.
        let floors = (0..<6).map { _ in gate.floor(priorities: [1, 0], saturation: 0.75) }
        #expect(floors == [1, 1, 0, 1, 1, 0])
        #expect(gate.floor(priorities: [1, 0], saturation: 1) == nil)
        #expect(gate.floor(priorities: [1, 0], saturation: 0.1) == 0)
    }
}

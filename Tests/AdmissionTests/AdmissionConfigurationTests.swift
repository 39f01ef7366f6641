import Admission
import Basics
import Testing

@Suite struct AdmissionConfigurationTests {
    @Test func theDefaultsAreSoundAndSmall() {
        let configuration = AdmissionConfiguration()
        #expect(configuration.problems.isEmpty)
        #expect(configuration.policy(of: 7).limits == WaitingLimits(requests: 1000, bytes: 256 << 20))
        #expect(configuration.policy(of: -7).ordering == .earliestDeadline)
        #expect(configuration.timeToLive == .seconds(30) && configuration.maxBands == 64)
    }

    @Test func aPriorityCanHaveAPolicyOfItsOwn() {
        var configuration = AdmissionConfiguration()
        configuration.bands[2] = BandPolicy(fairness: .roundRobin, timeToLive: .seconds(90))
        #expect(configuration.policy(of: 2).fairness == .roundRobin)
        #expect(configuration.policy(of: 3).fairness == .tokenFair)
        #expect(configuration.timeToLive(inBand: configuration.policy(of: 2)) == .seconds(30))
    }

    private static let mistakes: [(@Sendable (inout AdmissionConfiguration) -> Void, String)] = [
        ({ $0.maxBands = 0 }, "The number of bands must be between 1 and 4096, not 0."),
        ({ $0.maxFlowsPerBand = 0 }, "The number of flows per band must be between 1 and 1000000, not 0."),
        ({ $0.timeToLive = .zero }, "The time to live must be more than zero."),
        ({ $0.noEndpointTimeToLive = .zero }, "The time to live without endpoints must be more than zero."),
        ({ $0.idleFlowTimeout = .zero }, "The time after which an idle flow is forgotten must be more than zero."),
        ({ $0.outputTokenWeight = .nan }, "The weight of an output token must be between 0 and 1000, not nan."),
        ({ $0.quantumTokens = 0 }, "The quantum must be between 1 and 1000000000 tokens, not 0.0."),
        ({ $0.flowWeights = ["a": 0] }, "The weight of flow 'a' must be between 0.001 and 1000, not 0.0."),
        ({ $0.totalLimits.bytes = -1 }, "The limit on bytes of all bands together must not be negative."),
        (
            { $0.bands[3] = BandPolicy(ageingBound: .seconds(-1)) },
            "The ageing bound of the band of priority 3 must not be negative."
        ),
        (
            { $0.sheddableBand.timeToLive = .zero }, "The time to live of sheddable bands must be more than zero."
        ),
        (
            { $0.realtimeBand.minimumShare = 1 },
            "The minimum share of real-time bands must be at least 0 and less than 1, not 1.0."
        ),
        (
            { $0.bands = [1: BandPolicy(minimumShare: 0.5), 2: BandPolicy(minimumShare: 0.5)] },
            "The minimum shares of bands must add up to less than 1."
        ),
        (
            {
                $0.maxBands = 1; $0.bands = [1: BandPolicy(), 2: BandPolicy()]
            },
            "2 bands have policies of their own, but only 1 may wait at once."
        ),
        (
            { $0.saturation = .utilization(UtilizationDetector(kvCacheUtilizationThreshold: 80)) },
            "The KV cache threshold must be more than 0 and at most 1."
        ),
        (
            { $0.saturation = .concurrency(ConcurrencyDetector(maxConcurrency: 0)) },
            "The maximum of requests in flight must be at least 1."
        ),
        (
            { $0.saturation = .predictive(PredictiveDetector(ttftLimitMilliseconds: 0)) },
            "The TTFT limit must be more than zero."
        ),
        ({ $0.usageLimit = .fixed(ceiling: 0) }, "The usage ceiling must be more than zero, not 0.0."),
        (
            { $0.usageLimit = .priorityHoldback(domain: .rank, minimum: 1.1) },
            "The lowest usage ceiling must be more than zero and at most the highest (1.0)."
        ),
        ({ $0.feasibility.tolerance = 0.5 }, "The tolerance of deadlines must be at least 1, not 0.5."),
        (
            { $0.feasibility.trustedDispatches = 0 },
            "Estimates must rest on at least one observation before they are trusted."
        ),
    ]

    @Test(arguments: mistakes.indices)
    func aMistakeIsNamedInASentence(index: Int) {
        var configuration = AdmissionConfiguration()
        Self.mistakes[index].0(&configuration)
        #expect(configuration.problems == [Self.mistakes[index].1])
    }
}

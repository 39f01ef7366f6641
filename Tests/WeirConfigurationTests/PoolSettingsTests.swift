import Basics
import Testing

@testable import WeirConfiguration

/// One pool with these further keys.
private func file(_ keys: String) -> String { "pools: [{name: p, endpoints: [{url: \"http://x\"}], \(keys)}]\n" }

private func pool(_ keys: String) throws(ConfigurationError) -> Configuration.Pool {
    try Configuration.parse(file(keys), file: "weir.yaml", environment: [:]).pools[0]
}

private func complaints(_ keys: String) -> [String] {
    do {
        _ = try pool(keys)
        return []
    } catch {
        return error.problems.map { $0.description.replacing(#/^weir.yaml:\d+:\d+: pools\[0\]\./#, with: "") }
    }
}

@Suite struct PoolSettingsTests {
    private static let routing = """
        routing: {endpointPickerConfig: epp.yaml, shadow: cost, decodeShare: 0.3, interferenceShare: 0, penaltyFactor: 4,
        adapterLoad: 1s, adapterSwap: 3s, prefix: {maxEntries: 9000}}
        """
    private static let admission = """
        admission: {queue: {maxTokens: 90000, noEndpointTTL: 5s, fairness: round-robin, ordering: slo-deadline},
        total: {maxRequests: 0, maxBytes: 1GiB, maxTokens: 5000},
        bands: [{priority: 5}, {priority: -2, maxRequests: 3, maxBytes: 1MiB, maxTokens: 7, fairness: strict,
        ordering: fcfs, ttl: 1h, ageingBound: 0s, minimumShare: 0.25, appliesAcrossClasses: true}],
        outputTokenWeight: 0, tenantWeights: {red: 2, blue: 0.001}, tenantIsolation: 0.5,
        saturation: {detector: utilization, utilization: {queueDepthThreshold: 9, kvCacheUtilizationThreshold: 1,
        metricsStalenessThreshold: 2s, stalePolicy: last-known}},
        usageLimit: {policy: priority-holdback-value, minimum: 0.4, maximum: 1.5},
        deadlines: {enabled: false, tolerance: 1.5}}
        """
    private static let harvest = """
        harvest: {prefillShare: 0.4, prefillBurst: 80ms, brakeShare: 0.6, cautiousBrakeShare: 0.2, kvShare: 0.7,
        reserveQuantile: 0.9, abortedTokenShare: 0.1, cautiousAbortedTokenShare: 0.2, toleratedMissShare: 0.01}
        """

    @Test func everyKeyOfRoutingReachesItsField() throws {
        var expected = Configuration.Routing()
        expected.endpointPickerConfig = "epp.yaml"
        expected.shadow = .cost
        expected.decodeShare = 0.3
        expected.interferenceShare = 0
        expected.penaltyFactor = 4
        expected.adapterLoad = .seconds(1)
        expected.adapterSwap = .seconds(3)
        expected.prefix.maxEntries = 9000
        #expect(try pool(Self.routing).routing == expected)
        let shadow = try pool("routing: {shadow: ./cost}").routing.shadow
        #expect(shadow == .endpointPickerConfig(path: "./cost"))
    }

    @Test func everyKeyOfAdmissionReachesItsField() throws {
        var expected = Configuration.Admission()
        expected.queue.maxTokens = 90_000
        expected.queue.noEndpointTTL = .seconds(5)
        expected.queue.fairness = .roundRobin
        expected.queue.ordering = .serviceLevel
        expected.total.maxRequests = 0
        expected.total.maxBytes = 1 << 30
        expected.total.maxTokens = 5000
        var high = Configuration.Admission.Band()
        high.priority = 5
        var low = Configuration.Admission.Band()
        low.priority = -2
        low.maxRequests = 3
        low.maxBytes = 1 << 20
        low.maxTokens = 7
        low.fairness = .strict
        low.ordering = .firstCome
        low.ttl = .seconds(3600)
        low.ageingBound = .zero
        low.minimumShare = 0.25
        low.appliesAcrossClasses = true
        expected.bands = [high, low]
        expected.outputTokenWeight = 0
        expected.tenantWeights = ["red": 2, "blue": 0.001]
        expected.tenantIsolation = 0.5
        expected.saturation.detector = .utilization
        expected.saturation.utilization.queueDepthThreshold = 9
        expected.saturation.utilization.kvCacheUtilizationThreshold = 1
        expected.saturation.utilization.metricsStalenessThreshold = .seconds(2)
        expected.saturation.utilization.stalePolicy = .lastKnown
        expected.usageLimit.policy = .priorityHoldbackValue
        expected.usageLimit.minimum = 0.4
        expected.usageLimit.maximum = 1.5
        expected.deadlines.enabled = false
        expected.deadlines.tolerance = 1.5
        #expect(try pool(Self.admission).admission == expected)
    }

    @Test func theOtherDetectorsAndPoliciesAreRead() throws {
        let concurrency = try pool(
            "admission: {saturation: {detector: concurrency, concurrency: {mode: hybrid, maxConcurrency: 7, "
                + "maxTokenConcurrency: 8}}, usageLimit: {ceiling: 0.5}}"
        ).admission
        #expect(concurrency.saturation.detector == .concurrency)
        #expect(concurrency.saturation.concurrency.mode == .hybrid)
        #expect(concurrency.saturation.concurrency.maxConcurrency == 7)
        #expect(concurrency.saturation.concurrency.maxTokenConcurrency == 8)
        #expect(concurrency.usageLimit.policy == .fixed)
        #expect(concurrency.usageLimit.ceiling == 0.5)
        let predictive = try pool(
            "admission: {saturation: {predictive: {minimumBudgetShare: 1}}, usageLimit: {policy: soft-reflective}}"
        ).admission
        #expect(predictive.saturation.detector == .predictive)
        #expect(predictive.saturation.predictive.minimumBudgetShare == 1)
        #expect(predictive.usageLimit.policy == .softReflective)
    }

    @Test func everyKeyOfHarvestReachesItsField() throws {
        var expected = Configuration.Harvest()
        expected.prefillShare = 0.4
        expected.prefillBurst = .milliseconds(80)
        expected.brakeShare = 0.6
        expected.cautiousBrakeShare = 0.2
        expected.kvShare = 0.7
        expected.reserveQuantile = 0.9
        expected.abortedTokenShare = 0.1
        expected.cautiousAbortedTokenShare = 0.2
        expected.toleratedMissShare = 0.01
        #expect(try pool(Self.harvest).harvest == expected)
    }

    @Test(arguments: [routing, admission, harvest, "routing: {shadow: other/epp.yaml}"])
    func whatIsPrintedReadsBackAsTheSame(keys: String) throws {
        let configuration = try Configuration.parse(file(keys), file: "weir.yaml", environment: [:])
        for text in [configuration.effectiveYAML(), configuration.briefYAML()] {
            #expect(try Configuration.parse(text, file: "printed", environment: [:]) == configuration)
        }
    }

    @Test func whatIsAtItsDefaultIsNotPrintedBriefly() throws {
        let text = try Configuration.parse(file("routing: {penaltyFactor: 10}"), file: "f", environment: [:])
            .briefYAML()
        #expect(!text.contains("routing"))
        #expect(!text.contains("admission"))
        #expect(!text.contains("harvest"))
    }

    @Test func metricsAreBelievedForTwoIntervalsUnlessAnAgeIsWritten() {
        var utilization = Configuration.Admission.Saturation.Utilization()
        #expect(utilization.staleness(scrapedEvery: .milliseconds(50)) == .milliseconds(200))
        #expect(utilization.staleness(scrapedEvery: .milliseconds(500)) == .milliseconds(1000))
        utilization.metricsStalenessThreshold = .milliseconds(700)
        #expect(utilization.staleness(scrapedEvery: .milliseconds(500)) == .milliseconds(700))
    }

    @Test func theReferenceTellsDefaultsAndWords() throws {
        func row(_ keyPath: String) throws -> ConfigurationReference.Row {
            try #require(ConfigurationReference.rows.first { $0.keyPath == "pools[].\(keyPath)" })
        }
        #expect(try row("routing.endpointPickerConfig").defaultText == nil)
        #expect(try row("routing.adapterLoad").defaultText == "200ms")
        #expect(try row("routing.prefix.maxEntries").defaultText == "1048576")
        #expect(try row("admission.queue.fairness").defaultText == "token-fair")
        #expect(try row("admission.queue.fairness").type == "`strict`, `round-robin`, `token-fair`")
        #expect(try row("admission.bands[].priority").isRequired)
        #expect(try row("admission.saturation.detector").defaultText == "predictive")
        #expect(try row("admission.usageLimit.ceiling").defaultText == "1")
        #expect(try row("harvest.stepShare").defaultText == "0.75")
        #expect(try row("harvest.prefillBurst").defaultText == "120ms")
        #expect(try row("harvest.toleratedMissShare").defaultText == "0.0025")
    }
}

@Suite struct PoolChecksTests {
    @Test(arguments: [
        ("shadow: ''", "shadow: expected cost or a path, found \"\""),
        ("endpointPickerConfig: ''", "endpointPickerConfig: expected text that is not empty, found \"\""),
        ("shadow: cost", "shadow: the cost is what is followed; write an endpointPickerConfig"),
        (
            "endpointPickerConfig: e.yaml, shadow: e.yaml",
            "shadow: is the endpointPickerConfig, which is followed"
        ),
        (
            "endpointPickerConfig: e.yaml, decodeShare: 1",
            "decodeShare: has no effect: endpointPickerConfig is followed, and shadow is not cost"
        ),
        (
            "endpointPickerConfig: e.yaml, shadow: f.yaml, adapterSwap: 9s",
            "adapterSwap: has no effect: endpointPickerConfig is followed, and shadow is not cost"
        ),
        ("interferenceShare: -1", "interferenceShare: must be 0 or more, found \"-1\""),
        ("penaltyFactor: much", "penaltyFactor: expected a number, found \"much\""),
        ("adapterLoad: 5", "adapterLoad: expected a duration such as 500ms, 30s or 10m, found \"5\""),
        ("prefix: {maxEntries: 0}", "prefix.maxEntries: must be 1 or more, found \"0\""),
        ("prefix: {maxEntries: 268435457}", "prefix.maxEntries: must be 268435456 or less, found \"268435457\""),
        ("endpointPikerConfig: e", "endpointPikerConfig: unknown key; did you mean endpointPickerConfig?"),
    ])
    func aMistakeInRoutingGivesOneSentence(keys: String, complaint: String) {
        #expect(complaints("routing: {\(keys)}") == ["routing.\(complaint)"])
    }

    @Test(arguments: [
        ("queue: {maxTokens: -1}", "queue.maxTokens: must be 0 or more, found \"-1\""),
        ("queue: {noEndpointTTL: 0s}", "queue.noEndpointTTL: must be longer than 0s, found \"0s\""),
        (
            "queue: {fairness: token}",
            "queue.fairness: expected one of strict, round-robin, token-fair, found \"token\""
        ),
        (
            "queue: {ordering: fcsf}",
            "queue.ordering: expected one of fcfs, edf, slo-deadline, found \"fcsf\"; did you mean fcfs?"
        ),
        ("total: {maxBytes: 0}", "total.maxBytes: must be 1B or more, found \"0\""),
        ("total: {maxRequests: few}", "total.maxRequests: expected a whole number, found \"few\""),
        ("bands: [{}]", "bands[0].priority: is required"),
        ("bands: [{priority: 1}, {priority: 1}]", "bands[1].priority: there is already a band of priority 1"),
        (
            "bands: [{priority: 0, minimumShare: 1}]",
            "bands[0].minimumShare: must be at least 0 and less than 1, found \"1\""
        ),
        (
            "bands: [{priority: 0, minimumShare: 0.5}, {priority: -1, minimumShare: 0.5}, {priority: 2, minimumShare: 0.5}]",
            "bands[2].minimumShare: the shares of bands from priority 0 up must add up to less than 1"
        ),
        (
            "bands: [{priority: -1, minimumShare: 0.9}, {priority: -2, minimumShare: 0.2}, {priority: -3, minimumShare: 0.2}]",
            "bands[1].minimumShare: the shares of bands below priority 0 must add up to less than 1"
        ),
        (
            "bands: [{priority: 0, ageingBound: 1s, appliesAcrossClasses: true}]",
            "bands[0].appliesAcrossClasses: has a meaning only for a priority below 0"
        ),
        (
            "bands: [{priority: -1, appliesAcrossClasses: true}]",
            "bands[0].appliesAcrossClasses: has a meaning only with ageingBound or minimumShare"
        ),
        ("bands: [{priority: 0, ttl: 0s}]", "bands[0].ttl: must be longer than 0s, found \"0s\""),
        ("outputTokenWeight: 1001", "outputTokenWeight: must be between 0 and 1000, found \"1001\""),
        ("tenantWeights: {red: 0}", "tenantWeights.red: must be between 0.001 and 1000, found \"0\""),
        ("tenantWeights: [red]", "tenantWeights: expected a mapping, found a list"),
        (
            "saturation: {detector: predict}",
            "saturation.detector: expected one of predictive, utilization, concurrency, found \"predict\""
        ),
        (
            "saturation: {utilization: {queueDepthThreshold: 9}}",
            "saturation.utilization: has a meaning only with the detector utilization"
        ),
        (
            "saturation: {detector: utilization, predictive: {minimumBudgetShare: 0.2}}",
            "saturation.predictive: has a meaning only with the detector predictive"
        ),
        (
            "saturation: {detector: utilization, concurrency: {maxConcurrency: 2}}",
            "saturation.concurrency: has a meaning only with the detector concurrency"
        ),
        (
            "saturation: {detector: utilization, utilization: {metricsStalenessThreshold: 200ms}}",
            "saturation.utilization.metricsStalenessThreshold: must not be shorter than scrape.interval (500ms)"
        ),
        (
            "saturation: {predictive: {minimumBudgetShare: 0}}",
            "saturation.predictive.minimumBudgetShare: must be more than 0 and at most 1, found \"0\""
        ),
        ("usageLimit: {ceiling: 0}", "usageLimit.ceiling: must be more than 0, found \"0\""),
        (
            "usageLimit: {policy: soft-reflective, ceiling: 0.5}",
            "usageLimit.ceiling: has a meaning only with the policy fixed"
        ),
        (
            "usageLimit: {policy: priority-holdback-rank}",
            "usageLimit.minimum: is required with the policy priority-holdback-rank"
        ),
        (
            "usageLimit: {policy: priority-holdback-value, minimum: 0.9, maximum: 0.5}",
            "usageLimit.minimum: must not be more than maximum (0.5)"
        ),
        (
            "usageLimit: {minimum: 0.5}",
            "usageLimit.minimum: has a meaning only with the policies priority-holdback-rank and priority-holdback-value"
        ),
        (
            "usageLimit: {policy: soft-reflective, maximum: 0.5}",
            "usageLimit.maximum: has a meaning only with the policies priority-holdback-rank and priority-holdback-value"
        ),
        ("deadlines: {tolerance: 0.9}", "deadlines.tolerance: must be 1 or more, found \"0.9\""),
    ])
    func aMistakeInAdmissionGivesOneSentence(keys: String, complaint: String) {
        #expect(complaints("admission: {\(keys)}") == ["admission.\(complaint)"])
    }

    @Test func bandsAreBounded() {
        let bands = (0...64).map { "{priority: \($0)}" }.joined(separator: ", ")
        #expect(complaints("admission: {bands: [\(bands)]}") == ["admission.bands: must be at most 64, found 65"])
    }

    @Test(arguments: [
        ("prefillBurstTokens: 6000", "prefillBurstTokens: unknown key; did you mean prefillBurst?"),
        ("prefillBurst: 0s", "prefillBurst: must be longer than 0s, found \"0s\""),
        ("toleratedMissShare: 2", "toleratedMissShare: must be between 0 and 1, found \"2\""),
        ("brakeShare: 0.3", "cautiousBrakeShare: must not be more than brakeShare (0.3)"),
        ("abortedTokenShare: 0.3", "cautiousAbortedTokenShare: must not be less than abortedTokenShare (0.3)"),
    ])
    func aMistakeInHarvestGivesOneSentence(keys: String, complaint: String) {
        #expect(complaints("harvest: {\(keys)}") == ["harvest.\(complaint)"])
    }
}

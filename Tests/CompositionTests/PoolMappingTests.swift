import Admission
import Basics
import Foundation
import Gateway
import Harvest
import KVEvents
import Pool
import PoolScheduler
import Routing
import Testing
import WeirConfiguration

@testable import Composition

@Suite struct PoolMappingTests {
    /// What the gateway is told of the first pool, which has these further keys, and what is noted meanwhile.
    private func mapped(_ keys: String) throws -> (pool: GatewayPool, notices: [String]) {
        let text = "pools: [{name: chat, endpoints: [{url: \"http://x\"}]\(keys.isEmpty ? "" : ", ")\(keys)}]"
        let configuration = try Configuration.parse(text, file: "weir.yaml", environment: [:])
        var notices: [String] = []
        let gateway = try GatewayConfiguration(configuration) { notices.append($0) }
        return (try #require(gateway.pools.first), notices)
    }

    private func complaint(_ keys: String) -> ServiceError? {
        #expect(throws: ServiceError.self) { try mapped(keys) }
    }

    /// Calls `body` with the path of a file that holds an EndpointPickerConfig of these sections.
    private func withFile<Result>(_ sections: String, _ body: (String) throws -> Result) throws -> Result {
        let path = NSTemporaryDirectory() + "weir-\(UUID().uuidString).yaml"
        let head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
        try (head + sections).write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    private let queueOnly = """
        plugins: [{type: queue-scorer}]
        schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer, weight: 5}]}]

        """

    @Test func aPoolThatSaysNothingHasTheDefaultsOfTheParts() throws {
        let (pool, notices) = try mapped("")
        #expect(pool.admission == AdmissionConfiguration())
        #expect(pool.harvest == HarvestConfiguration())
        #expect(pool.routing == .cost(RoutingCostConfiguration()))
        #expect(pool.shadow == nil)
        #expect(pool.prefix.maximumEntries == PrefixMemory().maximumEntries)
        #expect(notices.isEmpty)
    }

    @Test func theTokenizerIsAsTheFileSays() throws {
        #expect(try mapped("").pool.tokenizer == TokenizerSettings())
        let tokenizer = try mapped("routing: {prefix: {tokenizer: {path: /t, timeout: 7ms, maxBytes: 9KiB}}}").pool
            .tokenizer
        #expect((tokenizer.path, tokenizer.maximumBytes) == ("/t", 9 << 10))
        #expect(tokenizer.timeout == .milliseconds(7))
    }

    @Test func changesOfACacheAreTakenTogetherInOrder() {
        let changes: [ResidencyChange] = [
            .store(1, .gpu), .store(2, .gpu), .store(9, .cpu), .remove(1, .gpu), .store(3, .gpu), .clear,
            .remove(8, .cpu),
            .remove(4, .gpu), .remove(5, .gpu),
        ]
        #expect(
            PublishedCacheChange.runs(of: changes) == [
                .stored([1, 2]), .removed([1]), .stored([3]), .cleared, .removed([4, 5]),
            ])
        #expect(PublishedCacheChange.runs(of: [.store(1, .cpu)]).isEmpty)
    }

    @Test func eachPoolSpreadsItsPrefixesInItsOwnWay() throws {
        #expect(try mapped("").pool.prefix.seed != mapped("").pool.prefix.seed)
    }

    @Test func everyAdmissionSettingArrives() throws {
        let pool = try mapped(
            """
            admission: {queue: {maxRequests: 9, maxBytes: 5MiB, maxTokens: 70, ttl: 4s, noEndpointTTL: 5s,
            fairness: round-robin, ordering: slo-deadline},
            total: {maxRequests: 1, maxBytes: 2B, maxTokens: 3}, outputTokenWeight: 3, tenantWeights: {red: 2},
            bands: [{priority: 5, maxTokens: 8}, {priority: -2, maxRequests: 3, maxBytes: 1MiB, fairness: token-fair,
            ordering: fcfs, ttl: 1s, ageingBound: 2s, minimumShare: 0.25, appliesAcrossClasses: true}],
            saturation: {detector: utilization, utilization: {queueDepthThreshold: 9, kvCacheUtilizationThreshold: 0.5,
            stalePolicy: last-known}},
            usageLimit: {policy: priority-holdback-value, minimum: 0.4, maximum: 1.5},
            deadlines: {enabled: false, tolerance: 1.5}}
            """
        ).pool
        var expected = AdmissionConfiguration(
            maxRequestsPerBand: 9, maxBytesPerBand: 5 << 20, timeToLive: .seconds(4))
        expected.noEndpointTimeToLive = .seconds(5)
        expected.realtimeBand.limits.tokens = 70
        expected.realtimeBand.fairness = .roundRobin
        expected.realtimeBand.ordering = .serviceLevel
        expected.sheddableBand.limits.tokens = 70
        expected.totalLimits = WaitingLimits(requests: 1, bytes: 2, tokens: 3)
        expected.outputTokenWeight = 3
        expected.flowWeights = ["red": 2]
        expected.bands[5] = BandPolicy(
            limits: .init(requests: 9, bytes: 5 << 20, tokens: 8), fairness: .roundRobin, ordering: .serviceLevel)
        expected.bands[-2] = BandPolicy(
            limits: .init(requests: 3, bytes: 1 << 20, tokens: 70), fairness: .tokenFair, ordering: .firstCome,
            timeToLive: .seconds(1), ageingBound: .seconds(2), minimumShare: 0.25, appliesAcrossClasses: true)
        expected.saturation = .utilization(
            UtilizationDetector(
                queueDepthThreshold: 9, kvCacheUtilizationThreshold: 0.5, metricsStalenessThreshold: .seconds(1),
                stalePolicy: .lastKnown))
        expected.usageLimit = .priorityHoldback(domain: .value, minimum: 0.4, maximum: 1.5)
        expected.feasibility.isEnabled = false
        expected.feasibility.tolerance = 1.5
        #expect(pool.admission == expected)
    }

    @Test func theOtherDetectorsAndLimitsArrive() throws {
        let first = try mapped(
            "admission: {saturation: {detector: concurrency, concurrency: {mode: hybrid, maxConcurrency: 7, "
                + "maxTokenConcurrency: 8}}, usageLimit: {policy: priority-holdback-rank, minimum: 0.5}}"
        ).pool.admission
        #expect(
            first.saturation == .concurrency(.init(mode: .hybrid, maxConcurrency: 7, maxTokenConcurrency: 8)))
        #expect(first.usageLimit == .priorityHoldback(domain: .rank, minimum: 0.5, maximum: 1))
        let second = try mapped(
            "admission: {saturation: {predictive: {minimumBudgetShare: 0.3}}, usageLimit: {policy: soft-reflective}}"
        ).pool.admission
        #expect(second.saturation == .predictive(PredictiveDetector(minimumBudgetShare: 0.3)))
        #expect(second.usageLimit == .softReflective)
        #expect(try mapped("admission: {usageLimit: {ceiling: 0.7}}").pool.admission.usageLimit == .fixed(ceiling: 0.7))
    }

    @Test func everyHarvestSettingArrives() throws {
        let pool = try mapped(
            """
            slo: {ttft: 2s, tpot: 80ms}, harvest: {enabled: false, stepShare: 0.5, prefillShare: 0.4, prefillBurst: 80ms,
            brakeShare: 0.6, cautiousBrakeShare: 0.2, kvShare: 0.7, reserveQuantile: 0.9, maxInFlightPerEndpoint: 4,
            abortedTokenShare: 0.1, cautiousAbortedTokenShare: 0.2, toleratedMissShare: 0.01}
            """
        ).pool
        let expected = HarvestConfiguration(
            tpotLimitMilliseconds: 80, ttftLimitMilliseconds: 2000, stepShare: 0.5, prefillShare: 0.4,
            prefillBurstMilliseconds: 80, brakeShare: 0.6, cautiousBrakeShare: 0.2, kvShare: 0.7, reserveQuantile: 0.9,
            abortedTokenShare: 0.1, cautiousAbortedTokenShare: 0.2, toleratedMissShare: 0.01, maxInFlightPerEndpoint: 4,
            isEnabled: false)
        #expect(pool.harvest == expected)
    }

    @Test func theCostArrivesInMilliseconds() throws {
        let pool = try mapped(
            "routing: {decodeShare: 0.5, interferenceShare: 0.25, penaltyFactor: 4, adapterLoad: 1s, adapterSwap: 3s, "
                + "prefix: {maxEntries: 77}}"
        ).pool
        let expected = RoutingCostConfiguration(
            decodeShare: 0.5, interferenceShare: 0.25, penaltyFactor: 4, adapterLoadMilliseconds: 1000,
            adapterSwapMilliseconds: 3000)
        #expect(pool.routing == .cost(expected))
        #expect(pool.prefix.maximumEntries == 77)
    }

    @Test func aFileOfTheRouterIsFollowedOrJudges() throws {
        let weighted = RoutingPolicy.weighted(
            WeightedPolicy(scorers: [.init("queue-scorer", .queue, weight: 5)]))
        try withFile(queueOnly) { path in
            let live = try mapped("routing: {endpointPickerConfig: '\(path)', shadow: cost, decodeShare: 0.5}")
            #expect(live.pool.routing == weighted)
            #expect(live.pool.shadow == .cost(RoutingCostConfiguration(decodeShare: 0.5)))
            #expect(live.pool.admission == AdmissionConfiguration())
            #expect(live.notices.isEmpty)
            let shadow = try mapped("routing: {shadow: '\(path)'}")
            #expect(shadow.pool.routing == .cost(RoutingCostConfiguration()))
            #expect(shadow.pool.shadow == weighted)
        }
    }

    @Test func theMetricsThatAPolicyReadsAreThoseOfThePoolAndOfItsFile() throws {
        let file = """
            plugins:
            - {type: core-metrics-extractor, parameters: {engineConfigs: [
                {name: vllm, customMetrics: [{attributeKey: heat, metricSpec: degrees}]}]}}
            - {type: endpoint-attribute-scorer, name: cool, parameters: {attributeKey: heat, algorithm: {type: linear_lower_is_better}}}
            - {type: endpoint-attribute-scorer, name: frugal, parameters: {attributeKey: power, algorithm: {type: linear_lower_is_better}}}
            schedulingProfiles: [{name: default, plugins: [{pluginRef: cool}, {pluginRef: frugal}]}]

            """
        try withFile(file) { path in
            let routing = "routing: {endpointPickerConfig: '\(path)'}"
            let (pool, notices) = try mapped("\(routing), scrape: {attributes: {power: 'watts{gpu=\"1\"}'}}")
            let watts = MetricSpec(name: "watts", labels: [.init(name: "gpu", value: "1")])
            #expect(
                pool.attributes == [
                    EndpointAttribute(name: "power", specs: [watts]),
                    EndpointAttribute(name: "heat", specs: [MetricSpec(name: "degrees")]),
                ])
            #expect(notices.isEmpty)
            let noted = try mapped(routing).notices
            #expect(noted.count == 1)
            #expect(noted.first?.contains("reads the attribute power, but neither") == true)
        }
        let fault = complaint("scrape: {attributes: {power: '{gpu=1}'}}")
        #expect(
            fault?.description.contains("pools[0].scrape.attributes (pool chat): power: the metric spec {gpu=1} must")
                == true)
        let many = (0...EndpointAttribute.limit).map { "a\($0): m" }.joined(separator: ", ")
        #expect(complaint("scrape: {attributes: {\(many)}}")?.description.contains("more than 32 series") == true)
    }

    private let flowControl = """
        featureGates: [flowControl]
        flowControl:
          maxRequests: 77
          defaultRequestTTL: 9s
          defaultPriorityBand: {maxRequests: 11, maxBytes: 2000, orderingPolicyRef: edf}
          priorityBands: [{priority: 3, maxRequests: 12}]
          saturationDetector: {pluginRef: busy}

        """
    private let flowPlugins = """
        plugins:
          - {type: queue-scorer}
          - {type: edf-ordering-policy, name: edf}
          - {type: concurrency-detector, name: busy, parameters: {maxConcurrency: 33}}
        schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}]}]

        """

    @Test func flowControlOfTheFileFillsWhatIsLeftAtItsDefault() throws {
        try withFile(flowPlugins + flowControl) { path in
            let filled = try mapped("routing: {endpointPickerConfig: '\(path)'}").pool.admission
            #expect(filled.saturation == .concurrency(ConcurrencyDetector(maxConcurrency: 33)))
            #expect(filled.timeToLive == .seconds(9))
            #expect(filled.noEndpointTimeToLive == .seconds(9))
            #expect(filled.totalLimits == WaitingLimits(requests: 77))
            let usual = BandPolicy(
                limits: .init(requests: 11, bytes: 2000), fairness: .strict, ordering: .earliestDeadline)
            #expect(filled.realtimeBand == usual)
            #expect(filled.sheddableBand == usual)
            let high = BandPolicy(
                limits: .init(requests: 12, bytes: 1_000_000_000), fairness: .strict, ordering: .firstCome)
            #expect(filled.bands == [3: high])
        }
    }

    @Test func whatIsWrittenInTheConfigurationStays() throws {
        try withFile(flowPlugins + flowControl) { path in
            let pool = try mapped(
                """
                routing: {endpointPickerConfig: '\(path)'}, admission: {queue: {maxRequests: 5, ttl: 2s, noEndpointTTL: 3s},
                total: {maxRequests: 6}, bands: [{priority: 3, maxRequests: 4}], usageLimit: {ceiling: 0.5},
                saturation: {detector: utilization}}
                """
            ).pool.admission
            #expect(pool.timeToLive == .seconds(2))
            #expect(pool.noEndpointTimeToLive == .seconds(3))
            #expect(pool.totalLimits.requests == 6)
            #expect(pool.realtimeBand.limits == WaitingLimits(requests: 5, bytes: 2000))
            #expect(pool.bands[3]?.limits == WaitingLimits(requests: 4, bytes: 2000))
            #expect(pool.usageLimit == .fixed(ceiling: 0.5))
            guard case .utilization = pool.saturation else {
                Issue.record("the detector is \(pool.saturation)")
                return
            }
        }
    }

    @Test func aShadowFillsNothing() throws {
        try withFile(flowPlugins + flowControl) { path in
            let pool = try mapped("routing: {shadow: '\(path)'}").pool
            #expect(pool.admission == AdmissionConfiguration())
        }
    }

    @Test(arguments: [
        "saturationDetector: {pluginRef: utilization-detector}",
        "flowControl: {saturationDetector: {pluginRef: utilization-detector}}",
    ])
    func metricsDoNotGrowStaleBetweenTwoReads(detector: String) throws {
        try withFile(queueOnly + detector) { path in
            let slow = try mapped("routing: {endpointPickerConfig: '\(path)'}")
            #expect(
                slow.pool.admission.saturation
                    == .utilization(UtilizationDetector(metricsStalenessThreshold: .seconds(1))))
            #expect(
                slow.notices.contains { $0.hasPrefix("\(path): the metricsStalenessThreshold of 200ms is shorter") })
            let fast = try mapped("routing: {endpointPickerConfig: '\(path)'}, scrape: {interval: 50ms}")
            #expect(fast.pool.admission.saturation == .utilization(UtilizationDetector()))
            #expect(!fast.notices.contains { $0.contains("metricsStalenessThreshold") })
        }
    }

    @Test func noticesAreGivenOnceForAFileOfTwoPools() throws {
        try withFile(queueOnly + "dataLayer: {injectDefaults: true}\n") { path in
            let text = """
                pools:
                  - {name: a, endpoints: [{url: "http://x"}], routing: {endpointPickerConfig: '\(path)'}}
                  - {name: b, endpoints: [{url: "http://y"}], routing: {shadow: '\(path)'}}
                """
            let configuration = try Configuration.parse(text, file: "weir.yaml", environment: [:])
            var notices: [String] = []
            _ = try GatewayConfiguration(configuration) { notices.append($0) }
            #expect(notices.count == 1)
            #expect(notices.first?.contains("dataLayer: is ignored") == true)
        }
    }

    @Test func aFileThatIsWrongIsAMistakeOfTheConfiguration() throws {
        let missing = complaint("routing: {endpointPickerConfig: /nowhere/epp.yaml}")
        #expect(
            missing?.description
                == "pools[0].routing.endpointPickerConfig (pool chat): /nowhere/epp.yaml: cannot be read: no such file")
        #expect(missing?.isConfiguration == true)
        try withFile("plugins: [{type: queue-scorrer}]\nschedulingProfile: 1\n") { path in
            let wrong = complaint("routing: {shadow: '\(path)'}")
            let lines = wrong?.description.split(separator: "\n") ?? []
            #expect(lines.count == 2)
            for line in lines { #expect(line.hasPrefix("pools[0].routing.shadow (pool chat): \(path):")) }
            #expect(wrong?.isConfiguration == true)
        }
    }

    @Test func whatTheFileAndTheConfigurationCannotBeTogetherIsNamed() throws {
        let bands = (100..<140).map { "{priority: \($0)}" }.joined(separator: ", ")
        let flow = "featureGates: [flowControl]\nflowControl: {priorityBands: [\(bands)]}\n"
        try withFile(queueOnly + flow) { path in
            let own = (0..<30).map { "{priority: \($0)}" }.joined(separator: ", ")
            let error = complaint("routing: {endpointPickerConfig: '\(path)'}, admission: {bands: [\(own)]}")
            #expect(
                error?.description
                    == "pools[0].admission (pool chat): 70 bands have policies of their own, but only 64 may wait at once."
            )
            #expect(error?.isConfiguration == true)
        }
    }

    @Test func aCheckReadsTheFilesToo() throws {
        func configuration(_ path: String) throws -> Configuration {
            let text =
                "pools: [{name: p, endpoints: [{url: \"http://x\"}], routing: {endpointPickerConfig: '\(path)'}}]"
            return try Configuration.parse(text, file: "weir.yaml", environment: [:])
        }
        try withFile(queueOnly + "dataLayer: {injectDefaults: true}\n") { path in
            let notices = try WeirService.check(configuration(path))
            #expect(notices.count == 1)
        }
        #expect(throws: ServiceError.self) { try WeirService.check(configuration("/nowhere")) }
    }
}

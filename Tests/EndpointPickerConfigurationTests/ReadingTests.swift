import Basics
import EndpointPickerConfiguration
import Pool
import Routing
import Testing

/// Files as people write them, and what is read from them.
@Suite struct ReadingTests {
    private func read(_ yaml: String) throws -> EndpointPickerConfiguration {
        try EndpointPickerConfiguration.parse(yaml, file: "epp.yaml")
    }

    private let head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"

    @Test func anEmptyFileIsTheRoutersDefault() throws {
        #expect(try read("") == .routerDefault)
        #expect(try read("# nothing but a comment\n") == .routerDefault)
        let written = try read(
            head + """
                plugins:
                - type: queue-scorer
                - type: kv-cache-utilization-scorer
                - type: prefix-cache-scorer
                schedulingProfiles:
                - name: default
                  plugins:
                  - {pluginRef: queue-scorer, weight: 2}
                  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
                  - {pluginRef: prefix-cache-scorer, weight: 3}
                """)
        #expect(written == .routerDefault)
    }

    @Test func theWeightedBlendIsRead() throws {
        let configuration = try read(
            """
            apiVersion: inference.networking.x-k8s.io/v1alpha1
            kind: EndpointPickerConfig
            plugins:
            - type: prefix-cache-scorer
            - type: queue-scorer
            - type: kv-cache-utilization-scorer
            - type: approx-prefix-cache-producer
              parameters: {maxPrefixTokensToMatch: 100000}
            - type: no-hit-lru-scorer
            - type: single-profile-handler
            - type: max-score-picker
            schedulingProfiles:
            - name: default
              plugins:
              - pluginRef: prefix-cache-scorer
                weight: 3
              - pluginRef: queue-scorer
                weight: 2
              - pluginRef: kv-cache-utilization-scorer
                weight: 2
              - pluginRef: no-hit-lru-scorer
                weight: 2.0
              - pluginRef: max-score-picker
            """)
        #expect(configuration.policy == .prefixBlend)
        #expect(configuration.notices.map(\.keyPath) == ["apiVersion", "plugins[3].type"])
        #expect(configuration.flowControl == nil)
    }

    @Test func stickyUntilSaturatedIsRead() throws {
        let configuration = try read(
            head + """
                plugins:
                - type: prefix-cache-affinity-filter
                - type: token-load-scorer
                schedulingProfiles:
                - name: default
                  plugins:
                  - pluginRef: prefix-cache-affinity-filter
                  - pluginRef: token-load-scorer
                """)
        #expect(configuration.policy == .stickyTokenLoad)
        #expect(configuration.notices.isEmpty)
    }

    @Test func withoutAProfileEveryPluginThatFitsIsWired() throws {
        let configuration = try read(
            head + """
                plugins:
                - {type: decode-filter}
                - {name: queue, type: queue-scorer}
                - {type: context-length-aware, parameters: {enableFiltering: true, label: range}}
                - {type: weighted-random-picker, parameters: {maxNumOfEndpoints: 3}}
                - {type: metrics-data-source}
                """)
        let expected = WeightedPolicy(
            filters: [
                .init("decode-filter", .decodeRole), .init("context-length-aware", .contextLength(label: "range")),
            ],
            scorers: [.init("queue", .queue), .init("context-length-aware", .contextLength(label: "range"))],
            picker: WeightedPicker(.weightedRandom, maxEndpoints: 3))
        #expect(configuration.policy == expected)
    }

    @Test func aProfileWithoutAPickerTakesTheDeclaredOne() throws {
        let configuration = try read(
            head + """
                plugins: [{type: queue-scorer}, {type: random-picker}]
                schedulingProfiles: [{name: p, plugins: [{pluginRef: queue-scorer}]}]
                """)
        #expect(configuration.policy.picker == WeightedPicker(.random))
        #expect(configuration.policy.scorers.map(\.weight) == [1])
    }

    @Test func theParametersOfFiltersAreRead() throws {
        let configuration = try read(
            head + """
                plugins:
                - type: label-selector-filter
                  parameters:
                    matchLabels: {tier: gold, gpu: h100}
                    matchExpressions:
                    - {key: zone, operator: NotIn, values: [a, b]}
                    - {key: drained, operator: DoesNotExist}
                - {type: by-label, parameters: {label: gpu, validValues: [l4], allowsNoLabel: true}}
                - type: session-affinity-filter
                  parameters:
                    strategy: session_id
                    sessionIdConfig: {sources: [{header: X-Chat}, {attribute: agent-identity}], evictionTtlSeconds: 60}
                - type: endpoint-attribute-filter
                  parameters:
                    attribute: depth
                    onMissing: Fail
                    fallbackOnEmpty: true
                    algorithm: {type: threshold, threshold: {operator: LessThanOrEqual, value: 10}}
                - type: utilization-filter
                  parameters:
                    conditions: [{metric: running-requests, maxValue: 40}, {metric: kv-cache-utilization, maxValue: 0.8}]
                - type: prefix-cache-affinity-filter
                  parameters: {affinityThreshold: 0.99, explorationProbability: 0.01, maxTTFTPenaltyMs: 5000,
                    ttftSource: latencyPredictor}
                - {type: slo-headroom-tier-filter, parameters: {epsilonExploreNeg: 0.05}}
                - {type: concurrency-detector, parameters: {concurrencyMode: hybrid, maxConcurrency: 64, headroom: 0.2}}
                - {type: utilization-detector, parameters: {queueDepthThreshold: 9, metricsStalenessThreshold: 1s}}
                """)
        let expected: [WeightedFilterRule] = [
            .labelSelector(
                WeightedLabelSelector([
                    .isOneOf(key: "gpu", values: ["h100"]), .isOneOf(key: "tier", values: ["gold"]),
                    .isNoneOf(key: "zone", values: ["a", "b"]), .isAbsent(key: "drained"),
                ])),
            .labelValues(label: "gpu", values: ["l4"], keepsUnlabelled: true),
            .sessionAffinity(.sessionID(sources: [.header("x-chat"), .requestSession], idleLimit: .seconds(60))),
            .endpointAttribute(
                .init(attribute: "depth", .lessThanOrEqual, 10, keepsMissing: false, keepsAllWhenEmpty: true)),
            .utilization(
                caps: [.init(.runningRequests, atMost: 40), .init(.kvCacheUtilization, atMost: 0.8)],
                keepsAllWhenEmpty: false),
            .prefixCacheAffinity(
                .init(threshold: 0.99, explorationProbability: 0.01, maxPenaltyMilliseconds: 5000, source: .predictor)),
            .headroomTier(negativeTierProbability: 0.05),
            .concurrencyDetector(.init(mode: .hybrid, maxRequests: 64, headroom: 0.2)),
            .utilizationDetector(.init(queueDepthThreshold: 9, staleAfterMilliseconds: 1000)),
        ]
        #expect(configuration.policy.filters.map(\.rule) == expected)
        #expect(
            configuration.saturationDetector
                == .utilization(.init(queueDepthThreshold: 9, staleAfterMilliseconds: 1000)))
    }

    @Test func theParametersOfScorersAreRead() throws {
        let configuration = try read(
            head + """
                plugins:
                - {type: load-aware-scorer, parameters: {threshold: 100}}
                - {type: active-request-scorer, parameters: {idleThreshold: 2, maxBusyScore: 0.5, requestTimeout: 30s}}
                - {type: token-load-scorer, parameters: {queueThresholdTokens: 1000}}
                - {type: prefix-cache-scorer, parameters: {matchLengthWeight: 0.5, matchLengthScaleTokens: 16384,
                    prefixMatchInfoProducerName: precise}}
                - {type: precise-prefix-cache-scorer, parameters: {tokenProcessorConfig: {blockSize: 64}}}
                - {type: no-hit-lru-scorer, parameters: {lruSize: 2048, prefixPluginName: cache}}
                - {type: session-affinity-scorer}
                - {type: header-label-affinity-scorer, parameters: {headerName: X-Zone, labelKey: zone}}
                - type: endpoint-attribute-scorer
                  parameters:
                    attributeKey: custom.depth
                    algorithm: {type: linear_lower_is_better, normalization: {fixedRange: {min: 0, max: 1}}}
                - type: latency-scorer
                  parameters: {ttftWeight: 1, tpotWeight: 0, headroomSelectionStrategy: most, compositeKVWeight: 3}
                - {type: predicted-latency-producer, parameters: {streamingMode: true, sloBufferFactor: 0.9}}
                - {type: running-requests-size-scorer}
                - {type: lora-affinity-scorer}
                """)
        let expected: [WeightedScorerRule] = [
            .loadAware(threshold: 100), .activeRequests(idleThreshold: 2, maxBusyScore: 0.5),
            .tokenLoad(thresholdTokens: 1000),
            .prefixCache(.init(lengthWeight: 0.5, lengthScaleTokens: 16384)), .prefixCache(.init()),
            .noHitLRU(capacity: 2048), .sessionAffinity(.endpointToken(header: "x-session-token")),
            .headerLabelAffinity(header: "x-zone", label: "zone"),
            .endpointAttribute(.init(attribute: "custom.depth", lowerIsBetter: true, range: 0...1)),
            .latency(.init(ttftWeight: 1, tpotWeight: 0, strategy: .most, fallbackKVWeight: 3)), .runningRequests,
            .loraAffinity,
        ]
        #expect(configuration.policy.scorers.map(\.rule) == expected)
        #expect(configuration.policy.headroom == WeightedHeadroom(isStreaming: true, limitFactor: 0.9))
    }

    @Test func flowControlIsReadWhenItsGateIsOn() throws {
        let section = """
            plugins: [{type: concurrency-detector}, {type: round-robin-fairness-policy}, {type: edf-ordering-policy},
              {type: static-usage-limit-policy, parameters: {threshold: 0.9}}]
            schedulingProfiles: [{name: default}]
            flowControl:
              maxBytes: 2Gi
              maxRequests: "10k"
              defaultRequestTTL: 1m30s
              enableEviction: true
              usageLimitPolicyPluginRef: static-usage-limit-policy
              saturationDetector: {pluginRef: concurrency-detector}
              defaultNegativePriorityBand: {maxRequests: 100}
              priorityBands:
              - {priority: 10, fairnessPolicyRef: round-robin-fairness-policy, orderingPolicyRef: edf-ordering-policy}
              - {priority: -5, maxBytes: 500M, maxRequests: 20, orderingPolicyRef: fcfs-ordering-policy}
            """
        let off = try read(head + section)
        #expect(off.flowControl == nil)
        #expect(off.notices.map(\.keyPath) == ["flowControl"])
        #expect(off.saturationDetector == .concurrency(WeightedConcurrencyDetector()))
        #expect(off.namesSaturationDetector)
        let on = try read(head + "featureGates: [flowControl]\n" + section)
        #expect(on.notices.map(\.keyPath) == ["flowControl.enableEviction"])
        let flow = try #require(on.flowControl)
        #expect(flow.maxBytes == 2_147_483_648)
        #expect(flow.maxRequests == 10_000)
        #expect(flow.defaultRequestTTL == .seconds(90))
        #expect(flow.noEndpointRequestTTL == .seconds(90))
        #expect(flow.saturationCeiling == 0.9)
        #expect(flow.defaultBand == .init(priority: 0))
        #expect(flow.defaultNegativeBand?.maxRequests == 100)
        #expect(flow.defaultNegativeBand?.maxBytes == 1_000_000_000)
        #expect(flow.bands.map(\.priority) == [10, -5])
        #expect(flow.bands.map(\.fairness) == [.roundRobin, .globalStrict])
        #expect(flow.bands.map(\.ordering) == [.earliestDeadlineFirst, .firstComeFirstServed])
        #expect(flow.bands.map(\.maxRequests) == [5000, 20])
        #expect(flow.bands.map(\.maxBytes) == [1_000_000_000, 500_000_000])
        let plain = try read(head + "featureGates: [flowControl=true, haPopulateNonLeaderDatastore=false]")
        #expect(plain.flowControl == FlowControlSettings())
        #expect(try read(head + "featureGates: [flowControl=false]").flowControl == nil)
    }

    @Test func deprecatedSectionsAreReadWithANotice() throws {
        let configuration = try read(
            head + """
                plugins: [{type: concurrency-detector, parameters: {maxConcurrency: 8}}]
                schedulingProfiles: [{name: default}]
                saturationDetector: {pluginRef: concurrency-detector}
                parser: {pluginRef: openai-parser}
                dataLayer: {injectDefaults: false}
                """)
        #expect(configuration.saturationDetector == .concurrency(WeightedConcurrencyDetector(maxRequests: 8)))
        #expect(
            configuration.notices.map(\.keyPath) == ["dataLayer", "parser", "parser.pluginRef", "saturationDetector"])
    }

    @Test func metricsThatTheFileNamesForItsPolicyAreRead() throws {
        func extractor(_ parameters: String) -> String {
            head + "plugins: [{type: core-metrics-extractor, parameters: {\(parameters)}}]\n"
                + "schedulingProfiles: [{name: default}]"
        }
        let configuration = try read(
            extractor(
                """
                defaultEngine: vllm, engineConfigs: [
                  {name: vllm, kvUsageSpec: "x", customMetrics: [{attributeKey: power, metricSpec: "watts{gpu=0}"}]},
                  {name: sglang, customMetrics: [
                    {attributeKey: heat, metricSpec: degrees}, {attributeKey: power, metricSpec: milliwatts}]}]
                """))
        let watts = MetricSpec(name: "watts", labels: [.init(name: "gpu", value: "0")])
        #expect(
            configuration.attributes == [
                EndpointAttribute(name: "power", specs: [watts, MetricSpec(name: "milliwatts")]),
                EndpointAttribute(name: "heat", specs: [MetricSpec(name: "degrees")]),
            ])
        let parameters = "plugins[0].parameters"
        #expect(
            configuration.notices.map(\.keyPath) == [
                "\(parameters).defaultEngine", "\(parameters).engineConfigs[0].kvUsageSpec",
            ])
        let error = #expect(throws: EndpointPickerConfigurationError.self) {
            try read(
                extractor(
                    "engineConfigs: [{customMetrics: [{attributeKey: a}, {attributeKey: b, metricSpec: '0x'}], other: 1}]"
                ))
        }
        #expect(
            error?.problems.map(\.keyPath) == [
                "\(parameters).engineConfigs[0].other",
                "\(parameters).engineConfigs[0].customMetrics[0].metricSpec",
                "\(parameters).engineConfigs[0].customMetrics[1].metricSpec",
            ])
    }

    @Test func aRealisticPreciseSetUpIsReadWithItsProducersIgnored() throws {
        let configuration = try read(
            head + """
                plugins:
                - type: token-producer
                  parameters: {modelName: some/model, vllm: {url: "http://localhost:8000"}}
                - type: endpoint-notification-source
                - type: metrics-data-source
                - type: core-metrics-extractor
                - type: single-profile-handler
                - type: decode-filter
                - type: precise-prefix-cache-producer
                  parameters: {tokenProcessorConfig: {blockSize: 64}}
                - type: prefix-cache-scorer
                  parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}
                - type: max-score-picker
                dataLayer:
                  sources:
                  - pluginRef: metrics-data-source
                    extractors: [{pluginRef: core-metrics-extractor}]
                  - pluginRef: endpoint-notification-source
                    extractors: [{pluginRef: precise-prefix-cache-producer}]
                requestHandler: {parsers: [{pluginRef: openai-parser}]}
                schedulingProfiles:
                - name: default
                  plugins:
                  - pluginRef: decode-filter
                  - pluginRef: prefix-cache-scorer
                    weight: 2.0
                  - pluginRef: max-score-picker
                """)
        #expect(configuration.policy.filters.map(\.rule) == [.decodeRole])
        #expect(configuration.policy.scorers.map(\.weight) == [2])
        #expect(configuration.notices.map(\.keyPath).contains("plugins[6].type"))
        #expect(configuration.notices.count == 6)
        let first = try #require(configuration.notices.first)
        #expect(first.description.hasPrefix("epp.yaml:4:9: plugins[0].type: token-producer is ignored: Weir's own"))
    }

    @Test(arguments: [
        ("", false), ("flowControl: {saturationDetector: {pluginRef: utilization-detector}}", true),
        ("saturationDetector: {pluginRef: utilization-detector}", true),
        ("plugins: [{type: utilization-detector}]", true),
        ("plugins: [{type: concurrency-detector}]", false),
    ])
    func aDetectorThatIsNamedIsToldFromTheDefault(sections: String, isNamed: Bool) throws {
        let head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
        let configuration = try EndpointPickerConfiguration.parse(head + sections, file: "f")
        #expect(configuration.namesSaturationDetector == isNamed)
    }
}

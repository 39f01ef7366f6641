import EndpointPickerConfiguration
import Testing

/// What is refused, with which place and which words.
@Suite struct RefusalTests {
    private static let head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"

    private func problems(_ yaml: String) -> [EndpointPickerProblem] {
        do throws(EndpointPickerConfigurationError) {
            _ = try EndpointPickerConfiguration.parse(yaml, file: "epp.yaml")
            return []
        } catch {
            return error.problems
        }
    }

    @Test(arguments: [
        ("pluginz: []", "pluginz", "is not a known key; expected one of apiVersion, kind"),
        ("plugins: {}", "plugins", "expected a list, found a mapping"),
        ("plugins: [{name: x}]", "plugins[0].type", "is required"),
        ("plugins: [{type: 5}]", "plugins[0].type", "expected text, found the number 5"),
        ("plugins: [{type: qeue-scorer}]", "plugins[0].type", "qeue-scorer is not a known plugin type"),
        ("plugins: [{type: queue-scorer, weight: 2}]", "plugins[0].weight", "is not a known key"),
        (
            "plugins: [{type: queue-scorer}, {type: queue-scorer}]", "plugins[1].name",
            "queue-scorer is the name of an earlier"
        ),
        ("plugins: [{type: queue-scorer, parameters: {x: 1}}]", "plugins[0].parameters.x", "none is expected here"),
        (
            "plugins: [{type: single-profile-handler}, {name: b, type: single-profile-handler}]", "plugins[1]",
            "second profile handler"
        ),
        ("plugins: [{type: disagg-profile-handler}]", "plugins[0].type", "is not supported: Weir runs one profile"),
        ("plugins: [{type: multicluster-queue-scorer}]", "plugins[0].type", "does not route between clusters"),
        ("plugins: [{type: max-score-picker}, {type: random-picker}]", "plugins[1]", "second picker"),
        ("schedulingProfiles: [{name: a}, {name: b}]", "schedulingProfiles[1]", "is a second profile: Weir runs one"),
        ("schedulingProfiles: [{plugins: []}]", "schedulingProfiles[0].name", "is required"),
        (
            "schedulingProfiles: [{name: a, plugins: [{pluginRef: q}]}]", "schedulingProfiles[0].plugins[0].pluginRef",
            "q is not the name of a plugin"
        ),
        (
            "schedulingProfiles: [{name: a, plugins: [{weight: 1}]}]", "schedulingProfiles[0].plugins[0].pluginRef",
            "is required"
        ),
        ("featureGates: [flowcontrol]", "featureGates[0]", "is not a known feature gate, expected one of flowControl"),
        ("featureGates: [flowControl=maybe]", "featureGates[0]", "maybe is neither true nor false"),
        ("flowControl: {maxByte: 1}", "flowControl.maxByte", "is not a known key"),
        ("flowControl: {maxBytes: 1GB}", "flowControl.maxBytes", "expected a quantity such as"),
        ("flowControl: {maxRequests: -1}", "flowControl.maxRequests", "expected a quantity"),
        ("flowControl: {defaultRequestTTL: 60}", "flowControl.defaultRequestTTL", "expected text, found the number 60"),
        ("flowControl: {defaultRequestTTL: 60x}", "flowControl.defaultRequestTTL", "expected a duration"),
        (
            "flowControl: {priorityBands: [{priority: 1}, {priority: 1}]}", "flowControl.priorityBands[1].priority",
            "1 has an earlier band"
        ),
        (
            "flowControl: {priorityBands: [{fairnessPolicyRef: fcfs-ordering-policy}]}",
            "flowControl.priorityBands[0].fairnessPolicyRef", "is not a fairness policy"
        ),
        (
            "flowControl: {priorityBands: [{orderingPolicyRef: edf-ordering-policy}]}",
            "flowControl.priorityBands[0].orderingPolicyRef", "not the name of a plugin declared"
        ),
        (
            "flowControl: {saturationDetector: {pluginRef: concurrency-detector}}",
            "flowControl.saturationDetector.pluginRef", "not the name of a plugin declared"
        ),
        (
            "plugins: [{type: queue-scorer}]\nflowControl: {saturationDetector: {pluginRef: queue-scorer}}",
            "flowControl.saturationDetector.pluginRef", "queue-scorer is not a saturation detector"
        ),
        ("dataLayer: {sources: [{pluginRef: nobody}]}", "dataLayer.sources[0].pluginRef", "nobody is not the name"),
        (
            "requestHandler: {parsers: [{pluginRef: vertexai-parser}]}", "requestHandler.parsers[0].pluginRef",
            "is not supported: Weir does not read this format"
        ),
    ]) func theStructureIsChecked(_ yaml: String, _ keyPath: String, _ words: String) {
        let problems = problems(Self.head + yaml)
        #expect(problems.map(\.keyPath) == [keyPath])
        #expect(problems.first?.message.contains(words) ?? false, "\(problems)")
        #expect(problems.first?.line != nil)
    }

    @Test(arguments: [
        ("no-hit-lru-scorer", "lruSize: \"5\"", "lruSize", "expected a whole number, found the text \"5\""),
        ("no-hit-lru-scorer", "lruSize: 1.5", "lruSize", "expected a whole number, found the number 1.5"),
        ("prefix-cache-scorer", "matchLengthWeight: 1.5", "matchLengthWeight", "is 1.5, must be at most 1.0"),
        (
            "prefix-cache-scorer", "{matchLengthWeight: 1, matchLengthScaleTokens: 0}", "matchLengthScaleTokens",
            "must be above 0"
        ),
        (
            "latency-scorer", "headroomSelectionStrategy: best", "headroomSelectionStrategy",
            "is best, expected one of least, most"
        ),
        ("latency-scorer", "ttftWeight: -1", "ttftWeight", "must be at least 0"),
        ("header-label-affinity-scorer", "headerName: x", "labelKey", "is required"),
        (
            "endpoint-attribute-scorer", "{attributeKey: a, algorithm: {type: x}}", "algorithm.type",
            "is x, expected one of linear_lower_is_better"
        ),
        (
            "endpoint-attribute-scorer", "{attributeKey: a/b, algorithm: {type: linear_lower_is_better}}",
            "attributeKey", "contains /"
        ),
        (
            "endpoint-attribute-scorer",
            "{attributeKey: a, algorithm: {type: linear_lower_is_better, normalization: {fixedRange: {min: 1, max: 1}}}}",
            "algorithm.normalization.fixedRange", "needs min below max"
        ),
        (
            "endpoint-attribute-filter", "{attribute: a, algorithm: {type: topK}}", "algorithm.type",
            "is topK, expected threshold"
        ),
        ("utilization-filter", "conditions: []", "conditions", "must not be empty"),
        (
            "utilization-filter", "conditions: [{metric: kv-cache-utilization, maxValue: 80}]",
            "conditions[0].maxValue", "must be at most 1"
        ),
        ("utilization-filter", "conditions: [{metric: waiting-queue}]", "conditions[0].maxValue", "is required"),
        (
            "prefix-cache-affinity-filter", "ttftSource: guess", "ttftSource",
            "expected one of prefillThroughput, latencyPredictor"
        ),
        ("prefix-cache-affinity-filter", "peakPrefillThroughput: 0", "peakPrefillThroughput", "must be above 0"),
        ("slo-headroom-tier-filter", "epsilonExploreNeg: 2", "epsilonExploreNeg", "must be at most 1"),
        ("label-selector-filter", "matchLabels: {tier: 1}", "matchLabels.tier", "expected text, found the number 1"),
        (
            "label-selector-filter", "matchExpressions: [{key: a, operator: In}]", "matchExpressions[0].values",
            "must not be empty for In"
        ),
        (
            "label-selector-filter", "matchExpressions: [{key: a, operator: Exists, values: [b]}]",
            "matchExpressions[0].values", "must be empty for Exists"
        ),
        ("by-label", "label: gpu", "validValues", "must not be empty unless"),
        (
            "session-affinity-filter", "strategy: cookie", "strategy",
            "expected one of encoded_endpoint_header, session_id"
        ),
        (
            "session-affinity-scorer", "sessionIdConfig: {sources: [{header: a, attribute: b}]}",
            "sessionIdConfig.sources[0]", "needs exactly one of"
        ),
        (
            "session-affinity-scorer", "sessionIdConfig: {sources: [{attribute: b}]}",
            "sessionIdConfig.sources[0].attribute", "is b, expected one of agent-identity"
        ),
        ("utilization-detector", "queueDepthThreshold: 0", "queueDepthThreshold", "must be at least 1"),
        ("utilization-detector", "kvCacheUtilThreshold: 0", "kvCacheUtilThreshold", "must be at least"),
        ("concurrency-detector", "mode: tokens", "mode", "is not a known key; expected one of maxConcurrency"),
        (
            "concurrency-detector", "concurrencyMode: both", "concurrencyMode",
            "expected one of requests, tokens, hybrid"
        ),
        (
            "context-length-aware", "enableFiltering: \"yes\"", "enableFiltering",
            "expected true or false, found the text"
        ),
        ("predicted-latency-producer", "sloBufferFactor: 0", "sloBufferFactor", "must be above 0"),
        (
            "max-score-picker", "maxNumOfEndpoints: two", "maxNumOfEndpoints",
            "expected a whole number, found the text \"two\""
        ),
    ]) func parametersAreChecked(_ type: String, _ parameters: String, _ key: String, _ words: String) {
        let braced = parameters.hasPrefix("{") ? parameters : "{\(parameters)}"
        let problems = problems(Self.head + "plugins: [{type: \(type), parameters: \(braced)}]")
        #expect(problems.map(\.keyPath) == ["plugins[0].parameters.\(key)"])
        #expect(problems.first?.message.contains(words) ?? false, "\(problems)")
        #expect(problems.first?.line == 3)
    }

    @Test func kindAndVersionMustBeKnown() {
        #expect(problems("plugins: []").map(\.keyPath) == ["kind", "apiVersion"])
        let wrong = problems("apiVersion: v1\nkind: ConfigMap\n")
        #expect(
            wrong.map(\.description) == [
                "epp.yaml:2:7: kind: is ConfigMap, expected EndpointPickerConfig",
                "epp.yaml:1:13: apiVersion: is v1, expected one of llm-d.ai/v1alpha1, "
                    + "inference.networking.x-k8s.io/v1alpha1",
            ])
    }

    @Test func everyProblemIsReportedAtOnceAndAReferenceToABrokenPluginOnlyOnce() {
        let problems = problems(
            Self.head + """
                plugins:
                - type: queue-scorer
                  parameters: {x: 1}
                - type: unheard-of
                schedulingProfiles:
                - name: default
                  plugins:
                  - pluginRef: queue-scorer
                    weight: high
                  - pluginRef: unheard-of
                """)
        #expect(
            problems.map(\.description) == [
                "epp.yaml:5:19: plugins[0].parameters.x: is not a known key; none is expected here",
                "epp.yaml:6:9: plugins[1].type: unheard-of is not a known plugin type",
                "epp.yaml:11:13: schedulingProfiles[0].plugins[0].weight: expected a number, found the text \"high\"",
            ])
    }

    @Test func textThatIsNotYAMLNamesItsLine() {
        let problem = problems("kind: [\n").first
        #expect(problem?.message.hasPrefix("is not valid YAML") ?? false)
        #expect(problem?.line != nil)
        let twice = problems("kind: a\nkind: b\n").first
        #expect(twice?.message.contains("kind") ?? false)
        #expect(problems("- a\n").first?.message == "expected a mapping, found a list")
    }

    @Test func aHugeFileAndEndlessProblemsAreCutShort() {
        #expect(problems(String(repeating: "#", count: 2_000_000)).map(\.message) == ["is longer than 1048576 bytes"])
        let many = (0..<500).map { "key\($0): 1\n" }.joined()
        #expect(problems(Self.head + many).count == EndpointPickerConfigurationError.limit)
    }
}

import Admission
import Basics
import InferenceAPI
import Logging
import Pool
import PrefixIndex
import Routing
import Telemetry
import Testing

@testable import Composition
@testable import Gateway
@testable import Harvest
@testable import PoolScheduler
@testable import Prediction

@Suite struct DecisionMetricsTests {
    private func lines(_ registry: MetricsRegistry) -> [String] {
        String(decoding: registry.render(), as: UTF8.self).split(separator: "\n").map(String.init)
            .filter { !$0.hasPrefix("#") }
    }

    private let model = StepTimeModel(
        baseMilliseconds: 8, perDecodeMilliseconds: 0.5, perContextTokenMilliseconds: 0.25,
        perPrefillTokenMilliseconds: 0.125)

    private func accuracy(_ count: Int) -> PredictionAccuracy {
        PredictionAccuracy(
            count: count, meanAbsolutePercentageError: 0.25, medianAbsolutePercentageError: 0.125, bias: -0.0625,
            ninetiethPercentileCoverage: 0.875)
    }

    private var pool: PoolStatus {
        var counters = SchedulerCounters()
        counters.rejected = [.infeasible: 3, .queueFull: 2]
        counters.evicted = 1
        counters.lostTokens = 700
        counters.note(AnswerFacts(promptTokens: 100, cachedPromptTokens: 40))
        let endpoint = EndpointStatus(
            name: "a:1", isUp: true, load: EndpointLoad(), foreignRequests: 0,
            capacity: EndpointCapacity(stepTime: model, kvTokens: nil, maxConcurrentRequests: 8),
            harvest: HarvestState(
                requestCap: 8, reserveMilliseconds: 0.5, allowedBatchRequests: 4, limit: nil, speedFactor: 1.5,
                caution: 0.25), reports: true)
        return PoolStatus(
            name: "chat", models: [], endpoints: [endpoint],
            queue: [BandStatus(priority: 0, requests: 2, bytes: 640)], requests: 2, counters: counters)
    }

    private var insight: PoolInsight {
        var prefix = PrefixIndexStatistics()
        prefix.textEntries = 5
        prefix.tokenEntries = 2
        prefix.routedBlocks = 20
        prefix.hitBlocks = 12
        prefix.evictedBlocks = 4
        prefix.memoryBytes = 4096
        var tally = ShadowTally()
        tally.note(live: 0, shadow: 0, liveCost: 10, shadowCost: 10)
        tally.note(live: 0, shadow: 1, liveCost: 10, shadowCost: 8)
        return PoolInsight(
            name: "chat",
            bands: [
                BandSnapshot(
                    priority: 0, requests: 2, bytes: 640, tokens: 900, flows: 2, oldestWait: .milliseconds(1500),
                    jainIndex: 0.5),
                BandSnapshot(
                    priority: -1, requests: 0, bytes: 0, tokens: 0, flows: 0, oldestWait: .zero, jainIndex: nil),
            ],
            flows: [
                FlowSnapshot(flow: "blue", priority: 0, isOverflow: false, requests: 1, servedTokens: 300),
                FlowSnapshot(flow: "", priority: 0, isOverflow: true, requests: 1, servedTokens: 200),
            ], admissionSaturation: 0.75, prefix: prefix, shadow: ShadowInsight(policy: "weighted", tally: tally),
            endpoints: [
                EndpointInsight(
                    name: "a:1", ttft: accuracy(16), tpot: accuracy(0), stepTime: model, cachedTokens: 77,
                    cacheCapacityTokens: nil)
            ])
    }

    private func report(_ pools: [PoolStatus]) -> StatusReport {
        StatusReport(
            gateway: GatewayStatus(
                pools: pools, clientConnections: 0, requests: 0, heldBodyBytes: 0, heldResultBytes: 0, isDraining: false
            ),
            queues: [], workerPools: [], brokerNames: [:], waitingConnections: 0, priorities: [0])
    }

    @Test func allThatIsKnownIsWrittenAndNothingElse() {
        let registry = MetricsRegistry()
        DecisionMetrics(pools: [pool], insights: [insight]).write(to: registry)
        let at = #"pool="chat",endpoint="a:1""#
        #expect(
            Set(lines(registry)) == [
                "weir_prediction_outcomes{\(at),latency=\"ttft\"} 16",
                "weir_prediction_mean_error_ratio{\(at),latency=\"ttft\"} 0.25",
                "weir_prediction_median_error_ratio{\(at),latency=\"ttft\"} 0.125",
                "weir_prediction_bias_ratio{\(at),latency=\"ttft\"} -0.0625",
                "weir_prediction_coverage_ratio{\(at),latency=\"ttft\"} 0.875",
                "weir_step_time_seconds{\(at),part=\"base\"} 0.008",
                "weir_step_time_seconds{\(at),part=\"decode\"} 0.0005",
                "weir_step_time_seconds{\(at),part=\"context_token\"} 0.00025",
                "weir_step_time_seconds{\(at),part=\"prompt_token\"} 0.000125",
                #"weir_prefix_index_blocks{pool="chat",kind="text"} 5"#,
                #"weir_prefix_index_blocks{pool="chat",kind="tokens"} 2"#,
                #"weir_prefix_index_bytes{pool="chat"} 4096"#,
                #"weir_prefix_index_blocks_total{pool="chat",event="routed"} 20"#,
                #"weir_prefix_index_blocks_total{pool="chat",event="hit"} 12"#,
                #"weir_prefix_index_blocks_total{pool="chat",event="evicted"} 4"#,
                #"weir_prefix_index_blocks_total{pool="chat",event="refused"} 0"#,
                "weir_prefix_cached_tokens{\(at)} 77",
                #"weir_engine_prompt_tokens_total{pool="chat"} 100"#,
                #"weir_engine_cached_prompt_tokens_total{pool="chat"} 40"#,
                #"weir_shadow_decisions_total{pool="chat",policy="weighted",result="all"} 2"#,
                #"weir_shadow_decisions_total{pool="chat",policy="weighted",result="same"} 1"#,
                #"weir_shadow_decisions_total{pool="chat",policy="weighted",result="better"} 1"#,
                #"weir_shadow_regret_seconds{pool="chat",policy="weighted"} -0.002"#,
                "weir_harvest_reserve_seconds{\(at)} 0.0005", "weir_harvest_caution_ratio{\(at)} 0.25",
                "weir_endpoint_speed_ratio{\(at)} 1.5", #"weir_called_back_tokens_total{pool="chat"} 700"#,
                #"weir_queue_bytes{pool="chat",band="0"} 640"#, #"weir_queue_bytes{pool="chat",band="-1"} 0"#,
                #"weir_queue_tokens{pool="chat",band="0"} 900"#, #"weir_queue_tokens{pool="chat",band="-1"} 0"#,
                #"weir_queue_flows{pool="chat",band="0"} 2"#, #"weir_queue_flows{pool="chat",band="-1"} 0"#,
                #"weir_queue_oldest_wait_seconds{pool="chat",band="0"} 1.5"#,
                #"weir_queue_oldest_wait_seconds{pool="chat",band="-1"} 0"#,
                #"weir_queue_fairness_ratio{pool="chat",band="0"} 0.5"#,
                #"weir_flow_served_tokens{pool="chat",band="0",flow="blue"} 300"#,
                #"weir_flow_served_tokens{pool="chat",band="0",flow="other"} 200"#,
                #"weir_flow_waiting_requests{pool="chat",band="0",flow="blue"} 1"#,
                #"weir_flow_waiting_requests{pool="chat",band="0",flow="other"} 1"#,
                #"weir_rejected_total{pool="chat",cause="queue_full"} 2"#,
                #"weir_rejected_total{pool="chat",cause="expired"} 0"#,
                #"weir_rejected_total{pool="chat",cause="infeasible"} 3"#,
                #"weir_rejected_total{pool="chat",cause="no_endpoints"} 0"#,
                #"weir_rejected_total{pool="chat",cause="endpoints_failed"} 0"#,
                #"weir_rejected_total{pool="chat",cause="shutting_down"} 0"#,
                #"weir_queue_evicted_total{pool="chat"} 1"#,
                #"weir_pool_saturation_ratio{pool="chat"} 1"#,
                #"weir_admission_saturation_ratio{pool="chat"} 0.75"#,
            ])
    }

    @Test func flowsThatHaveGoneAreNotToldAnyMore() {
        let registry = MetricsRegistry()
        DecisionMetrics(pools: [pool], insights: [insight]).write(to: registry)
        var later = insight
        later.flows.removeFirst()
        later.bands.removeLast()
        DecisionMetrics(pools: [pool], insights: [later]).write(to: registry)
        let found = lines(registry)
        #expect(!found.contains { $0.contains("blue") || $0.contains(#"band="-1""#) })
        #expect(found.contains { $0.contains(#"flow="other""#) })
    }

    @Test func theRouterNamesTellTheQueueAndTheIndex() {
        let registry = MetricsRegistry()
        RouterCompatibilityMetrics(pools: [pool], insights: [insight], priorities: [0, 5]).write(to: registry)
        let found = lines(registry)
        for prefix in ["llm_d_epp", "inference_extension"] {
            #expect(found.contains(#"\#(prefix)_flow_control_queue_size{inference_pool="chat",priority="0"} 2"#))
            #expect(found.contains(#"\#(prefix)_flow_control_queue_size{inference_pool="chat",priority="5"} 0"#))
            #expect(found.contains(#"\#(prefix)_flow_control_queue_bytes{inference_pool="chat",priority="0"} 640"#))
            #expect(found.contains(#"\#(prefix)_flow_control_queue_bytes{inference_pool="chat",priority="5"} 0"#))
            #expect(found.contains(#"\#(prefix)_prefix_indexer_size{name="chat"} 7"#))
        }
    }

    @Test func theStatusPageIsToldTheSame() throws {
        let snapshot = report([pool]).snapshot(version: "1", uptimeSeconds: 1, insights: [insight])
        let told = try #require(snapshot.pools.first)
        #expect(
            told.insight
                == .init(
                    saturation: 1, admissionSaturation: 0.75, prefixBlocks: 7, prefixBytes: 4096, promptTokens: 100,
                    cachedPromptTokens: 40, rejected: [.init("queue_full", 2), .init("infeasible", 3)],
                    flows: [
                        .init(name: "blue", priority: 0, waiting: 1, servedTokens: 300),
                        .init(name: "other", priority: 0, waiting: 1, servedTokens: 200),
                    ],
                    shadow: .init(
                        policy: "weighted", decisions: 2, agreements: 1, improvements: 1, regretMilliseconds: -2)))
        #expect(
            told.endpoints.first?.insight
                == .init(
                    ttft: .init(outcomes: 16, meanError: 0.25, medianError: 0.125, bias: -0.0625, coverage: 0.875),
                    stepBaseMilliseconds: 8, cachedTokens: 77, harvestReserveMilliseconds: 0.5, harvestCaution: 0.25))
        #expect(
            told.bands == [
                .init(
                    priority: 0, waiting: 2,
                    insight: .init(bytes: 640, tokens: 900, flows: 2, oldestWaitSeconds: 1.5, fairness: 0.5))
            ])
        // A look that nobody asked for costs nothing, and the page goes without.
        let plain = try #require(report([pool]).snapshot(version: "1", uptimeSeconds: 1).pools.first)
        #expect(plain.insight == nil && plain.endpoints.first?.insight == nil)
    }

    @Test func theShareOfCachedPromptsIsCountedOnceEnginesTellIt() {
        let registry = MetricsRegistry()
        let metrics = testMetrics(registry)
        for cached in [0, 50, 0] {
            var record = RequestRecord.answered
            record.usage?.cachedPromptTokens = cached
            metrics.requestEnded(record)
        }
        let found = lines(registry)
        for name in ["llm_d_epp_prefix_indexer_hit_ratio", "inference_extension_prefix_indexer_hit_ratio"] {
            #expect(found.contains(#"\#(name)_bucket{name="chat",le="0"} 1"#))
            #expect(found.contains(#"\#(name)_bucket{name="chat",le="0.4"} 1"#))
            #expect(found.contains(#"\#(name)_bucket{name="chat",le="0.5"} 2"#))
            #expect(found.contains(#"\#(name)_count{name="chat"} 2"#))
        }
    }
}

private func testMetrics(_ registry: MetricsRegistry) -> GatewayMetrics {
    GatewayMetrics(registry: registry, accessLog: nil, logger: Logger(label: "test"))
}

extension RequestRecord {
    /// An answer to a prompt of 100 tokens.
    fileprivate static var answered: RequestRecord {
        RequestRecord(
            requestID: "r", method: "POST", path: "/v1/chat/completions", status: 200, pool: "chat", priority: 0,
            workClass: .realtime, isStreamed: true, isInProcess: false, started: .zero, endedAfter: .seconds(1),
            usage: TokenUsage(promptTokens: 100, completionTokens: 10), outputEvents: 10, estimatedPromptTokens: 90,
            attempts: 1, requestBytes: 400, responseBytes: 800, clientLeft: false, isCut: false)
    }
}

import Basics
import Delivery
import GoogleAuth
import InferenceAPI
import MessageQueues
import Telemetry
import Testing
import Webhooks
import WorkerPools

@testable import AsyncProcessor
@testable import Composition
@testable import DispatchGates

@Suite struct AsyncCompatibilityMetricsTests {
    private func lines(_ registry: MetricsRegistry) -> [String] {
        String(decoding: registry.render(), as: UTF8.self).split(separator: "\n").map(String.init)
            .filter { !$0.hasPrefix("#") }
    }

    private var queue: QueueStatus {
        var depth = QueueDepth()
        depth.ready = 5
        depth.delayed = 2
        depth.leased = 9
        var counters = ConsumerCounters()
        counters.firstDispatches = 10
        counters.dispatched = 14
        counters.retries = 3
        counters.capacityRefusals = 1
        counters.succeeded = 6
        counters.failed = 1
        counters.expired = 2
        counters.offered = 4
        counters.inFlight = 3
        return QueueStatus(
            name: "q", workerPool: nil, outage: nil, depth: depth, counters: counters, failingTargets: [],
            webhooks: WebhookCounters())
    }

    @Test func countersAndLevelsOfAQueueHaveTheNamesOfUpstream() {
        let registry = MetricsRegistry()
        AsyncCompatibilityMetrics(queues: [queue], pools: [], brokerNames: ["q": "requests"]).write(to: registry)
        let labels = #"{queue_id="q",queue_name="requests",pool_name="default"}"#
        let found = lines(registry)
        for (name, value) in [
            ("request_total", 10), ("request_retries_total", 4), ("successful_requests_total", 6),
            ("failed_requests_total", 1), ("exceeded_deadline_requests_total", 2), ("dispatched_requests_total", 14),
            ("shedded_requests_total", 0), ("queue_depth", 4), ("inflight_requests", 3), ("broker_backlog", 7),
        ] {
            #expect(found.contains("llm_d_async_async_\(name)\(labels) \(value)"), "\(name)")
        }
    }

    @Test func theBacklogIsThatOfTheBrokerWhereItIsKnown() {
        let registry = MetricsRegistry()
        let names = [
            "llm_d_async_async_broker_backlog", "weir_async_backlog_messages", "weir_async_backlog_oldest_seconds",
        ]
        func found(_ backlog: SubscriptionBacklog?) -> [String] {
            var queue = queue
            queue.backlog = backlog
            StatusReport(
                gateway: nil, queues: [queue], workerPools: [], brokerNames: [:], waitingConnections: 0, priorities: []
            ).write(to: registry)
            return names.flatMap { name in
                lines(registry).filter { $0.hasPrefix(name) }.map { $0.replacing(/\{.*\}/, with: "") }
            }
        }
        #expect(found(nil) == ["\(names[0]) 7"])
        #expect(
            found(SubscriptionBacklog(unacknowledged: 5000, oldestAge: .seconds(90)))
                == ["\(names[0]) 5000", "\(names[1]) 5000", "\(names[2]) 90"])
        // What is not known any more is not told any more.
        #expect(found(nil) == ["\(names[0]) 7"])
    }

    @Test func gatesOfAPoolHaveNoQueueInTheirLabels() {
        let gate = GateStatus(
            type: "prometheus-saturation", inferencePool: "llama", metricValue: 0.5, metricThreshold: 0.25,
            isSourceAvailable: true, sourceProblem: nil, budget: 0.25, windows: [])
        var failing = gate
        failing.metricValue = nil
        failing.isSourceAvailable = false
        var decisions = GateDecisions()
        decisions.closed = 5
        decisions.errors = 1
        let pool = WorkerPoolStatus(
            name: "big", limit: 7, waiting: 0, running: 0, gates: [gate], budget: 0.25, decisions: nil,
            queueGates: [(queue: "q", gates: [failing], budget: 0, decisions: decisions)])
        let registry = MetricsRegistry()
        AsyncCompatibilityMetrics(queues: [], pools: [pool], brokerNames: [:]).write(to: registry)
        let ofPool = #"queue_id="",queue_name="",pool_name="big""#
        let ofQueue = #"queue_id="q",queue_name="q",pool_name="big""#
        #expect(
            Set(lines(registry)) == [
                "llm_d_async_async_pool_worker_limit{pool_name=\"big\"} 7",
                "llm_d_async_async_dispatch_budget{\(ofPool)} 0.25", "llm_d_async_async_dispatch_budget{\(ofQueue)} 0",
                "llm_d_async_async_gate_metric_value{\(ofPool),inference_pool=\"llama\"} 0.5",
                "llm_d_async_async_gate_metric_threshold{\(ofPool),inference_pool=\"llama\"} 0.25",
                "llm_d_async_async_gate_metric_threshold{\(ofQueue),inference_pool=\"llama\"} 0.25",
                "llm_d_async_async_gate_metric_source_available{\(ofPool),inference_pool=\"llama\"} 1",
                "llm_d_async_async_gate_metric_source_available{\(ofQueue),inference_pool=\"llama\"} 0",
                "llm_d_async_async_gate_decisions_total{\(ofQueue),reason=\"gate_closed\"} 5",
                "llm_d_async_async_gate_decisions_total{\(ofQueue),reason=\"quota_exhausted\"} 0",
                "llm_d_async_async_gate_decisions_total{\(ofQueue),reason=\"dropped\"} 0",
                "llm_d_async_async_gate_decisions_total{\(ofQueue),reason=\"error\"} 1",
            ])
    }

    @Test func attemptsAreCountedByHowTheyEnded() {
        let registry = MetricsRegistry()
        let metrics = AttemptMetrics(registry: registry, queue: "q", brokerName: "requests", pool: "big")
        func observe(_ outcome: AttemptOutcome) {
            metrics.observe(AttemptObservation(waited: .milliseconds(600), took: .milliseconds(40), outcome: outcome))
        }
        var good = AttemptResponse(statusCode: 200, body: [])
        good.usage = TokenUsage(promptTokens: 30, completionTokens: 12)
        observe(.answered(good))
        observe(.answered(AttemptResponse(statusCode: 429, body: [])))
        observe(.answered(AttemptResponse(statusCode: 503, body: [])))
        observe(.failed(.connectionLost, endpoint: nil))
        let labels = #"queue_id="q",queue_name="requests",pool_name="big""#
        let found = lines(registry)
        for line in [
            "llm_d_async_async_shedded_requests_total{\(labels)} 1",
            "llm_d_async_async_tokens_total{\(labels),direction=\"input\"} 30",
            "llm_d_async_async_tokens_total{\(labels),direction=\"output\"} 12",
            "llm_d_async_async_inference_latency_time_millis_bucket{\(labels),le=\"25\"} 0",
            "llm_d_async_async_inference_latency_time_millis_bucket{\(labels),le=\"50\"} 3",
            "llm_d_async_async_queue_residence_time_millis_bucket{\(labels),le=\"500\"} 0",
            "llm_d_async_async_queue_residence_time_millis_count{\(labels)} 4",
        ] {
            #expect(found.contains(line), "\(line)")
        }
    }
}

/// The metrics of the asynchronous path under the names that llm-d-async gives them, so that its dashboards and alerts go on
/// working.
///
/// Names, labels and buckets are upstream's (shared reference `async-processor.md` 5.4); times are in milliseconds.
/// `queue_id` is the queue's name here, `queue_name` its name inside its broker, `pool_name` its pool of workers.
public enum AsyncMetricCatalog {
    private static let prefix = "llm_d_async_async_"
    private static let queueLabels = ["queue_id", "queue_name", "pool_name"]
    private static let gateLabels = queueLabels + ["inference_pool"]

    /// First attempts.
    public static let requests = counter("request_total", "Messages whose request was sent for the first time.")
    /// Attempts that were followed by another.
    public static let retries = counter(
        "request_retries_total",
        "Attempts that did not end their message: failures, and refusals of the gateway for lack of room.")
    /// Messages with a good answer.
    public static let succeeded = counter("successful_requests_total", "Messages finished with a successful answer.")
    /// Messages with a bad answer.
    public static let failed = counter(
        "failed_requests_total", "Messages finished with a final error answer, or given up.")
    /// Messages that came too late.
    public static let expired = counter(
        "exceeded_deadline_requests_total", "Messages finished because their deadline passed.")
    /// Answers that say there is no room.
    public static let shed = counter(
        "shedded_requests_total", "Attempts that a gateway answered with a refusal for lack of room, such as 429.")
    /// All attempts.
    public static let dispatched = counter("dispatched_requests_total", "Requests sent, repeated ones included.")
    /// Tokens used.
    public static let tokens = Metric.counter(
        prefix + "tokens_total", labels: queueLabels + ["direction"],
        "Tokens of answered requests, as the answers report them; direction is `input` or `output`.")
    /// Time that gateways take.
    public static let inferenceLatency = Metric.histogram(
        prefix + "inference_latency_time_millis", labels: queueLabels,
        bounds: [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000],
        "From sending a request to the end of its answer.")
    /// Time that messages lie in this process.
    public static let queueResidence = Metric.histogram(
        prefix + "queue_residence_time_millis", labels: queueLabels,
        bounds: [
            500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000,
            21_600_000, 43_200_000, 86_400_000,
        ],
        "From when a message was ready to go in this process to when its request was sent; the wait in the broker before "
            + "that is not in it.")
    /// Messages that wait in this process.
    public static let queueDepth = gauge(
        "queue_depth", "Messages taken from the broker whose request waits to be sent.")
    /// Requests under way.
    public static let inFlight = gauge("inflight_requests", "Requests that were sent and have no whole answer yet.")
    /// Messages that wait in the broker.
    public static let backlog = gauge(
        "broker_backlog",
        "Messages in the broker that nobody has taken, those that wait to be tried again included. Pub/Sub: those that nobody "
            + "has acknowledged, as Cloud Monitoring last said; where it does not say, what waits in this process.")
    /// What gates let through.
    public static let budget = gauge(
        "dispatch_budget",
        "What the gate of the queue, or of the pool where the queue's labels are empty, lets through: 0 closed to 1.")
    /// What gates decide against.
    public static let gateDecisions = Metric.counter(
        prefix + "gate_decisions_total", labels: queueLabels + ["reason"],
        "Decisions of a gate against requests; reason is `gate_closed` (each time it closes while requests wait), "
            + "`quota_exhausted`, `dropped` or `error`.")
    /// How many requests a pool may have under way.
    public static let workerLimit = Metric.gauge(
        prefix + "pool_worker_limit", labels: ["pool_name"], "Requests that the pool may have under way at present.")
    /// What a gate compares.
    public static let gateValue = gateGauge(
        "gate_metric_value", "The value that the gate compares with its threshold; it is closed at or below that.")
    /// What a gate compares with.
    public static let gateThreshold = gateGauge("gate_metric_threshold", "The threshold of the gate.")
    /// Whether a gate can read its source.
    public static let gateSourceAvailable = gateGauge(
        "gate_metric_source_available", "1 if the gate has a fresh reading of its source, else 0.")

    /// Every row.
    public static let all: [MetricDefinition] = [
        requests.definition, retries.definition, succeeded.definition, failed.definition, expired.definition,
        shed.definition, dispatched.definition, tokens.definition, inferenceLatency.definition,
        queueResidence.definition, queueDepth.definition, inFlight.definition, backlog.definition, budget.definition,
        workerLimit.definition, gateDecisions.definition, gateValue.definition, gateThreshold.definition,
        gateSourceAvailable.definition,
    ]

    private static func counter(_ name: String, _ help: String) -> Metric<Counter> {
        .counter(prefix + name, labels: queueLabels, help)
    }

    private static func gauge(_ name: String, _ help: String) -> Metric<Gauge> {
        .gauge(prefix + name, labels: queueLabels, help)
    }

    private static func gateGauge(_ name: String, _ help: String) -> Metric<Gauge> {
        .gauge(prefix + name, labels: gateLabels, help)
    }
}

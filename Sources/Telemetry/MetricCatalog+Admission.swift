/// Who waits in front of a pool, how evenly it is shared, and whom it turns away.
extension MetricCatalog {
    /// Bytes that wait.
    public static let queueBytes = Metric.gauge(
        "weir_queue_bytes", labels: ["pool", "band"], "Bytes of the request bodies that wait in the gateway.")
    /// Tokens that wait.
    public static let queueTokens = Metric.gauge(
        "weir_queue_tokens", labels: ["pool", "band"],
        "Uncached prompt tokens and output tokens that waiting requests are expected to take.")
    /// Flows that wait.
    public static let queueFlows = Metric.gauge(
        "weir_queue_flows", labels: ["pool", "band"], "Flows (tenants) that have requests waiting in the gateway.")
    /// The oldest wait.
    public static let queueOldestWait = Metric.gauge(
        "weir_queue_oldest_wait_seconds", labels: ["pool", "band"],
        "How long the oldest waiting request has waited; 0 if none waits.")
    /// How evenly flows are served.
    public static let queueFairness = Metric.gauge(
        "weir_queue_fairness_ratio", labels: ["pool", "band"],
        "Jain's index of the tokens per second that the flows of the band get, by their weights, over those that have been "
            + "waiting for a while: 1 if all get the same; absent where that cannot be told.")
    /// What flows have got.
    public static let flowServedTokens = Metric.gauge(
        "weir_flow_served_tokens", labels: ["pool", "band", "flow"],
        "Tokens dispatched for a flow since it was last forgotten, output tokens weighted; of the 20 flows of the pool that "
            + "have got most.")
    /// What flows wait for.
    public static let flowWaiting = Metric.gauge(
        "weir_flow_waiting_requests", labels: ["pool", "band", "flow"], "Waiting requests of the same flows.")
    /// Requests turned away.
    public static let rejected = Metric.counter(
        "weir_rejected_total", labels: ["pool", "cause"],
        "Requests that the pool turned away: `queue_full`, `expired` (waited too long), `infeasible` (could not have been "
            + "answered in time), `no_endpoints`, `endpoints_failed`, `shutting_down`.")
    /// Waiting requests that made room.
    public static let queueEvicted = Metric.counter(
        "weir_queue_evicted_total", labels: ["pool"],
        "Requests that waited and were turned away because no more could wait: batch for real-time ones, and those of "
            + "tenants that took up most for others.")
    /// How full a pool is for batch work.
    public static let saturation = Metric.gauge(
        "weir_pool_saturation_ratio", labels: ["pool"],
        "How much of what the pool may carry it carries: at 1 no further batch request may start.")
    /// How full a pool is for real-time work.
    public static let admissionSaturation = Metric.gauge(
        "weir_admission_saturation_ratio", labels: ["pool"],
        "How full the pool is for a real-time request of 1000 prompt tokens, by its saturation detector: from 1 on it waits "
            + "in the gateway.")

    /// The rows of this file.
    static let admissionRows: [MetricDefinition] = [
        queueBytes.definition, queueTokens.definition, queueFlows.definition, queueOldestWait.definition,
        queueFairness.definition, flowServedTokens.definition, flowWaiting.definition, rejected.definition,
        queueEvicted.definition, saturation.definition, admissionSaturation.definition,
    ]
}

/// The state of the gateway's pools under the names that the llm-d router gives it, so that what gates or scales by a router's
/// metrics can go by Weir's.
///
/// Names and labels are those of both vintages that are about (shared reference `gaie-protocol.md` 5,
/// `async-processor.md` 4.2): what begins with `llm_d_epp_`, and the older names that the router still has beside it.
public enum RouterMetricCatalog {
    private static let saturationHelp =
        "How much of what the pool may carry it carries: 1 where Weir lets in no further batch request, because steps would get "
        + "longer than their share of the objective (with what is kept free for the next rise of real-time traffic), the KV "
        + "cache or an endpoint is full, real-time requests wait, or no endpoint is up; above 1 if real-time traffic alone "
        + "exceeds it. The mean over the endpoints that are up."
    private static let queueHelp =
        "Requests that wait in the gateway for a place, those of its own queue's messages included."
    private static let queueBytesHelp = "Bytes of the request bodies that wait in the gateway."
    private static let prefixSizeHelp = "Distinct blocks of prompts in the prefix index of the pool."
    private static let prefixHitHelp =
        "Share of the prompt of a complete answer that was cached, as the engine reported it; counted once any engine of the "
        + "pool has reported cached tokens."
    private static let hitBounds = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    private static let readyHelp = "Endpoints of the pool that take requests."
    private static let endpointQueueHelp =
        "Requests waiting inside the endpoint, as it last reported; of one that reports nothing, those without a first token."
    private static let averageQueueHelp = "The mean of that over the endpoints that are up."
    private static let averageRunningHelp =
        "Requests running inside an endpoint, as it last reported or else as this gateway counts; the mean over those up."
    private static let averageKVHelp =
        "Use of the KV cache (0 to 1), as the endpoints last reported; the mean over those up that did."

    /// How full a pool is.
    public static let saturation = Metric.gauge(
        "llm_d_epp_flow_control_pool_saturation", labels: ["inference_pool", "stage"],
        saturationHelp + " The stage is always `effective`.")
    /// The same, older.
    public static let olderSaturation = Metric.gauge(
        "inference_extension_flow_control_pool_saturation", labels: ["inference_pool"], saturationHelp)
    /// Requests that wait in the gateway.
    public static let queueSize = Metric.gauge(
        "llm_d_epp_flow_control_queue_size", labels: ["inference_pool", "priority"], queueHelp)
    /// The same, older.
    public static let olderQueueSize = Metric.gauge(
        "inference_extension_flow_control_queue_size", labels: ["inference_pool", "priority"], queueHelp)
    /// Bytes that wait in the gateway.
    public static let queueBytes = Metric.gauge(
        "llm_d_epp_flow_control_queue_bytes", labels: ["inference_pool", "priority"], queueBytesHelp)
    /// The same, older.
    public static let olderQueueBytes = Metric.gauge(
        "inference_extension_flow_control_queue_bytes", labels: ["inference_pool", "priority"], queueBytesHelp)
    /// Blocks in the prefix index.
    public static let prefixSize = Metric.gauge("llm_d_epp_prefix_indexer_size", labels: ["name"], prefixSizeHelp)
    /// The same, older.
    public static let olderPrefixSize = Metric.gauge(
        "inference_extension_prefix_indexer_size", labels: ["name"], prefixSizeHelp)
    /// How much of prompts was cached.
    public static let prefixHitRatio = Metric.histogram(
        "llm_d_epp_prefix_indexer_hit_ratio", labels: ["name"], bounds: hitBounds, prefixHitHelp)
    /// The same, older.
    public static let olderPrefixHitRatio = Metric.histogram(
        "inference_extension_prefix_indexer_hit_ratio", labels: ["name"], bounds: hitBounds, prefixHitHelp)
    /// Endpoints that take requests.
    public static let readyEndpoints = Metric.gauge("llm_d_epp_ready_endpoints", labels: ["name"], readyHelp)
    /// The same, older.
    public static let olderReadyEndpoints = Metric.gauge("inference_pool_ready_pods", labels: ["name"], readyHelp)
    /// Requests that wait in an endpoint.
    public static let endpointQueueSize = Metric.gauge(
        "llm_d_epp_per_endpoint_queue_size", labels: ["name", "model_server_endpoint"], endpointQueueHelp)
    /// The same, older.
    public static let olderEndpointQueueSize = Metric.gauge(
        "inference_pool_per_pod_queue_size", labels: ["name", "model_server_pod"], endpointQueueHelp)
    /// Requests that wait in the endpoints, on average.
    public static let averageQueueSize = Metric.gauge(
        "llm_d_epp_average_queue_size", labels: ["name"], averageQueueHelp)
    /// The same, older.
    public static let olderAverageQueueSize = Metric.gauge(
        "inference_pool_average_queue_size", labels: ["name"], averageQueueHelp)
    /// Requests that run in the endpoints, on average.
    public static let averageRunning = Metric.gauge(
        "llm_d_epp_average_running_requests", labels: ["name"], averageRunningHelp)
    /// The same, older.
    public static let olderAverageRunning = Metric.gauge(
        "inference_pool_average_running_requests", labels: ["name"], averageRunningHelp)
    /// KV cache use of the endpoints, on average.
    public static let averageKVUsage = Metric.gauge(
        "llm_d_epp_average_kv_cache_utilization", labels: ["name"], averageKVHelp)
    /// The same, older.
    public static let olderAverageKVUsage = Metric.gauge(
        "inference_pool_average_kv_cache_utilization", labels: ["name"], averageKVHelp)

    /// Every row.
    public static let all: [MetricDefinition] = [
        saturation.definition, olderSaturation.definition, queueSize.definition, olderQueueSize.definition,
        queueBytes.definition, olderQueueBytes.definition, prefixSize.definition, olderPrefixSize.definition,
        prefixHitRatio.definition, olderPrefixHitRatio.definition,
        readyEndpoints.definition, olderReadyEndpoints.definition, endpointQueueSize.definition,
        olderEndpointQueueSize.definition, averageQueueSize.definition, olderAverageQueueSize.definition,
        averageRunning.definition, olderAverageRunning.definition, averageKVUsage.definition,
        olderAverageKVUsage.definition,
    ]
}

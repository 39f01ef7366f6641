/// Every metric that Weir exposes: the one table from which exposition, documentation and dashboards derive.
///
/// Names end in their unit; counters end in `_total`. `band` is a priority as a number, `class` is `realtime` or `async`.
public enum MetricCatalog {
    /// Bounds for times from a millisecond to minutes.
    private static let waitBounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

    /// Requests answered.
    public static let requests = Metric.counter(
        "weir_requests_total", labels: ["pool", "band", "status"],
        "Requests answered, by class of status code (2xx, 4xx, ...).")
    /// From the request's first byte to the answer's last.
    public static let requestDuration = Metric.histogram(
        "weir_request_duration_seconds", labels: ["pool", "band"],
        bounds: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600],
        "From the first byte of a request to the last byte of its answer.")
    /// From the request's first byte to the first token.
    public static let timeToFirstToken = Metric.histogram(
        "weir_time_to_first_token_seconds", labels: ["pool", "band"],
        bounds: [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30],
        "From the first byte of a request to the first token of its answer; streamed answers only.")
    /// Time in the gateway's queue.
    public static let gatewayQueue = Metric.histogram(
        "weir_gateway_queue_seconds", labels: ["pool", "band"], bounds: waitBounds,
        "Time that requests waited in the gateway for a place on an endpoint.")
    /// Requests on an endpoint now.
    public static let requestsInFlight = Metric.gauge(
        "weir_requests_in_flight", labels: ["pool", "endpoint", "class"],
        "Requests that this gateway has sent to an endpoint and not yet got back.")
    /// Requests waiting in the gateway now.
    public static let queueDepth = Metric.gauge(
        "weir_queue_depth", labels: ["pool", "band"], "Requests that wait in the gateway for a place.")
    /// Requests turned away.
    public static let dropped = Metric.counter(
        "weir_dropped_total", labels: ["pool", "reason"], "Requests that the gateway turned away, by drop reason.")
    /// Second and further sends of a request.
    public static let retries = Metric.counter(
        "weir_retries_total", labels: ["pool"],
        "Times a request was sent to another endpoint after one failed before answering.")
    /// Requests ended early.
    public static let aborted = Metric.counter(
        "weir_aborted_total", labels: ["pool", "reason"],
        "Requests ended before their answer was complete: client (it left), brake (called back for real-time work), ..."
    )
    /// Whether an endpoint takes requests.
    public static let endpointUp = Metric.gauge(
        "weir_endpoint_up", labels: ["pool", "endpoint"], "1 if the endpoint takes requests, 0 if it is marked down.")
    /// Requests waiting inside an endpoint.
    public static let endpointWaiting = Metric.gauge(
        "weir_endpoint_waiting_requests", labels: ["pool", "endpoint"],
        "Requests waiting inside the endpoint, as it last reported.")
    /// Requests running inside an endpoint.
    public static let endpointRunning = Metric.gauge(
        "weir_endpoint_running_requests", labels: ["pool", "endpoint"],
        "Requests running inside the endpoint, as it last reported.")
    /// KV cache use of an endpoint.
    public static let endpointKVUsage = Metric.gauge(
        "weir_endpoint_kv_usage_ratio", labels: ["pool", "endpoint"],
        "Use of the endpoint's KV cache (0 to 1), as it last reported.")
    /// Prompt tokens.
    public static let promptTokens = Metric.counter(
        "weir_prompt_tokens_total", labels: ["pool", "class"], "Prompt tokens of answered requests.")
    /// Output tokens.
    public static let outputTokens = Metric.counter(
        "weir_output_tokens_total", labels: ["pool", "class"], "Output tokens of answered requests.")
    /// Batch requests the pool could take now.
    public static let harvestAllowed = Metric.gauge(
        "weir_harvest_allowed_requests", labels: ["pool"], "Batch requests in flight that the pool allows now.")
    /// Requests the pool carries within its objective.
    public static let harvestCap = Metric.gauge(
        "weir_harvest_cap_requests", labels: ["pool"],
        "Requests of all kinds that the pool carries within its time-per-token objective (R).")
    /// Messages in a queue.
    public static let asyncQueueDepth = Metric.gauge(
        "weir_async_queue_depth", labels: ["queue"], "Messages in the queue that are not finished.")
    /// Messages at a broker that only its monitoring counts.
    public static let asyncBacklog = Metric.gauge(
        "weir_async_backlog_messages", labels: ["queue"],
        "Messages of the Pub/Sub subscription that nobody has acknowledged, those in work included, as Cloud Monitoring "
            + "last said; absent where that is not known.")
    /// The age of the oldest of them.
    public static let asyncOldestMessage = Metric.gauge(
        "weir_async_backlog_oldest_seconds", labels: ["queue"],
        "Time since the oldest of them was published; absent where that is not known.")
    /// Messages held by this process.
    public static let asyncLeased = Metric.gauge(
        "weir_async_leased_messages", labels: ["queue"], "Messages that this process has taken and not finished.")
    /// Messages finished.
    public static let asyncResults = Metric.counter(
        "weir_async_results_total", labels: ["queue", "outcome"], "Messages finished, by outcome.")
    /// Requests of messages given to endpoints.
    public static let asyncDispatched = Metric.counter(
        "weir_async_dispatched_total", labels: ["queue"],
        "Requests of messages given to an endpoint, repeated ones included.")
    /// Attempts that did not end a message.
    public static let asyncSetbacks = Metric.counter(
        "weir_async_setbacks_total", labels: ["queue", "reason"],
        "Attempts that did not end their message: `failure` (tried again later), `capacity` (the server had no room), "
            + "`eviction` (stopped for real-time work), `handed_back` (a stop, or nobody served the model), `lost_lease`."
    )
    /// Messages that wait to be tried again.
    public static let asyncDelayed = Metric.gauge(
        "weir_async_delayed_messages", labels: ["queue"], "Messages that wait for the time of their next attempt.")
    /// Dead letters.
    public static let asyncDeadLetters = Metric.gauge(
        "weir_async_dead_letters", labels: ["queue"], "Messages that were given up and are kept to be looked at.")
    /// Models left alone.
    public static let asyncFailingModels = Metric.gauge(
        "weir_async_failing_models", labels: ["queue"],
        "Models that failed every request of late; a single request probes them from time to time.")
    /// Failures of a queue's store.
    public static let asyncQueueErrors = Metric.counter(
        "weir_async_queue_errors_total", labels: ["queue"], "Calls of the queue's store that failed; they are repeated."
    )
    /// Connections held for results.
    public static let asyncWaiting = Metric.gauge(
        "weir_async_waiting_connections", "Connections that are held until their request has its result (mode `wait`).")
    /// Results posted.
    public static let webhooks = Metric.counter(
        "weir_webhooks_total", labels: ["queue", "outcome"],
        "Posts of results: `delivered`, `retried` (failed, tried again later), `given_up`.")
    /// Client connections.
    public static let connections = Metric.gauge("weir_connections", "Open client connections.")
    /// Log lines lost.
    public static let logLinesDropped = Metric.counter(
        "weir_log_lines_dropped_total", labels: ["sink"],
        "Log and access log lines lost because their sink could not keep up or failed.")
    /// Label values beyond a metric's limit.
    public static let metricSeriesOverflow = Metric.counter(
        "weir_metric_series_overflow_total", labels: ["metric"],
        "Times new label values of a metric went to its series `other` because the metric has too many.")
    /// The program's version.
    public static let buildInfo = Metric.gauge(
        "weir_build_info", labels: ["version"], "Always 1; its label says which build runs.")
    /// Memory in use.
    public static let processResidentMemory = Metric.gauge(
        "process_resident_memory_bytes", "Physical memory in use by the process (Linux).")
    /// Open file descriptors.
    public static let processOpenFileDescriptors = Metric.gauge(
        "process_open_fds", "Open file descriptors of the process (Linux).")

    /// Every row.
    public static let all: [MetricDefinition] =
        [
            requests.definition, requestDuration.definition, timeToFirstToken.definition, gatewayQueue.definition,
            requestsInFlight.definition, queueDepth.definition, dropped.definition,
            retries.definition, aborted.definition, endpointUp.definition, endpointWaiting.definition,
            endpointRunning.definition, endpointKVUsage.definition, promptTokens.definition, outputTokens.definition,
            harvestAllowed.definition, harvestCap.definition, asyncQueueDepth.definition, asyncBacklog.definition,
            asyncOldestMessage.definition, asyncLeased.definition,
            asyncResults.definition, asyncDispatched.definition, asyncSetbacks.definition, asyncDelayed.definition,
            asyncDeadLetters.definition, asyncFailingModels.definition, asyncQueueErrors.definition,
            asyncWaiting.definition,
            webhooks.definition,
            connections.definition, logLinesDropped.definition,
            metricSeriesOverflow.definition, buildInfo.definition, processResidentMemory.definition,
            processOpenFileDescriptors.definition,
        ] + admissionRows + decisionRows

    /// The table as a Markdown page.
    public static func markdown() -> String {
        var page = """
            # Metrics

            Served in the Prometheus text format at `/metrics` of the admin port. Times are in seconds, sizes in bytes. `band` is
            a priority as a number; `class` is `realtime` or `async`. Each metric has a bound on its series: label values beyond
            it share a series whose labels all say `other`, counted in `weir_metric_series_overflow_total`.


            """
        page += table(of: all)
        page += """

            ## Names of llm-d-async

            The asynchronous path is also told under the names that llm-d-async uses, with its units (milliseconds) and labels, so
            that dashboards and alerts made for it go on working.


            """
        page += table(of: AsyncMetricCatalog.all)
        page += """

            ## Names of the llm-d router

            The state of the gateway's pools is also told under the names that the llm-d router uses, newer and older ones, so that
            a processor elsewhere can gate on Weir (`prometheus-saturation`, `prometheus-budget`, `endpoint-scrape`).


            """
        page += table(of: RouterMetricCatalog.all)
        return page
    }

    private static func table(of rows: [MetricDefinition]) -> String {
        var page = """
            | metric | type | labels | series at most | meaning |
            |---|---|---|---|---|

            """
        for row in rows {
            let type =
                switch row.kind {
                case .counter: "counter"
                case .gauge: "gauge"
                case .histogram: "histogram"
                }
            let labels = row.labels.map { "`\($0)`" }.joined(separator: ", ")
            let limit = row.labels.isEmpty ? 1 : row.seriesLimit
            page += "| `\(row.name)` | \(type) | \(labels) | \(limit) | \(row.help) |\n"
        }
        return page
    }
}

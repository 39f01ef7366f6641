/// What pools have learned, and how well it serves them: predictions, prefix caches, candidate policies, batch work.
///
/// `latency` is `ttft` (time to first token) or `tpot` (time per output token after the first).
extension MetricCatalog {
    private static let ofPrediction = ["pool", "endpoint", "latency"]
    private static let lately = " of the latest 256 at the endpoint; absent before the first."

    /// Predictions compared with what came.
    public static let predictionOutcomes = Metric.gauge(
        "weir_prediction_outcomes", labels: ofPrediction, seriesLimit: 1024,
        "Predictions that have been compared with what came, the latest 256 at most.")
    /// Their mean error.
    public static let predictionMeanError = Metric.gauge(
        "weir_prediction_mean_error_ratio", labels: ofPrediction, seriesLimit: 1024,
        "Mean absolute error of predictions relative to what came (MAPE, 0.1 is 10 %)," + lately)
    /// Their median error.
    public static let predictionMedianError = Metric.gauge(
        "weir_prediction_median_error_ratio", labels: ofPrediction, seriesLimit: 1024,
        "Median absolute error of predictions relative to what came," + lately)
    /// Their bias.
    public static let predictionBias = Metric.gauge(
        "weir_prediction_bias_ratio", labels: ofPrediction, seriesLimit: 1024,
        "Mean error of predictions relative to what came, above 0 if they are too high," + lately)
    /// Their coverage.
    public static let predictionCoverage = Metric.gauge(
        "weir_prediction_coverage_ratio", labels: ofPrediction, seriesLimit: 1024,
        "Share of outcomes at or below the predicted 0.9 quantile (0.9 where that is right)," + lately)
    /// Step times.
    public static let stepTime = Metric.gauge(
        "weir_step_time_seconds", labels: ["pool", "endpoint", "part"], seriesLimit: 1024,
        "What an engine step takes, as believed now: `base`, and more per `decode` (request that generates), "
            + "`context_token` (of those) and `prompt_token` (computed in the step).")

    /// Blocks in the prefix index.
    public static let prefixBlocks = Metric.gauge(
        "weir_prefix_index_blocks", labels: ["pool", "kind"],
        "Distinct blocks of prompts in the prefix index: of `text`, as routed, and of `tokens`, as engines publish them."
    )
    /// Its memory.
    public static let prefixMemory = Metric.gauge(
        "weir_prefix_index_bytes", labels: ["pool"], "Memory that the prefix index has allocated.")
    /// What happened to its blocks.
    public static let prefixOperations = Metric.counter(
        "weir_prefix_index_blocks_total", labels: ["pool", "event"],
        "Blocks by what happened to them: `routed` (noted for an endpoint), `hit` (of those, known there already), "
            + "`evicted` (dropped for others or because the endpoint's cache is believed full), `refused` (published by an "
            + "engine, without room in the index).")
    /// What endpoints are believed to have cached.
    public static let prefixCachedTokens = Metric.gauge(
        "weir_prefix_cached_tokens", labels: ["pool", "endpoint"],
        "Tokens of prompts and answers that the endpoint is believed to have cached.")
    /// What endpoints are believed to keep.
    public static let prefixCapacity = Metric.gauge(
        "weir_prefix_capacity_tokens", labels: ["pool", "endpoint"],
        "Tokens that the endpoint is believed to keep cached; absent where no limit is known.")
    /// Prompt tokens as engines count them.
    public static let enginePromptTokens = Metric.counter(
        "weir_engine_prompt_tokens_total", labels: ["pool"],
        "Prompt tokens of complete answers, as the engines reported them.")
    /// Those of them that were cached.
    public static let engineCachedTokens = Metric.counter(
        "weir_engine_cached_prompt_tokens_total", labels: ["pool"],
        "Those of them that were cached, as the engines reported them.")

    /// Whether caches are known.
    public static let kvEventsFollowing = Metric.gauge(
        "weir_kv_events_following", labels: ["pool", "endpoint"],
        "1 if what the endpoint has cached is known from its KV events, 0 if it is guessed; of endpoints with `kvEvents`."
    )
    /// How late they are.
    public static let kvEventsLag = Metric.gauge(
        "weir_kv_events_lag_seconds", labels: ["pool", "endpoint"],
        "How long the endpoint's last KV events were under way, by its clock and ours; absent before the first.")
    /// Prompts that were tokenized.
    public static let tokenizations = Metric.counter(
        "weir_tokenizations_total", labels: ["pool", "result"],
        "Prompts that were to be tokenized because an endpoint publishes KV events: `done`, `refused` (the endpoint would "
            + "not), `failed` (no answer in time; then nobody is asked for a while).")

    /// Decisions of a candidate policy.
    public static let shadowDecisions = Metric.counter(
        "weir_shadow_decisions_total", labels: ["pool", "policy", "result"],
        "Decisions that a candidate policy made beside the live one: `all`, `same` (the same endpoint), `better` (one that "
            + "was expected to cost less).")
    /// Its regret.
    public static let shadowRegret = Metric.gauge(
        "weir_shadow_regret_seconds", labels: ["pool", "policy"],
        "What the choices of a candidate policy were expected to cost more than the live ones, summed up since the start; "
            + "below 0 if they cost less.")

    /// What is kept free of batch work.
    public static let harvestReserve = Metric.gauge(
        "weir_harvest_reserve_seconds", labels: ["pool", "endpoint"],
        "Step time that is kept free of batch work for the next rise of real-time work.")
    /// How cautious harvesting has become.
    public static let harvestCaution = Metric.gauge(
        "weir_harvest_caution_ratio", labels: ["pool", "endpoint"],
        "How cautious harvesting has become: 0 if real-time users do not notice batch work, up to 1.")
    /// How much faster endpoints have proved to be.
    public static let harvestSpeed = Metric.gauge(
        "weir_endpoint_speed_ratio", labels: ["pool", "endpoint"],
        "How many times faster than first believed the endpoint has proved to be; 1 without evidence.")
    /// Work thrown away.
    public static let calledBackTokens = Metric.counter(
        "weir_called_back_tokens_total", labels: ["pool"],
        "Tokens computed in vain for batch requests that were called back for real-time work, by estimate.")

    /// The rows of this file.
    static let decisionRows: [MetricDefinition] = [
        predictionOutcomes.definition, predictionMeanError.definition, predictionMedianError.definition,
        predictionBias.definition, predictionCoverage.definition, stepTime.definition, prefixBlocks.definition,
        prefixMemory.definition, prefixOperations.definition, prefixCachedTokens.definition,
        prefixCapacity.definition, enginePromptTokens.definition, engineCachedTokens.definition,
        kvEventsFollowing.definition, kvEventsLag.definition, tokenizations.definition,
        shadowDecisions.definition, shadowRegret.definition, harvestReserve.definition, harvestCaution.definition,
        harvestSpeed.definition, calledBackTokens.definition,
    ]
}

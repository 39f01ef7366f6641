extension Configuration.Pool: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("name", \.name, .text, required: true, "Name in metrics, logs and the status page; unique."),
            .list(
                "models", \.models, .text,
                "The models that requests may name to reach this pool. Left out, the endpoints are asked."),
            .sections("endpoints", \.endpoints, required: true, "The model servers, at least one."),
            .section(
                "engine", \.engine,
                "What the scheduler believes about one endpoint's speed: a preset, and constants that replace its own."),
            .section("slo", \.slo, "What real-time users are promised; batch work is held back to keep it."),
            .section("routing", \.routing, "How an endpoint is chosen for a request."),
            .section(
                "admission", \.admission,
                "When requests wait in the gateway, how many, and in which order they leave."),
            .section("harvest", \.harvest, "What batch work may take of the pool."),
            .section("scrape", \.scrape, "How load is read from the endpoints."),
        ]
    }
}

extension Configuration.Endpoint: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "url", \.url, .endpointURL, required: true, "Root of the model server; requests add their own path."),
            .scalar(
                "engine", \.engine, .word,
                "What it runs, which decides the metric names read from it. `auto` looks; `none` reads nothing."),
            .map(
                "labels", \.labels, keys: .text, values: .text,
                "Labels of your choice, for rules that name endpoints by them."),
            .optionalSection(
                "kvEvents", \.kvEvents,
                "Where it publishes its KV events (ZMQ), so that what it has cached is known exactly. Left out: it is "
                    + "believed to have cached what was sent there."),
        ]
    }
}

extension Configuration.Engine: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("preset", \.preset, .text, "A known engine, such as `llama-8b-h100` or `llama-70b-h100x4`."),
            .optional(
                "baseMilliseconds", \.baseMilliseconds, .quantity, "Fixed cost of one engine step."),
            .optional(
                "perDecodeMilliseconds", \.perDecodeMilliseconds, .quantity, "Cost of each decoding request in a step."),
            .optional(
                "perContextTokenMilliseconds", \.perContextTokenMilliseconds, .quantity,
                "Cost of each token of context read in a step."),
            .optional(
                "perPrefillTokenMilliseconds", \.perPrefillTokenMilliseconds, .quantity,
                "Cost of each prompt token computed in a step."),
            .optional("kvTokens", \.kvTokens, .positiveCount, "Size of the KV cache, in tokens."),
            .optional("maxSequences", \.maxSequences, .positiveCount, "Most requests in one step."),
        ]
    }
}

extension Configuration.ServiceLevel: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("ttft", \.ttft, .positiveDuration, "Time to first token."),
            .scalar("tpot", \.tpot, .positiveDuration, "Time per output token after the first."),
        ]
    }
}

extension Configuration.Harvest: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("enabled", \.enabled, .boolean, "Whether batch work is let in at all."),
            .scalar(
                "stepShare", \.stepShare, .share,
                "Share of `slo.tpot` that a token may take on average while batch work is aboard (theta)."),
            .scalar(
                "prefillShare", \.prefillShare, .share,
                "Share of the engine's time that prompts, real-time and batch together, may take (rho)."),
            .scalar(
                "prefillBurst", \.prefillBurst, .positiveDuration,
                "Most prompts of batch work sent in one burst, as the engine time that they take."),
            .scalar(
                "brakeShare", \.brakeShare, .share,
                "Share of `slo.ttft` that waiting real-time prompts may take to compute before batch work is called back."
            ),
            .scalar(
                "cautiousBrakeShare", \.cautiousBrakeShare, .share,
                "The same where real-time traffic comes in clumps; not more than `brakeShare`."),
            .scalar("kvShare", \.kvShare, .share, "Share of the KV cache beyond which no batch work starts."),
            .scalar(
                "reserveQuantile", \.reserveQuantile, .share,
                "Quantile of the recent rises of real-time requests in flight that is kept free."),
            .optional(
                "maxInFlightPerEndpoint", \.maxInFlightPerEndpoint, .count,
                "Hard limit on batch requests in flight on one endpoint, whatever the law allows."),
            .scalar(
                "abortedTokenShare", \.abortedTokenShare, .share,
                "Share of harvested tokens that aborts for real-time bursts may throw away."),
            .scalar(
                "cautiousAbortedTokenShare", \.cautiousAbortedTokenShare, .share,
                "The same where real-time traffic comes in clumps; not less than `abortedTokenShare`."),
            .scalar(
                "toleratedMissShare", \.toleratedMissShare, .share,
                "Share of real-time requests that may miss an objective for batch work's sake before it holds back more."
            ),
        ]
    }
}

extension Configuration.Scrape: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "interval", \.interval,
                .duration.requiring("\(DurationText.text(shortestInterval)) or longer") { $0 >= shortestInterval },
                "Time between two reads of one endpoint."),
            .scalar("timeout", \.timeout, .positiveDuration, "Longest read."),
            .scalar("path", \.path, .urlPath, "Where the endpoints serve their metrics."),
            .map(
                "attributes", \.attributes, keys: .text, values: .text,
                "Further metrics that the plugins of an EndpointPickerConfig read: attribute and series, as in "
                    + "`power: DCGM_FI_DEV_POWER_USAGE{gpu=\"0\"}`."),
        ]
    }
}

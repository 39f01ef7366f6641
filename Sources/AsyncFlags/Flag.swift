/// A flag of llm-d-async.
struct Flag: Hashable {
    /// What its value is.
    enum Kind: Hashable {
        case text, integer, duration
        /// Written alone, it means yes; a value takes an equals sign.
        case boolean
    }

    /// What becomes of it here.
    enum Fate: Hashable {
        /// It is translated.
        case current
        /// It is translated, and this replaces it.
        case deprecated(String)
        /// It is accepted and changes nothing, for this reason.
        case ignored(String)
    }

    /// The name, without dashes.
    let name: String
    /// What its value is.
    let kind: Kind
    /// What becomes of it here.
    let fate: Fate
    /// What it means, for `--help`.
    let meaning: String

    private init(_ name: String, _ kind: Kind, _ meaning: String) { self.init(name, kind, .current, meaning) }

    private init(_ name: String, _ kind: Kind, _ fate: Fate, _ meaning: String) {
        self.name = name
        self.kind = kind
        self.fate = fate
        self.meaning = meaning
    }

    /// Every flag, in the order of `--help`.
    static let all: [Flag] = current + ignored + deprecated

    private static let current = [
        Flag("transport", .text, "redis-sortedset, redis-pubsub (ephemeral; the default) or gcp-pubsub"),
        Flag("transport-config", .text, "the transport's configuration, JSON"),
        Flag("transport-config-file", .text, "a file with the transport's configuration, JSON"),
        Flag("concurrency", .integer, "most requests under way at a time in the pool `default`; 64"),
        Flag("pool-config-file", .text, "a file with worker pools, JSON"),
        Flag("request-timeout", .duration, "longest single attempt; 5m"),
        Flag("drain-timeout", .duration, "how long requests under way may take to finish after SIGTERM; 2m"),
        Flag("request-merge-policy-config-file", .text, "a file with the merge policy, JSON; random-robin without one"),
        Flag("transform-config-file", .text, "a file with request transforms, JSON"),
        Flag("prometheus-url", .text, "the Prometheus server that gates ask"),
        Flag("prometheus-cache-ttl", .duration, "time between two readings of a metric; 1s"),
        Flag("tls-ca-cert", .text, "PEM file of the authorities that the gateway's certificate is checked against"),
        Flag("tls-cert", .text, "PEM file with our certificate"),
        Flag("tls-key", .text, "PEM file with its key"),
        Flag("tls-insecure-skip-verify", .boolean, "believe any certificate; for tests only"),
        Flag("metrics-port", .integer, "port of /metrics and the status page; 9090"),
        Flag("health-port", .integer, "port of /healthz and /readyz; 8081"),
        Flag("v", .integer, "how much is logged: 2 notices, 3 information, 4 and above details"),
    ]

    private static let ignored: [Flag] = [
        Flag(
            "metrics-endpoint-auth", .boolean,
            .ignored("metrics are served to whoever reaches the port; guard it by a network policy"),
            "metrics are not authenticated"),
        Flag(
            "metrics-backlog-poll-interval", .duration, .ignored("the backlog is read every second"),
            "the backlog is read every second"),
        Flag(
            "gate-wait-timeout", .duration,
            .ignored("a request that a gate holds back stays in its queue until it may go or its deadline passes"),
            "waiting at a gate occupies nothing"),
        Flag(
            "transport-config-watch-interval", .duration, .ignored("restart to change queues; nothing is lost by it"),
            "files are read once"),
        Flag("redis-tracing", .boolean, .ignored("Weir traces no Redis commands"), "nothing is traced"),
        Flag(
            "redis.ss.poll-interval-ms", .integer, .ignored("messages are taken as they arrive, not by polling"),
            "nothing is polled"),
        batchSize(prefix: "redis.ss."), batchSize(prefix: "pubsub."), zap("devel", .boolean), zap("encoder"),
        zap("log-level"), zap("stacktrace-level"), zap("time-encoding"),
    ]

    private static func batchSize(prefix: String) -> Flag {
        let meaning = "messages are taken as fast as they can be sent on"
        return Flag("\(prefix)batch-size", .integer, .ignored(meaning), meaning)
    }

    private static func zap(_ name: String, _ kind: Kind = .text) -> Flag {
        Flag("zap-\(name)", kind, .ignored("logs are JSON lines; -v says how much"), "logs are JSON lines")
    }

    private static let deprecated: [Flag] =
        general + queueFlags(prefix: "redis.", results: "result-queue")
        + queueFlags(prefix: "redis.ss.", results: "result-list") + pubsub

    private static let general: [Flag] = [
        Flag("message-queue-impl", .text, .deprecated("--transport"), "the transport"),
        Flag(
            "request-merge-policy-config", .text, .deprecated("--request-merge-policy-config-file"),
            "a file with the merge policy"),
        Flag("redis.url", .text, .deprecated("url in --transport-config, or REDIS_URL"), "the Redis server"),
        Flag(
            "redis.retry-queue-name", .text, .deprecated("retry_queue_name in --transport-config"),
            "the sorted set of retries"),
        Flag("redis.ss.gate-type", .text, .deprecated("gate_type of a queue in --transport-config"), "the gate"),
        Flag(
            "redis.ss.gate-params", .text, .deprecated("gate_params of a queue in --transport-config"),
            "what the gate is told, JSON"),
    ]

    private static let pubsub: [Flag] = [
        Flag("pubsub.project-id", .text, .deprecated("project_id in --transport-config"), "the project"),
        Flag(
            "pubsub.request-subscriber-id", .text, .deprecated("subscriber_id of a topic in --transport-config"),
            "the subscription"),
        Flag(
            "pubsub.result-topic-id", .text, .deprecated("result_topic_id in --transport-config"),
            "the topic for results"),
        Flag(
            "pubsub.igw-base-url", .text, .deprecated("igw_base_url of a topic in --transport-config"),
            "root of the gateway"),
        Flag(
            "pubsub.request-path-url", .text, .deprecated("request_path_url of a topic in --transport-config"),
            "path of requests"),
        Flag(
            "pubsub.inference-objective", .text, .deprecated("inference_objective of a topic in --transport-config"),
            "the objective"),
        Flag(
            "pubsub.topics-config-file", .text, .deprecated("topics in --transport-config-file"),
            "a file with topics, JSON"),
    ]

    private static func queueFlags(prefix: String, results: String) -> [Flag] {
        let entry = "of a queue in --transport-config"
        return [
            Flag(prefix + "igw-base-url", .text, .deprecated("igw_base_url \(entry)"), "root of the gateway"),
            Flag(prefix + "request-path-url", .text, .deprecated("request_path_url \(entry)"), "path of requests"),
            Flag(prefix + "inference-objective", .text, .deprecated("inference_objective \(entry)"), "the objective"),
            Flag(prefix + "request-queue-name", .text, .deprecated("queue_name \(entry)"), "the queue"),
            Flag(
                prefix + "result-queue-name", .text, .deprecated("result_queue_name in --transport-config"),
                "where results go; \(results)"),
            Flag(prefix + "queues-config", .text, .deprecated("queues in --transport-config"), "queues, JSON"),
            Flag(
                prefix + "queues-config-file", .text, .deprecated("queues in --transport-config-file"),
                "a file with queues, JSON"),
        ]
    }
}

import WeirConfiguration

/// Where requests come from, as llm-d-async has it: from a document, or from deprecated flags.
struct Transport {
    /// The transports that can be translated, by the names of `--transport`.
    enum Kind: String, CaseIterable {
        case redisSortedSet = "redis-sortedset"
        case redisPubSub = "redis-pubsub"
        case googlePubSub = "gcp-pubsub"

        /// Reads a name; the older `gcp-pubsub-gated` means the same as `gcp-pubsub`.
        init?(name: String) {
            if let kind = Kind(rawValue: name) {
                self = kind
            } else if name == "gcp-pubsub-gated" {
                self = .googlePubSub
            } else {
                return nil
            }
        }
    }

    /// One queue, or one topic.
    struct Entry {
        /// Its name in metrics; nil takes `source`.
        var id: String?
        /// The key, channel or subscription that requests come from.
        var source = ""
        var resultQueue: String?
        var gatewayURL = ""
        var path: String?
        var objective: String?
        var workerPool: String?
        var labels: [String: String] = [:]
        var gate: Configuration.Gate?
    }

    var kind: Kind
    var url: String?
    var retryQueue: String?
    var resultQueue: String?
    var resultTTLSeconds: Int?
    var leaseSeconds: Int?
    var project: String?
    var resultTopic: String?
    var entries: [Entry] = []
    /// What was asked for and makes no difference here.
    var notes: [String] = []

    init(kind: Kind) { self.kind = kind }
}

extension Transport {
    /// Reads the document of `--transport-config`; what is wrong with it is left in `document`.
    init(kind: Kind, text: String, document: inout Document) {
        self.kind = kind
        guard let root = document.read(text), let members = document.members(root, at: "", known: kind.keys) else {
            return
        }
        url = members.text("url", &document)
        retryQueue = members.text("retry_queue_name", &document)
        resultQueue = members.text("result_queue_name", &document)
        resultTTLSeconds = members.integer("result_ttl_seconds", &document)
        leaseSeconds = members.integer("claim_lease_ttl_seconds", &document, minimum: 1)
        let isGoogle = kind == .googlePubSub
        project = members.text("project_id", &document, required: isGoogle)
        resultTopic = members.text("result_topic_id", &document, required: isGoogle)
        Self.refuseClusters(members, &document)
        noteWithoutEffect(members)
        if let list = members.values[kind.listKey] {
            entries = Self.entries(list, at: kind.listKey, kind: kind, document: &document)
        } else {
            document.report(kind.listKey, line: nil, "is required")
        }
    }

    /// Reads the list of queues or topics that deprecated flags hold by itself.
    static func entries(_ node: JSONNode, at path: String, kind: Kind, document: inout Document) -> [Entry] {
        let elements = document.elements(node, at: path)
        if elements.isEmpty { document.report(path, line: node.line, "needs at least one entry") }
        return elements.enumerated().compactMap { index, element in
            entry(element, at: "\(path)[\(index)]", kind: kind, document: &document)
        }
    }

    private static func entry(_ node: JSONNode, at path: String, kind: Kind, document: inout Document) -> Entry? {
        guard let members = document.members(node, at: path, known: kind.entryKeys) else { return nil }
        var entry = Entry()
        entry.id = members.text("id", &document)
        entry.source = members.text(kind.sourceKey, &document, required: true) ?? ""
        entry.resultQueue = members.text(
            kind == .googlePubSub ? "result_topic_id" : "result_queue_name", &document)
        entry.gatewayURL = members.text("igw_base_url", &document, required: true) ?? ""
        entry.path = members.text("request_path_url", &document)
        entry.objective = members.text("inference_objective", &document)
        entry.workerPool = members.text("worker_pool_id", &document)
        entry.labels = members.texts("labels", &document)
        entry.gate = members.gate(&document)
        return entry
    }

    /// One server is what we speak to; pretending otherwise would lose messages on the others.
    private static func refuseClusters(_ members: Members, _ document: inout Document) {
        let unsupported = "Redis Cluster and Sentinel are not supported"
        if let mode = members.text("mode", &document), mode != "standalone" {
            document.report(
                "mode", line: members.values["mode"]?.line,
                "expected standalone, found \"\(mode.prefix(60))\": \(unsupported)")
        }
        for key in ["addrs", "master_name"] {
            guard let node = members.values[key] else { continue }
            document.report(key, line: node.line, "\(unsupported); name one server in url")
        }
    }

    private mutating func noteWithoutEffect(_ members: Members) {
        let reasons = [
            ("poll_interval_ms", "messages are taken as they arrive, not by polling"),
            ("batch_size", "messages are taken as fast as they can be sent on"),
            ("claim_reclaim_interval_ms", "messages whose taker died are found at once when their lease ends"),
            ("enable_tracing", "Weir traces no Redis commands"),
        ]
        for (key, reason) in reasons where members.values[key] != nil {
            notes.append("\(key) has no effect: \(reason)")
        }
    }
}

extension Transport.Kind {
    /// The key of the list of queues or topics.
    var listKey: String { self == .googlePubSub ? "topics" : "queues" }

    /// The key of a queue's or topic's source.
    var sourceKey: String { self == .googlePubSub ? "subscriber_id" : "queue_name" }

    /// The keys of the document.
    fileprivate var keys: [String] {
        switch self {
        case .googlePubSub: ["project_id", "result_topic_id", "batch_size", "topics"]
        case .redisPubSub:
            [
                "url", "retry_queue_name", "result_queue_name", "enable_tracing", "mode", "addrs", "master_name",
                "queues",
            ]
        case .redisSortedSet:
            [
                "url", "retry_queue_name", "result_queue_name", "enable_tracing", "mode", "addrs", "master_name",
                "queues", "poll_interval_ms", "batch_size", "claim_lease_ttl_seconds", "claim_reclaim_interval_ms",
                "result_ttl_seconds",
            ]
        }
    }

    /// The keys of a queue or topic.
    fileprivate var entryKeys: [String] {
        let common = [
            sourceKey, "igw_base_url", "request_path_url", "inference_objective", "worker_pool_id", "labels",
        ]
        switch self {
        case .redisPubSub: return common
        case .redisSortedSet: return common + ["id", "result_queue_name", "gate_type", "gate_params"]
        case .googlePubSub: return common + ["id", "result_topic_id", "gate_type", "gate_params"]
        }
    }
}

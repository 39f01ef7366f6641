import DispatchGates
import WeirConfiguration

extension Transport {
    /// The flags that choose the transport in the newer way; with one of them, the older ones have no say.
    static let newerFlags = ["transport", "transport-config", "transport-config-file"]

    /// Translates the deprecated flags, one set for each transport.
    ///
    /// - Parameters:
    ///   - read: the text of a file; throws a problem that names it.
    ///   - document: where what is wrong with JSON inside the flags is left.
    init(
        deprecated flags: FlagValues, kind: Kind, read: (String) throws(ConfigurationError) -> String,
        problems: inout [ConfigurationProblem]
    ) throws(ConfigurationError) {
        self.kind = kind
        let prefix = kind.flagPrefix
        url = flags.text("redis.url")
        retryQueue = flags.text("redis.retry-queue-name")
        resultQueue = flags.text(prefix + "result-queue-name")
        project = flags.text("pubsub.project-id")
        resultTopic = flags.text("pubsub.result-topic-id")
        let inline = flags.text(prefix + "queues-config")
        let fileFlag = kind == .googlePubSub ? "pubsub.topics-config-file" : prefix + "queues-config-file"
        let file = flags.text(fileFlag)
        if let text = try Self.text(inline: inline, file: file, read: read) {
            var document = Document(name: inline == nil ? file ?? "" : "--\(prefix)queues-config")
            if let node = document.read(text) {
                entries = Self.entries(node, at: "", kind: kind, document: &document)
            }
            problems += document.problems
        } else {
            entries = [try Self.entry(flags, kind: kind, problems: &problems)]
        }
        if kind == .googlePubSub, project == nil || resultTopic == nil {
            let flag = project == nil ? "--pubsub.project-id" : "--pubsub.result-topic-id"
            problems.append(ConfigurationProblem(file: flag, keyPath: "", message: "is required for \(kind.rawValue)"))
        }
    }

    /// The text of a document that stands in a flag or in a file; nil if in neither.
    static func text(
        inline: String?, file: String?, read: (String) throws(ConfigurationError) -> String
    ) throws(ConfigurationError) -> String? {
        if let inline { return inline }
        guard let file else { return nil }
        return try read(file)
    }

    /// The one queue that flags describe.
    private static func entry(
        _ flags: FlagValues, kind: Kind, problems: inout [ConfigurationProblem]
    ) throws(ConfigurationError) -> Entry {
        let prefix = kind.flagPrefix
        var entry = Entry()
        entry.source =
            switch kind {
            case .redisSortedSet: flags.text("redis.ss.request-queue-name") ?? "request-sortedset"
            case .redisPubSub: flags.text("redis.request-queue-name") ?? "request-queue"
            case .googlePubSub: flags.text("pubsub.request-subscriber-id") ?? ""
            }
        entry.gatewayURL = flags.text(prefix + "igw-base-url") ?? ""
        entry.path = flags.text(prefix + "request-path-url")
        entry.objective = flags.text(prefix + "inference-objective")
        for (value, flag) in [
            (entry.source, "pubsub.request-subscriber-id"), (entry.gatewayURL, prefix + "igw-base-url"),
        ] where value.isEmpty {
            problems.append(
                ConfigurationProblem(file: "--\(flag)", keyPath: "", message: "is required for \(kind.rawValue)"))
        }
        guard kind == .redisSortedSet, let type = flags.text("redis.ss.gate-type") else { return entry }
        var gate = Configuration.Gate(type: type)
        if let text = flags.text("redis.ss.gate-params") {
            var document = Document(name: "--redis.ss.gate-params")
            if let node = document.read(text) {
                if case .object(let parameters)? = GateParameter(node) {
                    gate.parameters = parameters
                } else {
                    document.report("", line: nil, "expected an object, found \(node.description)")
                }
            }
            problems += document.problems
        }
        entry.gate = gate
        return entry
    }
}

extension Transport.Kind {
    /// How the deprecated flags of the transport begin.
    var flagPrefix: String {
        switch self {
        case .redisSortedSet: "redis.ss."
        case .redisPubSub: "redis."
        case .googlePubSub: "pubsub."
        }
    }
}

import Basics
import WeirConfiguration

/// Turns the flags and documents of llm-d-async into a configuration, step by step.
struct AsyncTranslation {
    let flags: FlagValues
    let environment: [String: String]
    var configuration = Configuration()
    private(set) var notes: [String] = []
    private var problems: [ConfigurationProblem] = []
    private var origins = Origins()

    init(flags: FlagValues, environment: [String: String]) {
        self.flags = flags
        self.environment = environment
    }

    mutating func run(read: (String) throws(ConfigurationError) -> String) throws(ConfigurationError) {
        let usesNewerFlags = Transport.newerFlags.contains { flags.has($0) }
        noteFlags(usesNewerFlags: usesNewerFlags)
        let transport = try usesNewerFlags ? newerTransport(read: read) : olderTransport(read: read)
        var async = Configuration.Async()
        async.workerPools = try workerPools(read: read)
        try readMergePolicy(into: &async, read: read)
        try readTransforms(into: &async, read: read)
        readPrometheus(into: &async)
        async.retry.attemptTimeout = flags.duration("request-timeout") ?? .seconds(300)
        checkCertificateFlags()
        readQueues(of: transport, into: &async)
        configuration.async = async
        configuration.gateway.drain.timeout = flags.duration("drain-timeout") ?? .seconds(120)
        readPorts()
        notes += transport.notes
        if let name = environment.keys.filter({ $0.hasPrefix("OTEL_") }).min() {
            notes.append("\(name) has no effect: Weir exports no traces")
        }
        try finish()
        notes += async.gateNotes
    }

    // MARK: Flags

    private mutating func noteFlags(usesNewerFlags: Bool) {
        for flag in flags.given {
            let isTransport = flag.name.contains(".") || flag.name == "message-queue-impl"
            switch flag.fate {
            case .current: break
            case .ignored(let reason): notes.append("--\(flag.name) has no effect: \(reason)")
            case .deprecated where usesNewerFlags && isTransport:
                let newer = Transport.newerFlags.first { flags.has($0) } ?? ""
                notes.append("--\(flag.name) is deprecated, and ignored because of --\(newer)")
            case .deprecated(let replacement):
                notes.append("--\(flag.name) is deprecated: use \(replacement)")
            }
        }
        if flags.has("tls-insecure-skip-verify"), flags.isSet("tls-insecure-skip-verify") {
            notes.append("--tls-insecure-skip-verify: anybody on the way to the gateway can read and answer requests")
        }
    }

    private mutating func checkCertificateFlags() {
        for (given, missing) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert")]
        where flags.text(given) != nil && flags.text(missing) == nil {
            report("--\(missing)", "is required with --\(given)")
        }
    }

    private mutating func report(_ file: String, _ message: String) {
        problems.append(ConfigurationProblem(file: file, keyPath: "", message: message))
    }

    // MARK: Transport

    private mutating func newerTransport(
        read: (String) throws(ConfigurationError) -> String
    ) throws(ConfigurationError) -> Transport {
        let name = flags.text("transport") ?? Transport.Kind.redisPubSub.rawValue
        guard let kind = Transport.Kind(name: name) else {
            let known = Transport.Kind.allCases.map(\.rawValue)
            let hint = Suggestion.nearest(to: name, among: known).map { "; did you mean \($0)?" } ?? ""
            throw FlagValues.problem(
                "--transport", "expected one of \(known.joined(separator: ", ")), found \"\(name.prefix(60))\"\(hint)")
        }
        let inline = flags.text("transport-config")
        let file = flags.text("transport-config-file")
        guard inline == nil || file == nil else {
            throw FlagValues.problem("--transport-config", "excludes --transport-config-file; give one of the two")
        }
        guard let text = try Transport.text(inline: inline, file: file, read: read) else {
            throw FlagValues.problem("--transport", "needs --transport-config-file or --transport-config")
        }
        var document = Document(name: file ?? "--transport-config")
        let transport = Transport(kind: kind, text: text, document: &document)
        problems += document.problems
        origins.transport = .document(document.name, list: kind.listKey)
        return transport
    }

    private mutating func olderTransport(
        read: (String) throws(ConfigurationError) -> String
    ) throws(ConfigurationError) -> Transport {
        let name = flags.text("message-queue-impl") ?? Transport.Kind.redisPubSub.rawValue
        guard flags.given.contains(where: { $0.name.contains(".") || $0.name == "message-queue-impl" }) else {
            throw FlagValues.problem(
                "--transport", "is required, with --transport-config-file; --help lists all flags")
        }
        guard let kind = Transport.Kind(name: name) else {
            throw FlagValues.problem("--message-queue-impl", "there is no such transport: \"\(name.prefix(60))\"")
        }
        let transport = try Transport(deprecated: flags, kind: kind, read: read, problems: &problems)
        let prefix = kind.flagPrefix
        if flags.has(prefix + "queues-config") {
            origins.transport = .document("--\(prefix)queues-config", list: "")
        } else if let file = flags.text(prefix + "queues-config-file") ?? flags.text("pubsub.topics-config-file") {
            origins.transport = .document(file, list: "")
        } else {
            origins.transport = .flags(prefix)
        }
        return transport
    }

    // MARK: Queues

    private mutating func readQueues(of transport: Transport, into async: inout Configuration.Async) {
        var targets: [Configuration.Target] = []
        origins.sourceKey = transport.kind.sourceKey
        origins.queuesWithoutID = Set(transport.entries.indices.filter { transport.entries[$0].id == nil })
        for (index, entry) in transport.entries.enumerated() {
            var queue = Configuration.MessageQueue()
            queue.name = entry.id ?? entry.source
            queue.labels = entry.labels
            queue.gate = entry.gate
            queue.workerPool = entry.workerPool ?? Configuration.WorkerPool.standardName
            if let path = entry.path, path != Configuration.Target().path {
                queue.path = path.hasPrefix("/") ? path : "/\(path)"
            }
            if let seconds = transport.leaseSeconds { queue.lease = .seconds(Double(seconds)) }
            switch transport.kind {
            case .redisSortedSet, .redisPubSub: queue.redis = redis(entry, of: transport)
            case .googlePubSub: queue.pubsub = pubsub(entry, of: transport)
            }
            if let target = target(entry, at: index) { targets.append(target) }
            async.queues.append(queue)
        }
        guard targets.count == async.queues.count else { return }
        // One gateway for all is written once.
        if Set(targets).count == 1 {
            async.target = targets.first
        } else {
            for (index, target) in targets.enumerated() { async.queues[index].target = target }
        }
    }

    private mutating func redis(
        _ entry: Transport.Entry, of transport: Transport
    ) -> Configuration.MessageQueue.Redis {
        var redis = Configuration.MessageQueue.Redis()
        let place = transport.url == nil ? Configuration.redisVariable : origins.place(of: "url")
        if let text = transport.url ?? environment[Configuration.redisVariable].flatMap({ $0.isEmpty ? nil : $0 }) {
            redis.url = RedisURL(text)
            // What is wrong is not repeated for every queue, and the text never.
            if redis.url == nil, !problems.contains(where: { $0.file == place }) {
                report(place, "expected a URL such as redis://host:6379 or rediss://user:password@host/0")
            }
        } else if !problems.contains(where: { $0.file == origins.place(of: "url") }) {
            report(origins.place(of: "url"), "is required: give it, or set \(Configuration.redisVariable)")
        }
        if transport.kind == .redisPubSub { redis.transport = .channel }
        let queue = entry.source
        if queue != (entry.id ?? queue) { redis.queue = queue }
        // A queue's own wins over what messages name; the transport's is for those that name none (reference 2.3).
        redis.resultQueueOverride = entry.resultQueue
        redis.resultQueue = transport.resultQueue
        if let retries = transport.retryQueue { redis.retryQueue = retries }
        if let seconds = transport.resultTTLSeconds { redis.resultTTL = .seconds(Double(seconds)) }
        return redis
    }

    private func pubsub(_ entry: Transport.Entry, of transport: Transport) -> Configuration.MessageQueue.PubSub {
        var pubsub = Configuration.MessageQueue.PubSub()
        pubsub.project = transport.project ?? ""
        pubsub.subscription = entry.source
        pubsub.resultTopic = entry.resultQueue ?? transport.resultTopic ?? ""
        return pubsub
    }

    private mutating func target(_ entry: Transport.Entry, at index: Int) -> Configuration.Target? {
        guard !entry.gatewayURL.isEmpty else { return nil }
        guard let url = ServiceURL(entry.gatewayURL) else {
            let found = entry.gatewayURL.contains("@") ? "" : ", found \"\(entry.gatewayURL.prefix(60))\""
            var problem = origins.problem(at: "igw_base_url", ofQueue: index)
            problem.message = "expected a URL such as http://gateway:8080, without credentials\(found)"
            problems.append(problem)
            return nil
        }
        var target = Configuration.Target(url: url)
        // What is not said is not sent: the gateway's own default counts then.
        target.objective = entry.objective.map(Configuration.ToldObjective.named) ?? .nothing
        target.forwardHeaders = [Configuration.Target.everyHeader]
        var tls = Configuration.TLS()
        tls.caFile = flags.text("tls-ca-cert")
        tls.certFile = flags.text("tls-cert")
        tls.keyFile = flags.text("tls-key")
        tls.insecureSkipVerify = flags.isSet("tls-insecure-skip-verify")
        if url.isSecure, tls != Configuration.TLS() { target.tls = tls }
        return target
    }

    // MARK: The rest

    private mutating func workerPools(
        read: (String) throws(ConfigurationError) -> String
    ) throws(ConfigurationError) -> [Configuration.WorkerPool] {
        var pools: [Configuration.WorkerPool] = []
        if let file = flags.text("pool-config-file") {
            var document = Document(name: file)
            pools = Documents.workerPools(try read(file), document: &document)
            problems += document.problems
            origins.pools = file
        }
        let standard = Configuration.WorkerPool.standardName
        let workers = flags.integer("concurrency")
        if workers == 0 { report("--concurrency", "expected a whole number of 1 or more, found \"0\"") }
        guard !pools.contains(where: { $0.name == standard }) else { return pools }
        if let workers { pools.append(.init(name: standard, workers: workers)) }
        return pools
    }

    private mutating func readMergePolicy(
        into async: inout Configuration.Async, read: (String) throws(ConfigurationError) -> String
    ) throws(ConfigurationError) {
        async.merge.policy = .randomRobin
        let file = flags.text("request-merge-policy-config-file") ?? flags.text("request-merge-policy-config")
        guard let file else { return }
        var document = Document(name: file)
        (async.merge, async.fairness) = Documents.merge(try read(file), document: &document)
        problems += document.problems
        origins.merge = file
    }

    private mutating func readTransforms(
        into async: inout Configuration.Async, read: (String) throws(ConfigurationError) -> String
    ) throws(ConfigurationError) {
        guard let file = flags.text("transform-config-file") else { return }
        var document = Document(name: file)
        async.transforms = Documents.transforms(try read(file), document: &document)
        problems += document.problems
        origins.transforms = file
    }

    private mutating func readPrometheus(into async: inout Configuration.Async) {
        guard let text = flags.text("prometheus-url") else { return }
        guard let url = ServiceURL(text) else {
            report("--prometheus-url", "expected a URL such as http://prometheus:9090, without credentials")
            return
        }
        var prometheus = Configuration.Prometheus(url: url)
        if let cached = flags.duration("prometheus-cache-ttl") {
            prometheus.refresh = max(cached, Configuration.Prometheus.shortestRefresh)
            prometheus.staleness = max(prometheus.staleness, prometheus.refresh * 3)
        }
        async.prometheus = prometheus
    }

    private mutating func readPorts() {
        let metrics = flags.integer("metrics-port") ?? 9090
        let health = flags.integer("health-port") ?? 8081
        for (flag, port) in [("--metrics-port", metrics), ("--health-port", health)] where port > 65_535 {
            report(flag, "expected a port from 0 to 65535, found \"\(port)\"")
        }
        configuration.admin.listen = ListenAddress(host: "0.0.0.0", port: metrics)
        if health != metrics || health == 0 {
            configuration.admin.healthListen = ListenAddress(host: "0.0.0.0", port: health)
        }
    }

    /// Checks the whole, once its parts are each right.
    private func finish() throws(ConfigurationError) {
        if !problems.isEmpty { throw ConfigurationError(problems: problems) }
        do throws(ConfigurationError) {
            try configuration.check(file: "weir async")
        } catch {
            throw origins.translate(error)
        }
    }
}

import AsyncProcessor
import Basics
import DispatchGates
public import GateSources
import Logging
public import PooledDispatch
import RedisClient
import RemoteGateway
import WeirConfiguration
import WorkerPools

/// What lies between the processors of queues and the gateways that answer: pools of workers with their gates, what feeds
/// the gates, and the connections to other gateways.
final class Dispatching: Sendable {
    /// A gateway elsewhere, whatever the paths and objectives of the queues that go there.
    private struct Remote {
        let key: Configuration.Target
        let connections: GatewayConnections
        /// The names by which it knows us from its capacity feed, one for each pool of workers.
        let processors: [String: String]
    }

    let pools: [String: WorkerPool]
    private let settings: Configuration.Async
    private let remotes: [Remote]
    private let transforms: [any RequestTransform]
    private let redis: RedisClients
    private let quotas: QuotaKeeper
    private let watching: GateWatcherConfiguration
    private let logger: Logger
    /// Told of a source that stops or begins to answer: what it is, and the reason or nil.
    private let onSourceChange: @Sendable (String, String?) -> Void

    /// Creates what the configuration names; nothing is connected yet.
    init(_ settings: Configuration.Async, logger: Logger) throws(ServiceError) {
        self.settings = settings
        self.logger = logger
        watching = try GateWatcherConfiguration(settings.prometheus)
        redis = RedisClients { $0.clientName = "weir" }
        let tell: @Sendable (String, String?) -> Void = { source, reason in
            if let reason {
                logger.warning(
                    "what a gate asks does not answer; the gate goes by its fallback, or is closed",
                    metadata: ["source": "\(source)", "reason": "\(reason)"])
            } else {
                logger.notice("what a gate asks answers", metadata: ["source": "\(source)"])
            }
        }
        onSourceChange = tell
        let keeper = QuotaKeeper(redis: redis, onChange: tell)
        quotas = keeper
        var pools: [String: WorkerPool] = [:]
        for pool in settings.allWorkerPools where settings.isPooled(pool) {
            let gate = try settings.dispatchGate(pool.gate, owner: "pool \(pool.name)")
            pools[pool.name] = WorkerPool(
                settings.workerPoolConfiguration(pool), gate: gate, quotas: keeper, seed: .random(in: 1...UInt64.max))
        }
        self.pools = pools
        var transforms: [any RequestTransform] = []
        var remotes: [Remote] = []
        do throws(RemoteGatewayError) {
            for transform in settings.transforms {
                transforms.append(
                    try TransformConfiguration(
                        name: transform.name, type: transform.type.rawValue, providers: transform.providers
                    ).transform)
            }
            for queue in settings.queues {
                guard let target = settings.target(of: queue), !remotes.contains(where: { $0.key == target.place })
                else { continue }
                var connections = GatewayConnections.Configuration()
                connections.connectTimeout = target.connectTimeout
                connections.maximumConnections = Self.connectionLimit
                connections.security = GatewaySecurity(target.tls)
                // One HTTP/2 connection carries too few requests at a time; many plain ones carry them all.
                connections.allowsHTTP2 = false
                let names = Set(
                    settings.queues.filter { settings.target(of: $0)?.place == target.place }.map(\.workerPool))
                let process = String(UInt64.random(in: .min ... .max), radix: 16)
                let processors = names.sorted().enumerated().map { ($1, "weir-\(process)-\($0)") }
                remotes.append(
                    Remote(
                        key: target.place, connections: try GatewayConnections(connections),
                        processors: Dictionary(uniqueKeysWithValues: processors)))
            }
        } catch {
            throw ServiceError("async: \(error)", isConfiguration: true)
        }
        self.transforms = transforms
        self.remotes = remotes
    }

    /// Requests are bounded by pools; this keeps a mistake there from using up all ports of the machine.
    private static let connectionLimit = 8192

    /// The name of the pool that a queue's requests go through; nil if none bounds them.
    func poolName(of queue: Configuration.MessageQueue) -> String? {
        pools[queue.workerPool] == nil ? nil : queue.workerPool
    }

    /// The queues whose requests go through a pool.
    func queueNames(of pool: String) -> [String] { settings.queues.filter { $0.workerPool == pool }.map(\.name) }

    /// The way of a queue's requests.
    ///
    /// - Parameter local: carries requests through the gateway of this process, for queues without a target.
    func dispatcher(
        for queue: Configuration.MessageQueue, local: (any InferenceDispatcher)?
    ) throws(ServiceError) -> any InferenceDispatcher {
        let next: any InferenceDispatcher
        if let target = settings.target(of: queue) {
            next = try remoteDispatcher(to: target, for: queue)
        } else if let local {
            next = local
        } else {
            throw ServiceError("queue \(queue.name): its requests have nowhere to go", isConfiguration: true)
        }
        guard let pool = pools[queue.workerPool] else { return next }
        let gate = try settings.dispatchGate(queue.gate, owner: "queue \(queue.name)")
        return pool.dispatcher(
            for: queue.name, labels: queue.labels, gate: gate, stamp: settings.laneStamp, to: next)
    }

    private func remoteDispatcher(
        to target: Configuration.Target, for queue: Configuration.MessageQueue
    ) throws(ServiceError) -> any InferenceDispatcher {
        guard let remote = remotes.first(where: { $0.key == target.place }) else {
            throw ServiceError("queue \(queue.name): its target is not known")
        }
        do throws(RemoteGatewayError) {
            var description = try remoteTarget(target)
            description.objective = target.objectiveName(for: queue)
            if target.capacityFeed == .auto { description.processor = remote.processors[queue.workerPool] }
            return try RemoteDispatcher(
                target: description, connections: remote.connections, transforms: transforms)
        } catch {
            throw ServiceError("queue \(queue.name): \(error)", isConfiguration: true)
        }
    }

    /// Keeps readings fresh, quotas alive and pools awake, until the task is cancelled.
    func run() async {
        let sources = pools.values.reduce(into: Set<GateSource>()) { $0.formUnion($1.sources) }
        await withTaskGroup(of: Void.self) { group in
            for pool in pools.values { group.addTask { await pool.run() } }
            group.addTask { await self.quotas.run() }
            if !sources.isEmpty {
                let pools = Array(pools.values)
                let watcher = GateWatcher(
                    watching, sources: sources, redis: redis, onChange: onSourceChange
                ) { source, reading in
                    for pool in pools { pool.observe(reading, of: source) }
                }
                group.addTask { await watcher.run() }
            }
            for remote in remotes where remote.key.capacityFeed == .auto {
                for (pool, processor) in remote.processors {
                    group.addTask { await self.follow(remote, as: processor, for: pool) }
                }
            }
        }
    }

    /// Tells a pool what a gateway has room for, where it says so.
    private func follow(_ remote: Remote, as processor: String, for name: String) async {
        let place = "\(remote.key.url)"
        let isShared = settings.queues.contains {
            $0.workerPool == name && settings.target(of: $0)?.place != remote.key
        }
        guard let pool = pools[name], !isShared else {
            return logger.notice(
                "a pool whose queues go to several gateways does not follow what one of them has room for",
                metadata: ["pool": "\(name)", "gateway": "\(place)"])
        }
        do throws(RemoteGatewayError) {
            let feed = try CapacityFeed(
                of: try remoteTarget(remote.key), processor: processor, connections: remote.connections
            ) { [logger] reading in
                pool.creditChanged(to: reading.credits)
                if case .unknown(let reason) = reading {
                    logger.info(
                        "going without the gateway's word", metadata: ["gateway": "\(place)", "reason": "\(reason)"])
                }
            }
            await feed.run()
        } catch {
            logger.error("capacity feed failed", metadata: ["gateway": "\(place)", "error": "\(error)"])
        }
    }

    private func remoteTarget(_ target: Configuration.Target) throws(RemoteGatewayError) -> RemoteTarget {
        var description = RemoteTarget(url: try GatewayURL("\(target.url)"), objective: nil)
        description.headers = target.headers.map { (name: $0.key, value: $0.value.value) }
        description.token = target.bearerToken.map { BearerToken($0.value) }
        description.fairnessAttribute = settings.fairness.header == nil ? "" : settings.fairness.attribute
        description.fairnessHeader = settings.fairness.header ?? description.fairnessHeader
        let everything = target.forwardHeaders.contains(Configuration.Target.everyHeader)
        description.producerHeaders = ProducerHeaderRule(
            names: everything ? nil : target.forwardHeaders,
            passesAuthorization: target.forwardHeaders.contains { $0.lowercased() == "authorization" })
        description.maximumAnswerBytes = target.maxAnswerBytes
        return description
    }

    /// Gives back what is held elsewhere and closes every connection.
    func close() async {
        if await quotas.settle(within: .seconds(2)) == false {
            logger.warning("some quotas could not be given back; they expire")
        }
        for remote in remotes { await remote.connections.close() }
        await redis.close()
    }
}

extension QuotaKeeper: QuotaSource {}

extension Configuration.Target {
    /// The gateway alone: without what only says which requests go there, and how.
    fileprivate var place: Configuration.Target {
        var place = self
        place.path = ""
        place.objective = nil
        place.forwardHeaders = []
        place.maxAnswerBytes = 0
        return place
    }
}

extension CapacityReading {
    /// The same for a pool of workers; nil if the gateway does not say.
    fileprivate var credits: [CapacityCredit]? {
        guard case .known(let credits) = self else { return nil }
        return credits.map { CapacityCredit(models: Set($0.models), requests: $0.credit) }
    }
}

extension GateWatcherConfiguration {
    fileprivate init(_ settings: Configuration.Prometheus?) throws(ServiceError) {
        self.init()
        guard let settings else { return }
        interval = settings.refresh
        do throws(GateSourceError) {
            var server = try PrometheusServer("\(settings.url)")
            if let token = settings.bearerToken { server.authorization = .bearer(token.value) }
            server.authorityFile = settings.tls?.caFile
            server.insecureSkipVerify = settings.tls?.insecureSkipVerify ?? false
            prometheus = server
        } catch {
            throw ServiceError("async.prometheus: \(error)", isConfiguration: true)
        }
    }
}

extension GatewaySecurity {
    fileprivate init(_ settings: Configuration.TLS?) {
        self.init(
            authorityFile: settings?.caFile, certificateFile: settings?.certFile, keyFile: settings?.keyFile,
            skipsVerification: settings?.insecureSkipVerify ?? false)
    }
}

extension Configuration.Async {
    /// Whether anything bounds the requests of the queues of a pool: without a target, a number or a gate only the gateway of
    /// this process does.
    fileprivate func isPooled(_ pool: Configuration.WorkerPool) -> Bool {
        let members = queues.filter { $0.workerPool == pool.name }
        guard !members.isEmpty else { return false }
        return pool.workers != nil || pool.gate != nil || merge.policy != .deadline
            || members.contains { $0.gate != nil || target(of: $0) != nil }
    }

    fileprivate func workerPoolConfiguration(_ pool: Configuration.WorkerPool) -> WorkerPoolConfiguration {
        let isRemote = queues.contains { $0.workerPool == pool.name && target(of: $0) != nil }
        // Our own gateway has requests wait until there is room: the number only has to be large enough.
        let standard = isRemote ? Configuration.WorkerPool.standardWorkers : Self.localWorkers
        var configuration = WorkerPoolConfiguration(name: pool.name, workers: pool.workers ?? standard)
        configuration.isElastic = pool.workers == nil
        configuration.merge =
            switch merge.policy {
            case .deadline: .deadline
            case .randomRobin: .randomRobin
            case .tierPriority: .tierPriority
            }
        configuration.tierLabel = merge.tierLabel
        configuration.ageing = merge.ageing > .zero ? merge.ageing : nil
        return configuration
    }

    private static let localWorkers = 1024

    fileprivate var laneStamp: LaneStamp? {
        guard merge.policy == .tierPriority, merge.priorityHeader != nil || !merge.laneObjectives.isEmpty
        else { return nil }
        return LaneStamp(
            priorityHeader: merge.priorityHeader, objectiveHeader: merge.objectiveHeader,
            objectives: merge.laneObjectives)
    }

    fileprivate func dispatchGate(
        _ gate: Configuration.Gate?, owner: String
    ) throws(ServiceError) -> DispatchGate? {
        guard let gate else { return nil }
        do throws(GateConfigurationError) {
            let process = String(UInt64.random(in: .min ... .max), radix: 16)
            return DispatchGate(
                try GateConfiguration(type: gate.type, parameters: gate.parameters), owner: "\(process) \(owner)",
                readingInterval: prometheus?.refresh ?? .seconds(1),
                staleAfter: prometheus?.staleness)
        } catch {
            throw ServiceError("async: the gate of \(owner): \(error)", isConfiguration: true)
        }
    }
}

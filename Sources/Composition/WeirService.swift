import Basics
import FrontDoor
import Gateway
import Harvest
public import Logging
import MessageQueues
import Pool
import ServiceLifecycle
import Synchronization
import Telemetry
public import WeirConfiguration

/// The whole service in one process: gateway, async processor, queue and admin server, whatever the configuration names.
public struct WeirService: Sendable {
    /// Where a running service is reached, and what it found.
    public struct Started: Sendable {
        /// Root of the gateway; nil if this process runs none.
        public let gatewayURL: String?
        /// Root of the admin server.
        public let adminURL: String
        /// The pools as they were found.
        public let pools: [FoundPool]
        /// Where the queues are: files, keys of a server, subscriptions.
        public let queuePlaces: [String]
    }

    /// A pool as it was found at the start.
    public struct FoundPool: Sendable {
        /// Its name.
        public let name: String
        /// The models it serves.
        public let models: [String]
        /// Its endpoints.
        public let endpoints: [FoundEndpoint]
    }

    /// An endpoint as it was found at the start.
    public struct FoundEndpoint: Sendable {
        /// Host and port.
        public let name: String
        /// Whether it answered.
        public let isUp: Bool
        /// The engine that its metrics tell of.
        public let engine: String?
        /// The size of its KV cache, in tokens.
        public let kvTokens: Int?
    }

    private let configuration: Configuration
    private let version: String
    private let logger: Logger
    private let logWriter: LineWriter

    /// Creates a service that logs to standard error.
    public init(configuration: Configuration, version: String, logLevel: Logger.Level = .notice) {
        self.configuration = configuration
        self.version = version
        let writer = LineWriter.standardError()
        logWriter = writer
        var logger = Logger(label: "weir") { JSONLineLogHandler(label: $0, writer: writer) }
        logger.logLevel = logLevel
        self.logger = logger
    }

    /// Serves until `untilStopped` returns, then drains and returns.
    ///
    /// - Parameters:
    ///   - onReady: told the addresses once everything listens.
    ///   - untilStopped: suspends for as long as the service is to run.
    /// - Throws: `ServiceError` if something cannot be opened or bound.
    public func run(
        onReady: @escaping @Sendable (Started) -> Void, untilStopped: @escaping @Sendable () async -> Void
    ) async throws {
        let registry = MetricsRegistry()
        let metrics = GatewayMetrics(registry: registry, accessLog: try accessLog(countedIn: registry), logger: logger)
        let queues = try await openQueues()
        do {
            let gateway = try await startGateway(observer: metrics, frontDoor: queues?.frontDoor)
            do {
                try await run(
                    gateway: gateway, queues: queues, registry: registry, onReady: onReady, untilStopped: untilStopped)
            } catch {
                await gateway?.shutdown()
                throw error
            }
            await gateway?.shutdown()
        } catch {
            await queues?.close()
            throw error
        }
        await queues?.close()
        logWriter.flush()
    }

    private func run(
        gateway: Gateway?, queues: Queues?, registry: MetricsRegistry, onReady: @escaping @Sendable (Started) -> Void,
        untilStopped: @escaping @Sendable () async -> Void
    ) async throws {
        let dispatching = try configuration.async.map { async throws(ServiceError) in
            try Dispatching(async, logger: logger)
        }
        do {
            let workers = try workers(for: queues, dispatching: dispatching, gateway: gateway, registry: registry)
            let priorities = [0] + configuration.objectives.map(\.priority)
            let report: @Sendable () -> StatusReport = {
                StatusReport(
                    gateway: gateway?.status(), queues: workers.map(\.status),
                    workerPools: dispatching?.status ?? [], brokerNames: queues?.brokerNames ?? [:],
                    waitingConnections: queues?.frontDoor?.waitingCount ?? 0, priorities: priorities)
            }
            let follower = gateway.flatMap { CacheFollower(configuration.pools, gateway: $0, logger: logger) }
            registry.onCollect { [logWriter] in
                follower?.write(to: registry)
                report().write(to: registry, insights: gateway?.insights() ?? [])
                registry.instrument(MetricCatalog.logLinesDropped, "stderr").raise(to: logWriter.droppedLines)
            }
            ProcessMetrics.register(in: registry, version: version)
            let helpers = Task {
                async let following: Void? = follower?.run()
                await dispatching?.run()
                await following
            }
            do {
                try await serve(
                    gateway: gateway, workers: workers, registry: registry, report: report, onReady: onReady,
                    untilStopped: untilStopped)
            } catch {
                helpers.cancel()
                await helpers.value
                throw error
            }
            helpers.cancel()
            await helpers.value
        } catch {
            await dispatching?.close()
            throw error
        }
        await dispatching?.close()
    }

    private func openQueues() async throws(ServiceError) -> Queues? {
        guard let async = configuration.async else { return nil }
        return try await Queues(async, grace: configuration.gateway.drain.timeout, logger: logger)
    }

    private func serve(
        gateway: Gateway?, workers: [QueueWorker], registry: MetricsRegistry,
        report: @escaping @Sendable () -> StatusReport, onReady: @escaping @Sendable (Started) -> Void,
        untilStopped: @escaping @Sendable () async -> Void
    ) async throws {
        let begun = Gateway.now
        let stopping = StopFlag()
        let workersDone = ChangeSignal()
        let (listening, nowListens) = AsyncStream.makeStream(of: (port: Int, probesOnly: Bool).self)
        func server(on address: ListenAddress, probesOnly: Bool) -> AdminServer {
            AdminServer(
                host: address.host, port: address.port, registry: registry,
                readiness: {
                    var readiness = report().readiness
                    if stopping.isSet {
                        readiness.checks.append(
                            .init(name: "running", isMet: false, detail: "the process is stopping"))
                    }
                    return readiness
                },
                status: {
                    report().snapshot(
                        version: version, uptimeSeconds: (Gateway.now - begun).seconds,
                        insights: gateway?.insights() ?? [])
                },
                answersProbesOnly: probesOnly, logger: quiet,
                onListening: { nowListens.yield(($0, probesOnly)) })
        }
        let listen = configuration.admin.listen
        var servers = [ServiceGroupConfiguration.ServiceConfiguration(service: server(on: listen, probesOnly: false))]
        if let address = configuration.admin.healthListen {
            servers.append(.init(service: server(on: address, probesOnly: true)))
        }
        let listeners = servers.count
        var adminSettings = ServiceGroupConfiguration(services: servers, logger: quiet)
        adminSettings.maximumGracefulShutdownDuration = .seconds(2)
        let adminGroup = ServiceGroup(configuration: adminSettings)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    try await adminGroup.run()
                } catch is CancellationError {
                } catch {
                    let places = [listen, configuration.admin.healthListen].compactMap { $0?.description }
                    throw ServiceError(
                        "the admin server cannot listen on \(places.joined(separator: " or ")): \(error)")
                }
            }
            group.addTask {
                await withTaskGroup(of: Void.self) { working in
                    for worker in workers { working.addTask { await worker.run() } }
                }
                workersDone.notify()
            }
            group.addTask {
                var port: Int?
                var count = 0
                for await listener in listening {
                    if !listener.probesOnly { port = listener.port }
                    count += 1
                    if count == listeners { break }
                }
                guard let port else { return }
                if let gateway { await firstReports(gateway) }
                onReady(started(gateway: gateway, adminPort: port, workers: workers))
                await untilStopped()
                stopping.set()
                try await drain(gateway: gateway, workers: workers)
                // Probes and metrics are answered for as long as anything is in work.
                await workersDone.wait(past: 0)
                await adminGroup.triggerGracefulShutdown()
            }
            try await group.waitForAll()
        }
    }

    /// Readiness says no, then nothing new comes in, then what runs may finish.
    private func drain(gateway: Gateway?, workers: [QueueWorker]) async throws {
        let settings = configuration.gateway.drain
        logger.notice("stopping", metadata: ["limit": "\(settings.timeout.seconds) s"])
        for worker in workers { worker.stop() }
        if settings.delay > .zero { try await Task.sleep(for: .nanoseconds(settings.delay.nanoseconds)) }
        if await gateway?.drain(timeout: settings.timeout) == false {
            logger.warning("requests were still running at the end of the drain and have been cut off")
        }
    }

    /// Waits a moment for the metrics of the endpoints that are up, so that what was found can be told.
    private func firstReports(_ gateway: Gateway) async {
        let limit = Gateway.now + .seconds(1)
        while Gateway.now < limit {
            let endpoints = gateway.status().pools.flatMap(\.endpoints)
            if endpoints.allSatisfy({ !$0.isUp || !$0.reports || $0.scraped != nil }) { return }
            do {
                try await Task.sleep(for: .milliseconds(10))
            } catch {
                return
            }
        }
    }

    // MARK: Parts

    /// Says so if an engine is too slow for batch work ever to run beside real-time work within the objective.
    private func warnOfSlowEngines(_ settings: GatewayConfiguration) {
        for pool in settings.pools {
            let allowed = pool.harvest.stepShare * pool.harvest.tpotLimitMilliseconds
            let base = pool.endpoints.map(\.capacity.stepTime.baseMilliseconds).max() ?? 0
            guard base >= allowed else { continue }
            logger.warning(
                "batch work will run only while no real-time request does: a step takes longer than harvest allows",
                metadata: ["pool": "\(pool.name)", "step_ms": "\(base)", "allowed_ms": "\(allowed)"])
        }
    }

    private func startGateway(
        observer: GatewayMetrics, frontDoor: FrontDoor?
    ) async throws(ServiceError) -> Gateway? {
        guard !configuration.pools.isEmpty else { return nil }
        let settings = try GatewayConfiguration(configuration) { logger.notice("\($0)") }
        warnOfSlowEngines(settings)
        do {
            return try await Gateway.start(settings, observer: observer, requestHandler: frontDoor)
        } catch {
            throw ServiceError("the gateway cannot listen on \(configuration.gateway.listen): \(error)")
        }
    }

    private func workers(
        for queues: Queues?, dispatching: Dispatching?, gateway: Gateway?, registry: MetricsRegistry
    ) throws(ServiceError) -> [QueueWorker] {
        guard let queues, let dispatching, let async = configuration.async else { return [] }
        var workers: [QueueWorker] = []
        for entry in queues.entries {
            let settings = entry.settings
            let objective = configuration.objectives.first { $0.name == settings.objective }
            let local = gateway.map {
                GatewayDispatcher(gateway: $0, priority: objective?.priority ?? -1, clock: SystemClock())
            }
            let pool = dispatching.poolName(of: settings)
            workers.append(
                QueueWorker(
                    entry, retry: async.retry,
                    dispatcher: try dispatching.dispatcher(for: settings, local: local), workerPool: pool,
                    grace: configuration.gateway.drain.timeout, webhooks: queues.webhooks,
                    observesAttempt: AttemptMetrics(
                        registry: registry, queue: settings.name, brokerName: entry.brokerName, pool: pool
                    ).observe,
                    logger: logger))
        }
        return workers
    }

    private func accessLog(countedIn registry: MetricsRegistry) throws(ServiceError) -> AccessLog? {
        switch configuration.gateway.accessLog {
        case .off: return nil
        case .stderr: return AccessLog(writer: logWriter)
        case .file(let path):
            do throws(LineWriter.OpenFailure) {
                let writer = try LineWriter(appendingTo: path)
                // Weak: the writer ends with its log, and writes out what waits.
                registry.onCollect { [weak writer] in
                    guard let writer else { return }
                    registry.instrument(MetricCatalog.logLinesDropped, "access").raise(to: writer.droppedLines)
                }
                return AccessLog(writer: writer)
            } catch {
                throw ServiceError("\(error)", isConfiguration: true)
            }
        }
    }

    /// The logger of libraries, whose routine messages are not our users' business.
    private var quiet: Logger {
        var quiet = logger
        quiet.logLevel = .error
        return quiet
    }

    private func started(gateway: Gateway?, adminPort: Int, workers: [QueueWorker]) -> Started {
        Started(
            gatewayURL: gateway.map { gateway in
                "http://\(ListenAddress(host: configuration.gateway.listen.host, port: gateway.boundPort))"
            },
            adminURL: "http://\(ListenAddress(host: configuration.admin.listen.host, port: adminPort))",
            pools: (gateway?.status().pools ?? []).map { pool in
                FoundPool(
                    name: pool.name, models: pool.models,
                    endpoints: pool.endpoints.map {
                        FoundEndpoint(
                            name: $0.name, isUp: $0.isUp, engine: $0.engine, kvTokens: $0.capacity.kvTokens)
                    })
            }, queuePlaces: workers.map(\.place))
    }
}

/// Set once the process has been asked to stop.
private final class StopFlag: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .relaxed) }

    func set() { flag.store(true, ordering: .relaxed) }
}

import Basics
import Gateway
import InferenceAPI
import Logging
import Pool
import Synchronization
import Telemetry

/// Feeds what happens in the gateway into the metrics, the access log and the log.
final class GatewayMetrics: GatewayObserver {
    private struct Instruments {
        var requests: [String: Counter] = [:]
        var duration: [String: Histogram] = [:]
        var firstToken: [String: Histogram] = [:]
        var queue: [String: Histogram] = [:]
        var dropped: [String: Counter] = [:]
        /// Of pools whose engines have reported cached tokens: until then a zero may mean that they do not tell.
        var cachedShare: [String: [Histogram]] = [:]
    }

    private let registry: MetricsRegistry
    private let accessLog: AccessLog?
    private let logger: Logger
    /// Handles made so far: a look-up here spares the registry's, which builds label texts.
    private let instruments = Mutex(Instruments())

    init(registry: MetricsRegistry, accessLog: AccessLog?, logger: Logger) {
        self.registry = registry
        self.accessLog = accessLog
        self.logger = logger
    }

    func requestEnded(_ record: RequestRecord) {
        observe(record)
        accessLog?.write(AccessRecord(record))
    }

    func endpointChanged(pool: String, endpoint: String, isUp: Bool, reason: String) {
        let metadata: Logger.Metadata = ["pool": "\(pool)", "endpoint": "\(endpoint)", "reason": "\(reason)"]
        if isUp {
            logger.notice("endpoint is up", metadata: metadata)
        } else {
            logger.warning("endpoint is down", metadata: metadata)
        }
    }

    func modelsChanged(pool: String, models: [String]) {
        logger.notice(
            "models found", metadata: ["pool": "\(pool)", "models": "\(models.joined(separator: ", "))"])
    }

    private func observe(_ record: RequestRecord) {
        let pool = record.pool ?? "none"
        let band = String(record.priority)
        let workClass = record.workClass == .realtime ? "realtime" : "async"
        let status = "\(record.status / 100)xx"
        let key = "\(pool)/\(band)"
        let dropReason = record.error?.dropReason?.rawValue
        let handles = instruments.withLock { instruments in
            (
                requests: Self.handle(&instruments.requests, "\(key)/\(status)") {
                    registry.instrument(MetricCatalog.requests, pool, band, status)
                },
                duration: Self.handle(&instruments.duration, key) {
                    registry.instrument(MetricCatalog.requestDuration, pool, band)
                },
                firstToken: Self.handle(&instruments.firstToken, key) {
                    registry.instrument(MetricCatalog.timeToFirstToken, pool, band)
                },
                queue: Self.handle(&instruments.queue, key) {
                    registry.instrument(MetricCatalog.gatewayQueue, pool, band)
                },
                dropped: dropReason.map { reason in
                    Self.handle(&instruments.dropped, "\(pool)/\(reason)") {
                        registry.instrument(MetricCatalog.dropped, pool, reason)
                    }
                }
            )
        }
        handles.requests.increment()
        // How long somebody waited for a queue's result, or how fast a question about one was answered, is no duration of
        // a request to a model server.
        if !record.isLocal { handles.duration.observe(record.endedAfter.seconds) }
        if record.isStreamed, let first = record.firstByteAfter { handles.firstToken.observe(first.seconds) }
        if let placed = record.placedAfter { handles.queue.observe(placed.seconds) }
        handles.dropped?.increment()
        if record.clientLeft { registry.instrument(MetricCatalog.aborted, pool, "client").increment() }
        if record.isCut { registry.instrument(MetricCatalog.aborted, pool, "endpoint").increment() }
        if record.status < 400, !record.isLocal {
            let prompt = record.usage?.promptTokens ?? record.estimatedPromptTokens
            registry.instrument(MetricCatalog.promptTokens, pool, workClass).increment(by: prompt)
            registry.instrument(MetricCatalog.outputTokens, pool, workClass)
                .increment(by: record.usage?.completionTokens ?? record.outputEvents)
            if let usage = record.usage, usage.promptTokens > 0 { observeCachedShare(of: usage, pool: pool) }
        }
    }

    private func observeCachedShare(of usage: TokenUsage, pool: String) {
        let handles = instruments.withLock { instruments -> [Histogram] in
            if let made = instruments.cachedShare[pool] { return made }
            guard usage.cachedPromptTokens > 0 else { return [] }
            let made = [RouterMetricCatalog.prefixHitRatio, RouterMetricCatalog.olderPrefixHitRatio].map {
                registry.instrument($0, pool)
            }
            instruments.cachedShare[pool] = made
            return made
        }
        let share = min(max(0, Double(usage.cachedPromptTokens) / Double(usage.promptTokens)), 1)
        for histogram in handles { histogram.observe(share) }
    }

    private static func handle<Instrument>(
        _ made: inout [String: Instrument], _ key: String, make: () -> Instrument
    ) -> Instrument {
        if let instrument = made[key] { return instrument }
        let instrument = make()
        // Bands and pools are bounded by configuration, reasons by an enumeration; the registry bounds its series too.
        if made.count < 4096 { made[key] = instrument }
        return instrument
    }
}

extension AccessRecord {
    fileprivate init(_ record: RequestRecord) {
        self.init(
            requestID: record.requestID, method: record.method, path: record.path, status: record.status,
            totalMilliseconds: record.endedAfter.milliseconds, attempts: record.attempts,
            isClientAborted: record.clientLeft, requestBytes: record.requestBytes,
            responseBytes: record.responseBytes)
        model = record.model
        tenant = record.fairnessID
        queuedRequestID = record.queuedRequestID
        pool = record.pool
        endpoint = record.endpoint
        priority = record.priority
        queueMilliseconds = record.placedAfter?.milliseconds
        timeToFirstTokenMilliseconds = record.firstByteAfter?.milliseconds
        promptTokens = record.usage?.promptTokens
        outputTokens = record.usage?.completionTokens ?? (record.isStreamed ? record.outputEvents : nil)
        dropReason = record.error?.dropReason?.rawValue
    }
}

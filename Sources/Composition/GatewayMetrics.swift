import Basics
import Gateway
import InferenceAPI
import Logging
import Pool
import Synchronization
import Telemetry

/// Feeds what happens in the gateway into the metrics, the access log and the log.
final class GatewayMetrics: GatewayObserver {
    /// The instruments of one band of a pool.
    private struct BandInstruments {
        let duration: Histogram
        let firstToken: Histogram
        let queue: Histogram
        /// Requests by the first digit of their status.
        var requests: [Int: Counter] = [:]
        /// Made with the first good answer.
        var tokens: (prompt: Counter, output: Counter)?
    }

    private struct BandKey: Hashable {
        let pool: String
        let priority: Int
    }

    private struct Instruments {
        var bands: [BandKey: BandInstruments] = [:]
        /// Of pools whose engines have reported cached tokens: until then a zero may mean that they do not tell.
        var cachedShare: [String: [Histogram]] = [:]
    }

    /// Bands that are remembered; pools and priorities are bounded by configuration, and the registry bounds its series.
    private static let bandLimit = 4096

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
        let isGoodAnswer = record.status < 400 && !record.isLocal
        let key = BandKey(pool: pool, priority: record.priority)
        let handles = instruments.withLock { instruments in
            if instruments.bands[key] == nil, instruments.bands.count >= Self.bandLimit { instruments.bands = [:] }
            return counted(in: &instruments.bands[key, default: newBand(key)], key, record, isGoodAnswer: isGoodAnswer)
        }
        handles.requests.increment()
        // How long somebody waited for a queue's result, or how fast a question about one was answered, is no duration of
        // a request to a model server.
        if !record.isLocal { handles.duration.observe(record.endedAfter.seconds) }
        if record.isStreamed, let first = record.firstByteAfter { handles.firstToken.observe(first.seconds) }
        if let placed = record.placedAfter { handles.queue.observe(placed.seconds) }
        if let reason = record.error?.dropReason {
            registry.instrument(MetricCatalog.dropped, pool, reason.rawValue).increment()
        }
        if record.clientLeft { registry.instrument(MetricCatalog.aborted, pool, "client").increment() }
        // Counted by what became of it: an answer may have been complete when the scheduler called its request back.
        if record.error?.dropReason == .evictedPriority {
            registry.instrument(MetricCatalog.aborted, pool, "brake").increment()
        } else if record.isCut {
            registry.instrument(MetricCatalog.aborted, pool, "endpoint").increment()
        }
        if let tokens = handles.tokens {
            tokens.prompt.increment(by: record.usage?.promptTokens ?? record.estimatedPromptTokens)
            tokens.output.increment(by: record.usage?.completionTokens ?? record.outputEvents)
            if let usage = record.usage, usage.promptTokens > 0 { observeCachedShare(of: usage, pool: pool) }
        }
    }

    private typealias Handles = (
        requests: Counter, duration: Histogram, firstToken: Histogram, queue: Histogram,
        tokens: (prompt: Counter, output: Counter)?
    )

    private func newBand(_ key: BandKey) -> BandInstruments {
        let band = String(key.priority)
        return BandInstruments(
            duration: registry.instrument(MetricCatalog.requestDuration, key.pool, band),
            firstToken: registry.instrument(MetricCatalog.timeToFirstToken, key.pool, band),
            queue: registry.instrument(MetricCatalog.gatewayQueue, key.pool, band))
    }

    /// What one request is counted by; `tokens` is nil where it has no good answer.
    private func counted(
        in band: inout BandInstruments, _ key: BandKey, _ record: RequestRecord, isGoodAnswer: Bool
    ) -> Handles {
        let digit = record.status / 100
        let requests =
            band.requests[digit]
            ?? registry.instrument(MetricCatalog.requests, key.pool, String(key.priority), "\(digit)xx")
        band.requests[digit] = requests
        if isGoodAnswer, band.tokens == nil {
            let workClass = record.workClass == .realtime ? "realtime" : "async"
            band.tokens = (
                registry.instrument(MetricCatalog.promptTokens, key.pool, workClass),
                registry.instrument(MetricCatalog.outputTokens, key.pool, workClass)
            )
        }
        return (requests, band.duration, band.firstToken, band.queue, isGoodAnswer ? band.tokens : nil)
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

import AsyncProcessor
import Basics
import Delivery
import InferenceAPI
import Telemetry

/// Counts the attempts of one queue under the names of llm-d-async.
struct AttemptMetrics: Sendable {
    private let shed: Counter
    private let inputTokens: Counter
    private let outputTokens: Counter
    private let latency: Histogram
    private let residence: Histogram

    /// - Parameters:
    ///   - queue: the queue's name.
    ///   - brokerName: its name inside its broker.
    ///   - pool: the name of its pool of workers, if it has one.
    init(registry: MetricsRegistry, queue: String, brokerName: String, pool: String?) {
        let pool = pool ?? AsyncCompatibilityMetrics.standardPool
        shed = registry.instrument(AsyncMetricCatalog.shed, queue, brokerName, pool)
        inputTokens = registry.instrument(AsyncMetricCatalog.tokens, queue, brokerName, pool, "input")
        outputTokens = registry.instrument(AsyncMetricCatalog.tokens, queue, brokerName, pool, "output")
        latency = registry.instrument(AsyncMetricCatalog.inferenceLatency, queue, brokerName, pool)
        residence = registry.instrument(AsyncMetricCatalog.queueResidence, queue, brokerName, pool)
    }

    /// Takes note of an attempt that has ended.
    func observe(_ attempt: AttemptObservation) {
        residence.observe(attempt.waited.milliseconds)
        guard case .answered(let response) = attempt.outcome else { return }
        latency.observe(attempt.took.milliseconds)
        let verdict = AnswerVerdict(statusCode: response.statusCode, dropReason: response.dropReason)
        if verdict == .capacity { shed.increment() }
        if let usage = response.usage {
            inputTokens.increment(by: usage.promptTokens)
            outputTokens.increment(by: usage.completionTokens)
        }
    }
}

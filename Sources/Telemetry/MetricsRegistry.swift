import Synchronization

/// The instruments of a process, and their exposition.
///
/// `instrument(_:_:)` takes a lock and a dictionary look-up: call it when an endpoint, pool or band appears, and keep what
/// it returns. Updates then touch one atomic.
public final class MetricsRegistry: Sendable {
    private struct Series {
        let labels: String
        let instrument: any MetricInstrument
    }

    private struct Family {
        let definition: MetricDefinition
        var series: [[String]: Series] = [:]
    }

    private struct State {
        var families: [String: Family] = [:]
        var collectors: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())
    /// The longest label value, in bytes; callers' names end up in labels.
    private static let labelValueLimit = 256
    private static let overflowValue = "other"

    /// Creates a registry without instruments.
    public init() {}

    /// The instrument of a metric for the given label values, made at the first call.
    ///
    /// Beyond the metric's `seriesLimit`, new label values share one series whose labels all say `other`, and
    /// `weir_metric_series_overflow_total` counts how often.
    ///
    /// - Parameter values: one for each label of the metric, in its order; long ones are cut.
    public func instrument<Instrument>(_ metric: Metric<Instrument>, _ values: String...) -> Instrument {
        let definition = metric.definition
        precondition(values.count == definition.labels.count, "\(definition.name) has the labels \(definition.labels)")
        let cut = Self.cut(values)
        let (instrument, overflowed): (Instrument, Bool) = state.withLock { state in
            var family = state.families[definition.name] ?? Family(definition: definition)
            defer { state.families[definition.name] = family }
            let isFull = family.series[cut] == nil && family.series.count >= definition.seriesLimit
            let key = isFull ? definition.labels.map { _ in Self.overflowValue } : cut
            if let known = family.series[key]?.instrument as? Instrument { return (known, isFull) }
            precondition(family.series[key] == nil, "two metrics share the name \(definition.name)")
            let new = Instrument(definition)
            family.series[key] = Series(labels: ExpositionText.labels(definition.labels, key), instrument: new)
            return (new, isFull)
        }
        if overflowed { self.instrument(MetricCatalog.metricSeriesOverflow, definition.name).increment() }
        return instrument
    }

    /// Takes one series out of the exposition, because what it tells is not known any more.
    public func remove<Instrument>(_ metric: Metric<Instrument>, _ values: String...) {
        state.withLock { _ = $0.families[metric.definition.name]?.series.removeValue(forKey: values) }
    }

    /// Sets the levels of a metric that are known now and takes all its other series out of the exposition: for label values
    /// that come and go, as tenants' names do, and for what is not always known.
    ///
    /// - Parameter levels: a value for each label of the metric, in its order, and the level. Those beyond the metric's
    ///   `seriesLimit` are left out and counted in `weir_metric_series_overflow_total`.
    public func replace(_ metric: Metric<Gauge>, with levels: [(labels: [String], value: Double)]) {
        let definition = metric.definition
        var series: [[String]: Series] = [:]
        var left = 0
        for (values, level) in levels {
            precondition(
                values.count == definition.labels.count, "\(definition.name) has the labels \(definition.labels)")
            let key = Self.cut(values)
            if series[key] == nil, series.count >= definition.seriesLimit {
                left += 1
                continue
            }
            let gauge = Gauge(definition)
            gauge.set(level)
            series[key] = Series(labels: ExpositionText.labels(definition.labels, key), instrument: gauge)
        }
        state.withLock { state in
            state.families[definition.name] = series.isEmpty ? nil : Family(definition: definition, series: series)
        }
        if left > 0 { instrument(MetricCatalog.metricSeriesOverflow, definition.name).increment(by: left) }
    }

    /// Label values as they are kept.
    private static func cut(_ values: [String]) -> [String] {
        values.map { $0.utf8.count <= labelValueLimit ? $0 : String($0.prefix(labelValueLimit / 4)) }
    }

    /// Has `body` called before each exposition, to fill gauges whose values live elsewhere.
    ///
    /// It is called on the thread that collects, with no lock held, and should not take long.
    public func onCollect(_ body: @escaping @Sendable () -> Void) {
        state.withLock { $0.collectors.append(body) }
    }

    /// The exposition of every series, ordered by metric name and label values.
    public func render() -> [UInt8] {
        for collect in state.withLock({ $0.collectors }) { collect() }
        let families = state.withLock { $0.families }
        var text = ExpositionText()
        for family in families.values.sorted(by: { $0.definition.name < $1.definition.name }) {
            text.open(family.definition)
            for series in family.series.values.sorted(by: { $0.labels < $1.labels }) {
                series.instrument.write(to: &text, name: family.definition.name, labels: series.labels)
            }
        }
        return text.bytes
    }
}

/// What a metric is: its row in the table from which exposition, documentation and dashboards derive.
public struct MetricDefinition: Hashable, Sendable {
    /// What Prometheus calls the type.
    public enum Kind: Hashable, Sendable {
        /// Only goes up.
        case counter
        /// Goes up and down.
        case gauge
        /// Counts observations by size; the upper bounds of its buckets, ascending, without the infinite one.
        case histogram(bounds: [Double])
    }

    /// The name, with its unit, as it is exposed.
    public let name: String
    /// The type.
    public let kind: Kind
    /// The label names, in the order in which values are given.
    public let labels: [String]
    /// What it counts or measures.
    public let help: String
    /// Most series of different label values; further ones share a series whose labels all say `other`.
    public let seriesLimit: Int
}

/// A metric whose instruments are of one type, which the compiler then knows.
public struct Metric<Instrument: MetricInstrument>: Sendable {
    /// Its row in the table.
    public let definition: MetricDefinition

    private init(_ name: String, _ kind: MetricDefinition.Kind, _ labels: [String], _ limit: Int, _ help: String) {
        definition = MetricDefinition(name: name, kind: kind, labels: labels, help: help, seriesLimit: limit)
    }
}

extension Metric where Instrument == Counter {
    /// A metric that only goes up. At most `seriesLimit` series of different label values are kept.
    public static func counter(_ name: String, labels: [String] = [], seriesLimit: Int = 512, _ help: String) -> Self {
        Self(name, .counter, labels, seriesLimit, help)
    }
}

extension Metric where Instrument == Gauge {
    /// A metric that goes up and down. At most `seriesLimit` series of different label values are kept.
    public static func gauge(_ name: String, labels: [String] = [], seriesLimit: Int = 512, _ help: String) -> Self {
        Self(name, .gauge, labels, seriesLimit, help)
    }
}

extension Metric where Instrument == Histogram {
    /// A metric that counts observations by size. At most `seriesLimit` series of different label values are kept.
    ///
    /// - Parameter bounds: upper bounds of the buckets, ascending, at most ``Histogram/maximumBounds`` of them.
    public static func histogram(
        _ name: String, labels: [String] = [], bounds: [Double], seriesLimit: Int = 128, _ help: String
    ) -> Self {
        Self(name, .histogram(bounds: bounds), labels, seriesLimit, help)
    }
}

/// What one element of a gate has to say for itself, for metrics and for people.
public struct GateStatus: Hashable, Sendable {
    /// The gate type, as configured.
    public var type: String
    /// The inference pool that the element measures; empty where it names none.
    public var inferencePool: String
    /// The value that the element compares: D of the budget formulas, 0 full ... 1 idle. Nil where there is none.
    public var metricValue: Double?
    /// The element is closed at or below this value.
    public var metricThreshold: Double?
    /// Whether its source gave a fresh reading; nil where it reads none.
    public var isSourceAvailable: Bool?
    /// Why not, in a few words.
    public var sourceProblem: String?
    /// The element's budget by upstream's formula, 0 closed ... 1.
    public var budget: Double
    /// The windows of an `aimd` gate, highest lane first.
    public var windows: [GateWindowStatus]
}

/// The state of one window of an `aimd` gate.
public struct GateWindowStatus: Hashable, Sendable {
    /// The lane, for example `reserved-batch`.
    public var band: String
    /// How many requests may be in flight.
    public var window: Double
    /// Below this the window grows in slow start.
    public var slowStartThreshold: Double
    /// How many are in flight.
    public var inFlight: Int
}

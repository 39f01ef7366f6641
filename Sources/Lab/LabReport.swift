public import EngineModel

/// What a scenario showed; written as JSON, as text, or as a page.
public struct LabReport: Sendable {
    /// The scenario.
    public let scenario: Scenario
    /// The options it ran with.
    public let options: LabOptions
    /// The trace's name.
    public let traceName: String
    /// The offline job's name; empty if there was none.
    public let jobName: String
    /// Time from the first to the last arrival, in seconds.
    public let traceSeconds: Double
    /// One result per policy, in the order asked for.
    public let policies: [PolicyResult]
    /// The rows of `calibrate`, else empty.
    public let calibration: [CalibrationRow]
    /// The loads of `prediction`, else empty.
    public let predictions: [PredictionSummary]

    init(
        scenario: Scenario, options: LabOptions, traceName: String, jobName: String = "", traceSeconds: Double = 0,
        policies: [PolicyResult] = [], calibration: [CalibrationRow] = [],
        predictions: [PredictionSummary] = []
    ) {
        self.scenario = scenario
        self.options = options
        self.traceName = traceName
        self.jobName = jobName
        self.traceSeconds = traceSeconds
        self.policies = policies
        self.calibration = calibration
        self.predictions = predictions
    }

    /// Whether the scenario holds what it asserts; only `calibrate` asserts something: that all rows are within bounds.
    public var isWithinBounds: Bool { calibration.allSatisfy(\.isWithinBounds) }
}

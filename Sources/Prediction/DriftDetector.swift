/// Cumulative sums of the logarithm of outcome over prediction (Page, 1954), of each sign and of the magnitude: says when
/// predictions have become systematically too low, too high, or worse both ways.
///
/// Errors are measured in units of their own usual size, so that what is hard to predict does not raise false alarms.
struct DriftDetector: Sendable {
    /// In units of the usual error: what is tolerated, and how much one outcome counts at most.
    private static let allowance = 1.5
    private static let magnitudeAllowance = 2.0
    private static let largestError = 3.0
    /// How fast the usual error follows, and the least that it is taken for.
    private static let pace = 0.002
    private static let leastUsualError = 0.1

    /// The sum of intolerable errors that raises the alarm, in units of the usual error.
    private let threshold: Double
    private var usualError = 0.25
    private var above = 0.0
    private var below = 0.0
    private var beside = 0.0

    init(threshold: Double) { self.threshold = threshold }

    /// Counts an error; true if it raises the alarm, which starts the sums anew.
    mutating func observe(_ logError: Double) -> Bool {
        guard logError.isFinite else { return false }
        let scale = max(usualError, Self.leastUsualError)
        usualError += Self.pace * (min(logError.magnitude, 4 * scale) - usualError)
        let error = min(max(logError / scale, -Self.largestError), Self.largestError)
        above = max(0, above + error - Self.allowance)
        below = max(0, below - error - Self.allowance)
        beside = max(0, beside + error.magnitude - Self.magnitudeAllowance)
        guard max(above, below, beside) > threshold else { return false }
        above = 0
        below = 0
        beside = 0
        return true
    }
}

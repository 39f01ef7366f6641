public import Basics

/// Bounds on what may wait in the gateway for a saturated pool.
public struct AdmissionLimits: Hashable, Sendable {
    /// The most requests that may wait in one priority band.
    public var maxRequestsPerBand: Int
    /// The most body bytes that the requests waiting in one band may hold.
    public var maxBytesPerBand: Int
    /// The most different priorities that may wait at once; a bound on memory, since callers name objectives.
    public var maxBands: Int
    /// How long a request may wait unless it brings its own limit.
    public var timeToLive: TimeSpan

    /// Creates limits.
    public init(
        maxRequestsPerBand: Int = 1000, maxBytesPerBand: Int = 256 << 20, maxBands: Int = 64,
        timeToLive: TimeSpan = .seconds(30)
    ) {
        self.maxRequestsPerBand = maxRequestsPerBand
        self.maxBytesPerBand = maxBytesPerBand
        self.maxBands = maxBands
        self.timeToLive = timeToLive
    }
}

public import Basics

/// What the front door is told once.
public struct FrontDoorSettings: Hashable, Sendable {
    /// The time in which a request that names no deadline has to be done.
    public var completionWindow: TimeSpan
    /// The longest that a connection is held for a result.
    public var longestWait: TimeSpan
    /// How many connections may be held for results at a time.
    public var maxWaiting: Int

    /// Creates settings.
    public init(
        completionWindow: TimeSpan = .seconds(86_400), longestWait: TimeSpan = .seconds(600), maxWaiting: Int = 10_000
    ) {
        self.completionWindow = completionWindow
        self.longestWait = longestWait
        self.maxWaiting = maxWaiting
    }
}

public import Basics

/// Real-time work on one endpoint that has not answered yet.
public struct RealtimeBacklog: Hashable, Sendable {
    /// How long the oldest real-time request without a first token has been there.
    public var oldestSilence: TimeSpan
    /// Uncached prompt tokens of the real-time requests without a first token.
    public var promptTokens: Int

    /// How many of them there are.
    public var requests: Int

    /// Creates a backlog; none by default.
    public init(oldestSilence: TimeSpan = .zero, promptTokens: Int = 0, requests: Int = 0) {
        self.oldestSilence = oldestSilence
        self.requests = requests
        self.promptTokens = promptTokens
    }
}

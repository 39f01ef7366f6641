public import Basics

/// How prompts become tokens: an endpoint of the pool is asked, before the request gets its place.
///
/// Only asked where an endpoint publishes what it has cached (`Gateway.cacheChanged`), for real-time requests whose whole
/// prompt is at hand. Without an answer in time the request is matched by its text.
public struct TokenizerSettings: Hashable, Sendable {
    /// Where endpoints turn a request's body into tokens. The body is posted as it is; the answer is read by
    /// `TokenizerAnswer`.
    public var path = "/tokenize"
    /// The longest that a request waits for its tokens.
    public var timeout = TimeSpan.milliseconds(100)
    /// Longer bodies are not tokenized.
    public var maximumBytes = 256 << 10

    /// Creates the defaults.
    public init() {}
}

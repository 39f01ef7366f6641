import Basics

/// What the endpoints of one pool publish about their caches as far as requests' chains depend on it, and whether they
/// are worth asking for tokens. A struct: events in, answers out.
struct PublishedCaches {
    /// What one endpoint's events are about.
    struct Terms: Hashable {
        /// Tokens per block.
        var blockTokens: Int
        /// LoRA adapters that have blocks.
        var adapters: Set<String>
    }

    /// After a failure nobody is asked for a while: twice as long after each further one in a row.
    private static let firstPause = TimeSpan.seconds(1)
    private static let longestPause = TimeSpan.seconds(30)

    private var terms: [Terms?]
    /// Whose blocks are of another length than the others': they are matched by text.
    private var foreign: [Bool]
    private var pause = Self.firstPause
    private var pausedUntil: Instant?
    /// Prompts by what became of them.
    private(set) var counts = TokenizationCounts()

    init(endpoints: Int) {
        terms = Array(repeating: nil, count: endpoints)
        foreign = Array(repeating: false, count: endpoints)
    }

    /// Whether what the endpoint publishes is of use.
    func counts(_ endpoint: Int) -> Bool { !foreign[endpoint] }

    /// Tokens per block at the endpoints that count: those that have the same as the first that publishes. Nil if none does.
    var blockTokens: Int? { terms.lazy.compactMap(\.?.blockTokens).first }

    /// Says what an endpoint's events are about; nil if it publishes nothing (any more).
    ///
    /// - Returns: whether the endpoint can be matched by tokens: its blocks are as long as the others'.
    mutating func set(_ new: Terms?, endpoint: Int) -> Bool {
        guard terms.indices.contains(endpoint) else { return false }
        terms[endpoint] = nil
        foreign[endpoint] = new.map { $0.blockTokens <= 0 || $0.blockTokens != blockTokens ?? $0.blockTokens } ?? false
        if !foreign[endpoint] { terms[endpoint] = new }
        return terms[endpoint] != nil
    }

    /// Whether prompts should be tokenized now.
    func isWorthAsking(now: Instant) -> Bool { blockTokens != nil && pausedUntil.map { now >= $0 } ?? true }

    /// The name at the root of the chains of requests for a model: an adapter's own, nothing for the base model, whatever
    /// it is called.
    func root(for model: String) -> String {
        terms.contains { $0?.adapters.contains(model) == true } ? model : ""
    }

    mutating func answered() {
        counts.done += 1
        pause = Self.firstPause
        pausedUntil = nil
    }

    /// The endpoint would not tokenize this one: no fault of its own.
    mutating func refused() { counts.refused += 1 }

    /// No answer in time, or none that makes sense. What was asked at the same time may fail as well, which counts once.
    mutating func failed(now: Instant) {
        counts.failed += 1
        if let pausedUntil, now < pausedUntil { return }
        pausedUntil = now + pause
        pause = min(pause * 2, Self.longestPause)
    }
}

/// Prompts that were to be tokenized, by what became of them. All only grow.
public struct TokenizationCounts: Hashable, Sendable {
    /// An endpoint told the tokens.
    public var done = 0
    /// The endpoint would not, as for a body that it finds at fault.
    public var refused = 0
    /// No answer in time, or none that makes sense.
    public var failed = 0

    /// Nothing yet.
    public init() {}
}

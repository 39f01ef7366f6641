import Basics

/// A filter made ready for one set of endpoints: what depends on labels alone is a column.
enum WeightedFilterStep: Sendable {
    case mask([Bool])
    case contextLength([WeightedContextRange])
    case session(slot: Int)
    case attribute(WeightedAttributeThreshold)
    case utilization(caps: [WeightedLoadCap], keepsAllWhenEmpty: Bool)
    case prefixCacheAffinity(WeightedPrefixAffinity)
    case headroomTier(negativeTierProbability: Double)
    case utilizationDetector(WeightedUtilizationDetector)
    case concurrencyDetector(WeightedConcurrencyDetector)
}

/// A scorer made ready for one set of endpoints.
enum WeightedScorerStep: Sendable {
    case queue
    case runningRequests
    case kvCacheUtilization
    case loadAware(threshold: Double)
    case activeRequests(idleThreshold: Int32, maxBusyScore: Double)
    case tokenLoad(threshold: Double)
    case prefixCache(WeightedPrefixMatch)
    case noHitLRU(slot: Int)
    case loraAffinity
    case session(slot: Int)
    case contextLength([WeightedContextRange])
    case headerLabel(header: String, values: [String: Int32], column: [Int32])
    case attribute(WeightedAttributeScale)
    case latency(WeightedLatencyPreference)
}

/// What `context-length-aware` reads in an endpoint's label.
enum WeightedContextRange: Hashable, Sendable {
    /// There is no label.
    case unlabelled
    /// The label is not a range.
    case malformed
    /// From the first to the second number of tokens, both included.
    case tokens(Int, Int)

    /// Reads `min-max`; spaces around the numbers are allowed.
    init(label: String?) {
        guard let label else {
            self = .unlabelled
            return
        }
        let bounds = label.split(separator: "-", omittingEmptySubsequences: false).map { bound in
            var text = bound[...]
            while text.first?.isWhitespace ?? false { text.removeFirst() }
            while text.last?.isWhitespace ?? false { text.removeLast() }
            return Int(text)
        }
        guard bounds.count == 2, let low = bounds[0], let high = bounds[1], low <= high else {
            self = .malformed
            return
        }
        self = .tokens(low, high)
    }

    /// Whether the filter keeps the endpoint: no label passes, a malformed one does not.
    func admits(_ tokens: Int) -> Bool {
        switch self {
        case .unlabelled: true
        case .malformed: false
        case .tokens(let low, let high): tokens >= low && tokens <= high
        }
    }

    /// The score: in range 0.3 + 0.7 · (0.7 / (1 + width / 10 000) + 0.3 · room above / width), out of range
    /// 0.3 / (1 + distance / 1000), unlabelled 0.5, malformed 0.
    func score(_ tokens: Int) -> Double {
        switch self {
        case .unlabelled: return 0.5
        case .malformed: return 0
        case .tokens(let low, let high):
            guard tokens >= low, tokens <= high else {
                let distance = Double(tokens > high ? tokens - high : low - tokens)
                return 0.3 / (1 + distance / 1000)
            }
            guard high > low else { return 1 }
            let width = Double(high - low)
            let raw = 0.7 * (1 / (1 + width / 10000)) + 0.3 * (Double(high - tokens) / width)
            return 0.3 + raw * (1 - 0.3)
        }
    }
}

/// One session step: how sessions are recognised, and what it remembers of them.
struct WeightedSessionStep: Sendable {
    private enum Recognition: Sendable {
        case token(header: String, endpoints: [String: Int])
        case name([Source])
    }

    private enum Source: Sendable {
        case header(String)
        case requestSession
    }

    /// The header by which the client is told its endpoint's token; nil if nothing is told.
    let responseHeader: String?
    private var recognition: Recognition
    private(set) var bindings: WeightedSessionBindings

    init(_ affinity: WeightedSessionAffinity, identities: [CandidateTable.Identity]) {
        switch affinity {
        case .endpointToken(let header):
            responseHeader = header.lowercased()
            bindings = WeightedSessionBindings(idleLimit: .zero)
            recognition = .token(header: header.lowercased(), endpoints: [:])
        case .sessionID(let sources, let idleLimit):
            responseHeader = nil
            bindings = WeightedSessionBindings(idleLimit: idleLimit)
            recognition = .name(
                sources.map { source in
                    switch source {
                    case .header(let name): .header(name.lowercased())
                    case .requestSession: .requestSession
                    }
                })
        }
        readTokens(of: identities)
    }

    /// The endpoint that the request is bound to, -1 if that is not in the pool; nil if it is not bound.
    func endpoint(for request: RoutingRequest, now: Instant) -> Int? {
        switch recognition {
        case .token(let header, let endpoints):
            guard let token = request.headers[header], !token.isEmpty else { return nil }
            return endpoints[token] ?? -1
        case .name(let sources):
            return Self.session(of: request, sources).flatMap { bindings.endpoint(of: $0, now: now) }
        }
    }

    /// Notes where the request went.
    mutating func used(_ endpoint: Int, by request: RoutingRequest, mayMove: Bool, now: Instant) {
        guard case .name(let sources) = recognition, let session = Self.session(of: request, sources) else { return }
        bindings.used(session, endpoint: endpoint, mayMove: mayMove, now: now)
    }

    /// Follows a change of the pool.
    mutating func renumber(_ newIndex: [Int], identities: [CandidateTable.Identity]) {
        bindings.renumber(newIndex)
        readTokens(of: identities)
    }

    private mutating func readTokens(of identities: [CandidateTable.Identity]) {
        guard case .token(let header, _) = recognition else { return }
        let tokens = identities.indices.map {
            (WeightedSessionAffinity.token(forEndpoint: identities[$0].name), $0)
        }
        recognition = .token(header: header, endpoints: Dictionary(tokens, uniquingKeysWith: { first, _ in first }))
    }

    private static func session(of request: RoutingRequest, _ sources: [Source]) -> String? {
        for source in sources {
            let name: String? =
                switch source {
                case .header(let header): request.headers[header]
                case .requestSession: request.session
                }
            guard let name, !name.allSatisfy(\.isWhitespace) else { continue }
            return name
        }
        return nil
    }
}

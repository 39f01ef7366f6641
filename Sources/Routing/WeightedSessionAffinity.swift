public import Basics

/// How a session is recognised and where it is remembered: the parameters of `session-affinity-filter` and
/// `session-affinity-scorer`.
public enum WeightedSessionAffinity: Hashable, Sendable {
    /// The client echoes a header that names the endpoint, encoded; nothing is remembered here.
    case endpointToken(header: String)
    /// The client names its session; the binding is remembered here until it has been idle for this long.
    case sessionID(sources: [Source], idleLimit: TimeSpan)

    /// Where a session's name is read; of several sources the first that has one counts.
    public enum Source: Hashable, Sendable {
        /// A request header, by any case.
        case header(String)
        /// What the gateway itself recognised as the session (``RoutingRequest/session``).
        case requestSession
    }

    /// The header of ``endpointToken(header:)`` unless configured.
    public static let defaultTokenHeader = "x-session-token"
    /// The header of ``sessionID(sources:idleLimit:)`` unless configured.
    public static let defaultSessionHeader = "x-session-id"
    /// How long an unused binding is remembered unless configured.
    public static let defaultIdleLimit = TimeSpan.seconds(300)

    /// The token that names an endpoint: its name in Base64 with padding (RFC 4648, section 4).
    public static func token(forEndpoint name: String) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".unicodeScalars)
        let bytes = Array(name.utf8)
        var text = String.UnicodeScalarView()
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var word = group.reduce(0) { $0 << 8 | UInt32($1) }
            word <<= 8 * UInt32(3 - group.count)
            for place in 0..<4 {
                let sextet = Int(word >> UInt32(18 - 6 * place)) & 63
                text.append(place <= group.count ? alphabet[sextet] : "=")
            }
        }
        return String(text)
    }
}

/// Which endpoint each session is bound to: bounded, the one unused for longest forgotten first.
struct WeightedSessionBindings: Sendable {
    /// How many sessions are remembered at most.
    static let capacity = 65_536
    /// Longer names are not remembered, since names come from clients.
    static let longestName = 256

    private struct Binding {
        var session: String
        /// The endpoint; -1 for one that has left the pool.
        var endpoint: Int
        var lastUse: Instant
        /// Neighbours in the order of use; -1 at the ends.
        var older: Int
        var newer: Int
    }

    private let idleLimit: TimeSpan
    private var places: [String: Int] = [:]
    private var bindings: [Binding] = []
    private var free: [Int] = []
    private var oldest = -1
    private var newest = -1

    init(idleLimit: TimeSpan) { self.idleLimit = idleLimit }

    /// Sessions remembered, idle ones included until something is bound.
    var count: Int { places.count }

    /// The endpoint that the session is bound to, -1 if that has left the pool; nil if there is no live binding.
    func endpoint(of session: String, now: Instant) -> Int? {
        guard let place = places[session], now - bindings[place].lastUse <= idleLimit else { return nil }
        return bindings[place].endpoint
    }

    /// Notes that a request of the session went to an endpoint.
    ///
    /// - Parameter mayMove: whether a binding to another endpoint is replaced; otherwise it is left alone, unrefreshed.
    mutating func used(_ session: String, endpoint: Int, mayMove: Bool, now: Instant) {
        guard session.utf8.count <= Self.longestName else { return }
        while oldest >= 0, now - bindings[oldest].lastUse > idleLimit { forget(oldest) }
        if let place = places[session] {
            guard bindings[place].endpoint == endpoint || mayMove else { return }
            bindings[place].endpoint = endpoint
            bindings[place].lastUse = now
            unlink(place)
            append(place)
            return
        }
        if places.count >= Self.capacity { forget(oldest) }
        let binding = Binding(session: session, endpoint: endpoint, lastUse: now, older: -1, newer: -1)
        let place: Int
        if let reused = free.popLast() {
            place = reused
            bindings[place] = binding
        } else {
            place = bindings.count
            bindings.append(binding)
        }
        places[session] = place
        append(place)
    }

    /// Follows a change of the pool: `newIndex` holds the new index of each old one, -1 for an endpoint that left.
    mutating func renumber(_ newIndex: [Int]) {
        for place in bindings.indices where bindings[place].endpoint >= 0 {
            bindings[place].endpoint = newIndex[bindings[place].endpoint]
        }
    }

    private mutating func forget(_ place: Int) {
        unlink(place)
        places[bindings[place].session] = nil
        bindings[place].session = ""
        free.append(place)
    }

    private mutating func unlink(_ place: Int) {
        let (older, newer) = (bindings[place].older, bindings[place].newer)
        if older >= 0 { bindings[older].newer = newer } else { oldest = newer }
        if newer >= 0 { bindings[newer].older = older } else { newest = older }
    }

    private mutating func append(_ place: Int) {
        bindings[place].older = newest
        bindings[place].newer = -1
        if newest >= 0 { bindings[newest].newer = place } else { oldest = place }
        newest = place
    }
}

/// The keys of one queue in Redis, named as llm-d-async names them (shared reference `async-processor.md` 2.4).
struct QueueKeys: Hashable, Sendable {
    /// Sorted set of waiting members, by deadline in Unix seconds. Its name is the contract with producers.
    let pending: String
    /// Hash from claim key to member.
    let claimed: String
    /// Hash from claim key to the owner's token.
    let owners: String
    /// Sorted set of claim keys, by the end of the lease in Unix seconds.
    let claims: String
    /// List of what could not be read or was given up, newest first.
    let deadLetters: String
    /// Sorted set of members that wait for their next attempt, by due time in Unix seconds; several queues share it.
    let retry: String

    private let base: String

    /// With `usesHashTag`, the keys beside the queue's own lie in its slot of a Redis Cluster: the queue's name in braces,
    /// unless it has braces already.
    init(queue: String, retry: String, deadLetters: String? = nil, usesHashTag: Bool) {
        base = usesHashTag && !Self.hasHashTag(queue) ? "{\(queue)}" : queue
        pending = queue
        claimed = base + ":claimed"
        owners = base + ":claim-owners"
        claims = base + ":claims-idx"
        self.deadLetters = deadLetters ?? base + ":dead-letter"
        self.retry = retry
    }

    /// Remembers for a while what a batch of settlements came to.
    func commit(_ batch: UInt64) -> String { base + ":commit:" + Self.hexadecimal(batch) }

    /// The token of the request that is current under this id.
    static func active(_ id: String) -> String { "request-active:" + id }

    /// What the key of a payload begins with; the id and the token of its request follow.
    static let payloadPrefix = "request-payload:"

    /// What a cancelled request's key begins with.
    static let cancelPrefix = "request-cancel:"

    /// The token of the request of this id that is to be cancelled.
    static func cancel(_ id: String) -> String { cancelPrefix + id }

    /// The id in the name of a cancel key; nil for another key.
    static func cancelledID(_ key: String) -> String? {
        key.hasPrefix(cancelPrefix) ? String(key.dropFirst(cancelPrefix.count)) : nil
    }

    static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Whether the name holds a hash tag as Redis Cluster understands it: the first `{` and a later `}` with something
    /// between them.
    private static func hasHashTag(_ name: String) -> Bool {
        guard let open = name.firstIndex(of: "{") else { return false }
        let rest = name[name.index(after: open)...]
        guard let close = rest.firstIndex(of: "}") else { return false }
        return close != rest.startIndex
    }
}

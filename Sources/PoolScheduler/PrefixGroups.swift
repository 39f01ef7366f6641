import DequeModule
import Pool

/// Remembers where lines of batch work were sent by how their prompts begin, so that lines that share blocks meet them in
/// one endpoint's cache.
struct PrefixGroups {
    /// Blocks looked at from the start of a prompt.
    private static let depth = 32
    private static let capacity = 8192
    private var endpoints: [UInt64: EndpointID] = [:]
    /// The hashes in `endpoints`, the oldest first.
    private var ages: Deque<UInt64> = []

    /// Where the longest known beginning of this prompt was sent last.
    func endpoint(of hashes: [UInt64]) -> EndpointID? {
        for hash in hashes.prefix(Self.depth).reversed() {
            if let endpoint = endpoints[hash] { return endpoint }
        }
        return nil
    }

    /// Notes where a prompt went.
    mutating func note(_ hashes: [UInt64], on endpoint: EndpointID) {
        for hash in hashes.prefix(Self.depth) {
            if endpoints.updateValue(endpoint, forKey: hash) == nil { ages.append(hash) }
        }
        while ages.count > Self.capacity { endpoints[ages.removeFirst()] = nil }
    }
}

import Pool
import Synchronization

/// A change of what an endpoint has cached, as it publishes it. Keys are those of `InferenceAPI.TokenChain`, whose root is
/// named after the LoRA adapter, or empty without one.
public enum PublishedCacheChange: Hashable, Sendable {
    /// These blocks are there now.
    case stored([UInt64])
    /// These blocks are gone.
    case removed([UInt64])
    /// Nothing is there, or nobody knows what.
    case cleared
}

extension Gateway {
    /// What an endpoint's cache has become. From the first call on the endpoint is matched by what it publishes, where a
    /// request's tokens are known, until `cacheIsUnknown`.
    ///
    /// - Parameters:
    ///   - changes: in the order in which they happened; calls for one endpoint must not overlap.
    ///   - pool: the pool's place in the configuration.
    ///   - endpoint: the endpoint's place in the pool.
    public func cacheChanged(_ changes: [PublishedCacheChange], pool: Int, endpoint: Int) {
        shell(pool, endpoint)?.cacheChanged(changes, at: EndpointID(endpoint))
    }

    /// What an endpoint's events are about, as requests must be told apart in the same way.
    ///
    /// - Parameters:
    ///   - blockTokens: tokens per block.
    ///   - adapters: LoRA adapters that blocks were told of.
    /// - Returns: false if its blocks are not as long as those of the pool's others: it is matched by text then.
    public func cacheDescribed(blockTokens: Int, adapters: Set<String>, pool: Int, endpoint: Int) -> Bool {
        guard let shell = shell(pool, endpoint) else { return false }
        return shell.cacheDescribed(.init(blockTokens: blockTokens, adapters: adapters), at: EndpointID(endpoint))
    }

    /// An endpoint's events have not been heard for so long that they count for nothing: it is matched by text again.
    public func cacheIsUnknown(pool: Int, endpoint: Int) { shell(pool, endpoint)?.cacheIsUnknown(EndpointID(endpoint)) }

    /// Prompts of a pool that were to be tokenized, by what became of them.
    public func tokenizations(pool: Int) -> TokenizationCounts {
        core.directory.pools.indices.contains(pool) ? core.directory.pools[pool].tokenizations : TokenizationCounts()
    }

    private func shell(_ pool: Int, _ endpoint: Int) -> PoolShell? {
        guard core.directory.pools.indices.contains(pool) else { return nil }
        let shell = core.directory.pools[pool]
        return shell.endpoints.indices.contains(endpoint) ? shell : nil
    }
}

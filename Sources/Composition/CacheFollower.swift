import Basics
import Gateway
import KVEvents
import Logging
import Synchronization
import Telemetry
import WeirConfiguration

/// Follows the KV events of the endpoints that publish them, so that the gateway knows exactly what they have cached.
final class CacheFollower: Sendable {
    /// Block sizes and connections are looked at this often.
    private static let interval = TimeSpan.milliseconds(100)
    /// What was published stays valid as a guess for this long after a connection was lost: an engine that comes back with
    /// an empty cache says so, one that does not come back must not be believed for ever.
    private static let patience = TimeSpan.seconds(30)

    private struct Feed: Sendable {
        let subscriber: KVEventSubscriber
        /// Block size and adapters as the gateway was told them, and whether it takes them.
        var blockTokens: Int?
        var adapters: Set<String> = []
        var isTaken = false
        var lostAt: Instant?
    }

    /// One endpoint that publishes.
    private final class Followed: Sendable {
        let pool: Int
        let poolName: String
        let endpoint: Int
        let name: String
        let source: KVEventSource
        let feed: Mutex<Feed>
        private let gateway: Gateway

        init(pool: Int, poolName: String, endpoint: Int, name: String, source: KVEventSource, gateway: Gateway) {
            self.pool = pool
            self.poolName = poolName
            self.endpoint = endpoint
            self.name = name
            self.source = source
            self.gateway = gateway
            feed = Mutex(
                Feed(subscriber: Self.subscribe(to: source, pool: pool, endpoint: endpoint, gateway: gateway)))
        }

        static func subscribe(to source: KVEventSource, pool: Int, endpoint: Int, gateway: Gateway) -> KVEventSubscriber
        {
            KVEventSubscriber(source) { changes in
                gateway.cacheChanged(PublishedCacheChange.runs(of: changes), pool: pool, endpoint: endpoint)
            }
        }

        /// Begins anew, knowing nothing.
        func renew() async {
            // In this order, so that nothing is told of the old feed behind that, and nothing of the new one before it.
            await feed.withLock(\.subscriber).close()
            gateway.cacheIsUnknown(pool: pool, endpoint: endpoint)
            let fresh = Self.subscribe(to: source, pool: pool, endpoint: endpoint, gateway: gateway)
            feed.withLock { $0 = Feed(subscriber: fresh) }
        }
    }

    private let gateway: Gateway
    private let logger: Logger
    private let followed: [Followed]

    /// Begins to follow. Nil if no endpoint publishes.
    init?(_ pools: [Configuration.Pool], gateway: Gateway, logger: Logger) {
        self.gateway = gateway
        self.logger = logger
        followed = pools.enumerated().flatMap { number, pool in
            pool.endpoints.enumerated().compactMap { index, endpoint in
                endpoint.kvEvents.map { settings in
                    Followed(
                        pool: number, poolName: pool.name, endpoint: index,
                        name: ListenAddress(host: endpoint.url.host, port: endpoint.url.port).description,
                        source: KVEventSource(
                            host: endpoint.url.host, port: settings.port, replayPort: settings.replayPort,
                            topicFilter: settings.topic ?? "", model: ""),
                        gateway: gateway)
                }
            }
        }
        if followed.isEmpty { return nil }
    }

    /// Looks after the connections until the task is cancelled, then ends them.
    func run() async {
        while !Task.isCancelled {
            for endpoint in followed { await look(after: endpoint, now: Gateway.now) }
            try? await Task.sleep(for: .nanoseconds(Self.interval.nanoseconds))
        }
        for endpoint in followed { await endpoint.feed.withLock(\.subscriber).close() }
    }

    /// Writes how all of them are doing.
    func write(to registry: MetricsRegistry) {
        let states = followed.map { endpoint in
            let feed = endpoint.feed.withLock { $0 }
            let status = feed.subscriber.status
            return (
                labels: [endpoint.poolName, endpoint.name], lag: status.lag,
                isFollowing: feed.isTaken && status.connection == .following
            )
        }
        registry.replace(MetricCatalog.kvEventsFollowing, with: states.map { ($0.labels, $0.isFollowing ? 1 : 0) })
        registry.replace(
            MetricCatalog.kvEventsLag, with: states.compactMap { state in state.lag.map { (state.labels, $0.seconds) } }
        )
        for (number, name) in Dictionary(
            followed.map { ($0.pool, $0.poolName) }, uniquingKeysWith: { first, _ in first })
        {
            let counts = gateway.tokenizations(pool: number)
            for (result, total) in [("done", counts.done), ("refused", counts.refused), ("failed", counts.failed)] {
                registry.instrument(MetricCatalog.tokenizations, name, result).raise(to: total)
            }
        }
    }

    private func look(after endpoint: Followed, now: Instant) async {
        let status = endpoint.feed.withLock(\.subscriber).status
        if case .connecting = status.connection {
            let lostAt = endpoint.feed.withLock { feed in
                feed.lostAt = feed.lostAt ?? now
                return feed.lostAt ?? now
            }
            guard now - lostAt > Self.patience, status.connections > 0 else { return }
            await endpoint.renew()
            note("KV events of an endpoint are lost; what it has cached is guessed again", endpoint)
            return
        }
        endpoint.feed.withLock { $0.lostAt = nil }
        describe(endpoint, status)
    }

    /// Tells the gateway of the block size and the adapters, when they are known and whenever they change.
    private func describe(_ endpoint: Followed, _ status: KVEventStatus) {
        guard let size = status.blockSize else { return }
        let isNews = endpoint.feed.withLock { $0.blockTokens != size || $0.adapters != status.adapters }
        guard isNews else { return }
        let isTaken = gateway.cacheDescribed(
            blockTokens: size, adapters: status.adapters, pool: endpoint.pool, endpoint: endpoint.endpoint)
        let wasTaken = endpoint.feed.withLock { feed in
            defer { (feed.blockTokens, feed.adapters, feed.isTaken) = (size, status.adapters, isTaken) }
            return feed.isTaken
        }
        if isTaken, !wasTaken {
            note("KV events of an endpoint are followed", endpoint)
        } else if !isTaken {
            note(
                "KV events of an endpoint are not used: its blocks are not as long as those of its pool's others",
                endpoint)
        }
    }

    private func note(_ message: Logger.Message, _ endpoint: Followed) {
        logger.notice(message, metadata: ["pool": "\(endpoint.poolName)", "endpoint": "\(endpoint.name)"])
    }
}

extension PublishedCacheChange {
    /// The same changes, those of a kind that follow one another taken together. Blocks in the host's memory are left out:
    /// to get them from there is another price than that of a hit.
    static func runs(of changes: [ResidencyChange]) -> [PublishedCacheChange] {
        var runs: [PublishedCacheChange] = []
        var stored: [UInt64] = []
        var removed: [UInt64] = []
        func flush() {
            if !stored.isEmpty { runs.append(.stored(stored)) }
            if !removed.isEmpty { runs.append(.removed(removed)) }
            stored = []
            removed = []
        }
        for change in changes {
            switch change {
            case .store(let key, .gpu):
                if !removed.isEmpty { flush() }
                stored.append(key)
            case .remove(let key, .gpu):
                if !stored.isEmpty { flush() }
                removed.append(key)
            case .store(_, .cpu), .remove(_, .cpu): break
            case .clear:
                flush()
                runs.append(.cleared)
            }
        }
        flush()
        return runs
    }
}

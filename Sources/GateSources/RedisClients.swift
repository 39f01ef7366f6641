public import RedisClient
import Synchronization

/// One Redis client for each server that gates name, shared by all that ask it.
public final class RedisClients: Sendable {
    private struct State {
        var clients: [RedisAddress: RedisClient] = [:]
        var isClosed = false
    }

    private let prepare: @Sendable (inout RedisClient.Configuration) -> Void
    private let state = Mutex(State())

    /// Creates an empty set.
    ///
    /// - Parameter prepare: changes what is not in an address, such as the TLS files.
    public init(_ prepare: @escaping @Sendable (inout RedisClient.Configuration) -> Void = { _ in }) {
        self.prepare = prepare
    }

    /// Reads a server's address as gates give it: a Redis URL, or `host:port` without any login.
    public static func address(_ text: String) throws(RedisAddressError) -> RedisAddress {
        try RedisAddress(text.contains("://") ? text : "redis://" + text)
    }

    /// The client of a server; it connects when it is first used.
    public func client(at address: String) throws(RedisAddressError) -> RedisClient {
        let address = try Self.address(address)
        return state.withLock { state in
            if let client = state.clients[address] { return client }
            var configuration = RedisClient.Configuration(address: address)
            prepare(&configuration)
            let client = RedisClient(configuration)
            // After the end, a client that nobody keeps closes itself.
            if !state.isClosed { state.clients[address] = client }
            return client
        }
    }

    /// Closes all connections.
    public func close() async {
        let clients = state.withLock { state in
            state.isClosed = true
            defer { state.clients = [:] }
            return Array(state.clients.values)
        }
        for client in clients { await client.close() }
    }
}

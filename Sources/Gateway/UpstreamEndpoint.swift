import NIOCore

/// An endpoint as the sockets see it.
struct UpstreamEndpoint: Sendable {
    /// Its place among the endpoints of all pools.
    let number: Int
    let name: String
    let host: String
    let port: Int
    /// Known without asking a resolver if the host is an IP address.
    let address: SocketAddress?

    init(_ endpoint: GatewayEndpoint, number: Int) {
        self.number = number
        name = endpoint.name
        host = endpoint.host
        port = endpoint.port
        address = try? SocketAddress(ipAddress: endpoint.host, port: endpoint.port)
    }
}

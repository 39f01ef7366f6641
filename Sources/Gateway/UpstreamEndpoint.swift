import NIOCore
import Pool

/// An endpoint as the sockets see it.
struct UpstreamEndpoint: Hashable, Sendable {
    let name: String
    let host: String
    let port: Int
    /// Known without asking a resolver if the host is an IP address.
    let address: SocketAddress?

    init(_ endpoint: GatewayEndpoint) {
        name = endpoint.name
        host = endpoint.host
        port = endpoint.port
        address = try? SocketAddress(ipAddress: endpoint.host, port: endpoint.port)
    }

    static func == (left: UpstreamEndpoint, right: UpstreamEndpoint) -> Bool { left.name == right.name }
    func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

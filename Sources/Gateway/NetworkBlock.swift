public import NIOCore

/// A block of IP addresses in CIDR notation, to recognise callers by.
public struct NetworkBlock: Hashable, Sendable {
    private let network: [UInt8]
    private let prefixLength: Int

    /// This machine: `127.0.0.0/8` and `::1/128`.
    public static let loopback = ["127.0.0.0/8", "::1/128"].compactMap { NetworkBlock($0) }

    /// Reads `address/prefixLength`, or a single address; nil if `text` is neither.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = try? SocketAddress(ipAddress: String(first), port: 0),
            let bytes = Self.bytes(of: address)
        else { return nil }
        network = bytes
        guard parts.count == 2 else {
            prefixLength = bytes.count * 8
            return
        }
        guard let length = Int(parts[1]), (0...bytes.count * 8).contains(length) else { return nil }
        prefixLength = length
    }

    /// Whether `address` lies in the block. An IPv4 address mapped into IPv6 counts as the IPv4 address.
    public func contains(_ address: SocketAddress) -> Bool {
        guard var bytes = Self.bytes(of: address) else { return false }
        let isMapped =
            bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        if isMapped { bytes.removeFirst(12) }
        guard bytes.count == network.count else { return false }
        let whole = prefixLength / 8
        guard bytes[..<whole] == network[..<whole] else { return false }
        let rest = prefixLength % 8
        return rest == 0 || (bytes[whole] ^ network[whole]) >> (8 - rest) == 0
    }

    private static func bytes(of address: SocketAddress) -> [UInt8]? {
        // Offsets of the address in `sockaddr_in` and `sockaddr_in6`, the same on all systems.
        switch address {
        case .v4(let address): withUnsafeBytes(of: address.address) { Array($0[4..<8]) }
        case .v6(let address): withUnsafeBytes(of: address.address) { Array($0[8..<24]) }
        case .unixDomainSocket: nil
        }
    }
}

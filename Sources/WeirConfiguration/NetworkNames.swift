import Foundation

/// Where a listener binds: a host name or address, and a port.
public struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// A host name, IPv4 address or IPv6 address without brackets.
    public var host: String
    /// The TCP port; 0 lets the system choose a free one.
    public var port: Int

    /// Creates an address from its parts.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port` or `[ipv6]:port`; nil if the text is neither.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65_535).contains(port)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, host.allSatisfy({ !$0.isWhitespace && $0 != "/" && $0 != "@" }) else { return nil }
        self.init(host: String(host), port: port)
    }

    /// `host:port`, with brackets around an IPv6 address.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// The root of a model server: host and port, spoken to in plain HTTP. Paths are those of the requests themselves.
public struct EndpointURL: Hashable, Sendable, CustomStringConvertible {
    /// A host name, IPv4 address or IPv6 address without brackets.
    public var host: String
    /// The TCP port.
    public var port: Int

    /// Creates a URL from its parts.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `http://host[:port]`; nil if the text is something else, or has credentials or a path.
    public init?(_ text: String) {
        guard let url = try? EndpointURL(parsing: text) else { return nil }
        self = url
    }

    /// Like `init?(_:)`, saying what is wrong without repeating credentials that the text contains.
    init(parsing text: String) throws(ScalarFault) {
        let found = ", found \(ScalarFault.quoted(text))"
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts.first?.lowercased() == "http" else {
            if parts.first?.lowercased() == "https" {
                throw ScalarFault(message: "model servers are spoken to in plain HTTP; https is not supported")
            }
            throw ScalarFault(message: "expected a URL such as http://10.0.0.7:8000\(text.contains("@") ? "" : found)")
        }
        let rest = parts[1]
        guard !rest.contains("@") else { throw ScalarFault(message: "a URL here must not contain credentials") }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let tail = rest.dropFirst(authority.count)
        guard tail.isEmpty || tail == "/" else {
            throw ScalarFault(
                message: "leave out \"\(tail)\": the path of each request is added to scheme, host and port")
        }
        let hasPort = authority.last != "]" && authority.contains(":")
        guard let address = ListenAddress(hasPort ? String(authority) : "\(authority):80"), address.port > 0
        else { throw ScalarFault(message: "expected a URL such as http://10.0.0.7:8000\(found)") }
        host = address.host
        port = address.port
    }

    /// `http://host:port`, always with the port.
    public var description: String {
        "http://\(ListenAddress(host: host, port: port))"
    }
}

/// A block of IP addresses in CIDR notation, such as `10.0.0.0/8` or `::1/128`; a single address is a block of one.
public struct AddressBlock: Hashable, Sendable, CustomStringConvertible {
    /// The network's address: 4 bytes for IPv4, 16 for IPv6, in network order.
    public let bytes: [UInt8]
    /// How many leading bits are significant.
    public let prefixLength: Int

    /// Reads CIDR notation or a single address; nil if the text is neither.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let bytes = AddressBlock.bytes(of: String(first)) else { return nil }
        var length = bytes.count * 8
        if parts.count == 2 {
            guard let given = Int(parts[1]), (0...length).contains(given) else { return nil }
            length = given
        }
        self.bytes = bytes
        prefixLength = length
    }

    /// Whether the address lies in the block.
    ///
    /// - Parameter address: 4 or 16 bytes in network order. An IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`), as a
    ///   dual-stack listener reports it, is matched as IPv4.
    public func contains(_ address: some RandomAccessCollection<UInt8>) -> Bool {
        let mappedPrefix = [UInt8](repeating: 0, count: 10) + [0xff, 0xff]
        let isMapped = address.count == 16 && bytes.count == 4 && address.starts(with: mappedPrefix)
        let candidate = isMapped ? Array(address.suffix(4)) : Array(address)
        guard candidate.count == bytes.count else { return false }
        var bitsLeft = prefixLength
        for (own, other) in zip(bytes, candidate) {
            guard bitsLeft > 0 else { return true }
            let mask = bitsLeft >= 8 ? UInt8.max : ~(UInt8.max >> UInt8(bitsLeft))
            if own & mask != other & mask { return false }
            bitsLeft -= 8
        }
        return true
    }

    /// CIDR notation.
    public var description: String {
        if bytes.count == 4 { return bytes.map { String($0) }.joined(separator: ".") + "/\(prefixLength)" }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        _ = inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            + "/\(prefixLength)"
    }

    private static func bytes(of text: String) -> [UInt8]? {
        var four = [UInt8](repeating: 0, count: 4)
        if inet_pton(AF_INET, text, &four) == 1 { return four }
        var sixteen = [UInt8](repeating: 0, count: 16)
        return inet_pton(AF_INET6, text, &sixteen) == 1 ? sixteen : nil
    }
}

import InferenceAPI
import NIOHTTP1

/// Which headers pass the gateway.
enum MessageHeaders {
    /// Meant for one connection only (RFC 9110 7.6.1), or written by the gateway itself: length and correlation id.
    private static func isReplaced(_ name: String) -> Bool {
        switch name.utf8.count {
        case 2: same(name, "te")
        case 7: same(name, "upgrade") || same(name, "trailer")
        case 10: same(name, "connection") || same(name, "keep-alive")
        case 12: same(name, HeaderName.requestID)
        case 14: same(name, HeaderName.contentLength)
        case 16: same(name, "proxy-connection")
        case 17: same(name, "transfer-encoding")
        case 18: same(name, "proxy-authenticate")
        case 19: same(name, "proxy-authorization")
        default: false
        }
    }

    /// The head for the endpoint: without hop-by-hop and untrusted control headers, with its host and the request's id.
    ///
    /// - Parameter framing: the body as it will be sent.
    static func upstreamHead(
        of head: HTTPRequestHead, endpoint: String, requestID: String, isTrusted: Bool, framing: BodyFraming
    ) -> HTTPRequestHead {
        var headers = HTTPHeaders()
        headers.reserveCapacity(head.headers.count + 2)
        headers.add(name: "host", value: endpoint)
        let named = connectionOptions(head.headers)
        for (name, value) in head.headers {
            if isReplaced(name) || same(name, "host") || same(name, "expect") || isNamed(name, in: named)
                || (!isTrusted && HeaderName.isControl(name))
            {
                continue
            }
            headers.add(name: name, value: value)
        }
        headers.add(name: HeaderName.requestID, value: requestID)
        framing.write(to: &headers)
        return HTTPRequestHead(version: .http1_1, method: head.method, uri: head.uri, headers: headers)
    }

    /// The headers of an endpoint's answer for the client, but for framing and connection.
    static func answerHeaders(of head: HTTPResponseHead, requestID: String, isEventStream: Bool) -> HTTPHeaders {
        var headers = HTTPHeaders()
        headers.reserveCapacity(head.headers.count + 3)
        let named = connectionOptions(head.headers)
        for (name, value) in head.headers {
            if isReplaced(name) || isNamed(name, in: named) || (isEventStream && same(name, "x-accel-buffering")) {
                continue
            }
            headers.add(name: name, value: value)
        }
        headers.add(name: HeaderName.requestID, value: requestID)
        // Asks proxies of the nginx family not to collect events before they pass them on.
        if isEventStream { headers.add(name: "x-accel-buffering", value: "no") }
        return headers
    }

    private static func connectionOptions(_ headers: HTTPHeaders) -> [Substring] {
        guard headers.contains(name: "connection") else { return [] }
        let values = headers["connection"]
        if values.allSatisfy({ same($0, "close") || same($0, "keep-alive") }) { return [] }
        return headers[canonicalForm: "connection"].filter { !same($0, "close") && !same($0, "keep-alive") }
    }

    private static func isNamed(_ name: String, in options: [Substring]) -> Bool {
        !options.isEmpty && options.contains { same(name, $0) }
    }

    /// Compares header names without regard to ASCII case.
    static func same(_ left: some StringProtocol, _ right: some StringProtocol) -> Bool {
        guard left.utf8.count == right.utf8.count else { return false }
        let result = left.utf8.withContiguousStorageIfAvailable { left in
            right.utf8.withContiguousStorageIfAvailable { right in
                left.indices.allSatisfy { left[$0] == right[$0] || lowercase(left[$0]) == lowercase(right[$0]) }
            }
        }
        // Only strings bridged from other languages are not contiguous.
        return (result ?? nil) ?? (left.lowercased() == right.lowercased())
    }

    private static func lowercase(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}

/// How the end of a body is marked on the wire.
enum BodyFraming: Hashable {
    /// There is no body and none is announced.
    case none
    /// So many bytes.
    case length(Int)
    /// In chunks.
    case chunked

    func write(to headers: inout HTTPHeaders) {
        switch self {
        case .none: break
        case .length(let bytes): headers.add(name: HeaderName.contentLength, value: String(bytes))
        case .chunked: headers.add(name: "transfer-encoding", value: "chunked")
        }
    }
}

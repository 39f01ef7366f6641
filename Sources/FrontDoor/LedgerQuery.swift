import InferenceAPI
import MessageQueues

/// What a request about requests asks for, as its target says. Pure.
enum LedgerQuery: Hashable {
    /// The requests that pass the filter, behind the one with an id.
    case list(state: RequestState?, model: String?, limit: Int, after: String?)
    /// One request.
    case request(String)

    /// Where requests are found.
    static let path = "/v1/requests"
    private static let limits = 1...100
    private static let usualLimit = 20
    private static let textLimitBytes = 1024

    /// Reads a target under `path`.
    init(target: String) throws(APIError) {
        let plain = target.prefix { $0 != "#" }
        let parts = plain.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let rest = (parts.first ?? "").dropFirst(Self.path.count).drop { $0 == "/" }
        guard rest.isEmpty else {
            guard let id = Self.decoded(rest, plusIsSpace: false), id.utf8.count <= MessageCodec.maximumIDBytes else {
                throw .notFound(path: target)
            }
            self = .request(id)
            return
        }
        var state: RequestState?
        var model: String?
        var limit = Self.usualLimit
        var after: String?
        for item in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
            let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(pair[0], plusIsSpace: true),
                let value = Self.decoded(pair.count > 1 ? pair[1] : "", plusIsSpace: true),
                value.utf8.count <= Self.textLimitBytes
            else { throw .malformedRequest("query cannot be read") }
            switch name {
            case "status": state = try Self.state(value)
            case "model": model = value
            case "limit":
                guard let number = Int(value), Self.limits.contains(number) else {
                    throw .invalidValue(
                        of: "limit",
                        expected: "a whole number from \(Self.limits.lowerBound) to \(Self.limits.upperBound)")
                }
                limit = number
            case "after": after = value
            default: break
            }
        }
        self = .list(state: state, model: model, limit: limit, after: after)
    }

    private static func state(_ text: String) throws(APIError) -> RequestState {
        guard let state = RequestState(rawValue: text) else {
            let names = RequestState.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalidValue(of: "status", expected: "one of \(names)")
        }
        return state
    }

    /// Undoes percent-encoding; nil if it is broken or does not encode UTF-8.
    private static func decoded(_ text: Substring, plusIsSpace: Bool) -> String? {
        var bytes: [UInt8] = []
        var iterator = text.utf8.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = iterator.next().flatMap(hexadecimalValue),
                    let low = iterator.next().flatMap(hexadecimalValue)
                else { return nil }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func hexadecimalValue(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

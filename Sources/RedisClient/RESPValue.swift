/// One value of the Redis protocol; the replies of both protocol versions (RESP2 and RESP3) read into this.
///
/// Source: the RESP specification, redis.io/docs/latest/develop/reference/protocol-spec.
public enum RESPValue: Hashable, Sendable {
    /// A short text such as `OK`.
    case simple(String)
    /// The server refuses a command.
    case error(RedisServerError)
    /// A whole number.
    case integer(Int64)
    /// A number with a fraction (RESP3; RESP2 sends a bulk string).
    case double(Double)
    /// True or false (RESP3; RESP2 sends 1 or 0).
    case boolean(Bool)
    /// A whole number of any length, as its digits (RESP3).
    case bigNumber(String)
    /// A string of bytes; RESP3's verbatim strings also arrive as this, without their format prefix.
    case bulk([UInt8])
    /// No value: RESP3's null, and RESP2's null bulk string and null array.
    case null
    /// Values in order.
    case array([RESPValue])
    /// Values that are all different, in no particular order (RESP3; RESP2 sends an array).
    case set([RESPValue])
    /// Keys with their values, in the order of arrival (RESP3; RESP2 sends an array of keys and values in turn).
    case map([RESPMapEntry])
    /// A message that is not the reply to a command (RESP3).
    case push([RESPValue])
}

/// A key and its value in a `RESPValue.map`.
public struct RESPMapEntry: Hashable, Sendable {
    /// The key.
    public let key: RESPValue
    /// The value.
    public let value: RESPValue

    /// Creates an entry.
    public init(key: RESPValue, value: RESPValue) {
        self.key = key
        self.value = value
    }
}

extension RESPValue {
    /// Whether this is no value.
    public var isNull: Bool { self == .null }

    /// The bytes of a string; nil for every other kind of value.
    public var asBytes: [UInt8]? {
        switch self {
        case .bulk(let bytes): bytes
        case .simple(let text), .bigNumber(let text): Array(text.utf8)
        default: nil
        }
    }

    /// A string or a number as text; bytes that are not UTF-8 are replaced by U+FFFD. Nil for every other kind of value.
    public var asString: String? {
        switch self {
        case .bulk(let bytes): String(decoding: bytes, as: UTF8.self)
        case .simple(let text), .bigNumber(let text): text
        case .integer(let number): String(number)
        case .double(let number): String(number)
        default: nil
        }
    }

    /// A whole number, also when it is sent as text or as a truth value; nil for every other value.
    public var asInteger: Int64? {
        switch self {
        case .integer(let number): number
        case .boolean(let isTrue): isTrue ? 1 : 0
        case .double(let number): Int64(exactly: number)
        case .bulk, .simple, .bigNumber: asString.flatMap { Int64($0) }
        default: nil
        }
    }

    /// A number, also when it is sent as text (`1.5`, `inf`); nil for every other value.
    public var asDouble: Double? {
        switch self {
        case .double(let number): number
        case .integer(let number): Double(number)
        case .bulk, .simple, .bigNumber: asString.flatMap { Double($0) }
        default: nil
        }
    }

    /// The elements of an array, a set or a push; nil for every other kind of value.
    public var asArray: [RESPValue]? {
        switch self {
        case .array(let elements), .set(let elements), .push(let elements): elements
        default: nil
        }
    }

    /// Keys and values of a map, or of an array that holds them in turn as RESP2 sends it; nil for every other value.
    public var asEntries: [RESPMapEntry]? {
        switch self {
        case .map(let entries):
            return entries
        case .array(let elements) where elements.count.isMultiple(of: 2):
            return stride(from: 0, to: elements.count, by: 2).map {
                RESPMapEntry(key: elements[$0], value: elements[$0 + 1])
            }
        default:
            return nil
        }
    }
}

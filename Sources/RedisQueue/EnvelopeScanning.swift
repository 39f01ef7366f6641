import Basics
import MessageQueues

/// Reading values whose writer may have put something else there: what does not fit counts as absent, as an optional member
/// that this program does not depend on.
extension JSONScanner {
    mutating func readOptionalString() throws(JSONScanError) -> String? {
        if peek() == UInt8(ascii: "\"") { return try readString() }
        _ = try skipValue()
        return nil
    }

    /// A whole number, also as text.
    mutating func readOptionalInteger() throws(JSONScanError) -> Int? {
        switch peek() {
        case UInt8(ascii: "\""): return Int(try readString())
        case let byte? where Self.beginsNumber(byte): return Int(try readNumber())
        default:
            _ = try skipValue()
            return nil
        }
    }

    /// A time in Unix milliseconds; 0 and less count as absent.
    mutating func readOptionalMilliseconds() throws(JSONScanError) -> Instant? {
        guard let stamp = try readOptionalInteger(), stamp > 0 else { return nil }
        let latest = Int(Instant.distantFuture.nanoseconds / 1_000_000)
        return Instant(nanoseconds: Int64(min(stamp, latest)) * 1_000_000)
    }

    mutating func readOptionalFlag() throws(JSONScanError) -> Bool? {
        let byte = peek()
        _ = try skipValue()
        return byte == UInt8(ascii: "t") ? true : byte == UInt8(ascii: "f") ? false : nil
    }

    /// An object's members that are strings.
    mutating func readOptionalMap() throws(JSONScanError) -> [String: String] {
        guard peek() == UInt8(ascii: "{") else {
            _ = try skipValue()
            return [:]
        }
        var map: [String: String] = [:]
        try readObject { scanner, key throws(JSONScanError) in map[key] = try scanner.readOptionalString() }
        return map
    }
}

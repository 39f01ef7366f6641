import Basics
import InferenceAPI

/// A JSON object on one line, members in the order of the calls.
struct JSONLine {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    /// Closes the object.
    consuming func finish() -> [UInt8] {
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    mutating func member(_ name: String, _ text: String) {
        open(name)
        JSONText.appendString(text, to: &bytes)
    }

    mutating func member(_ name: String, _ number: Int) {
        open(name)
        bytes.append(contentsOf: String(number).utf8)
    }

    /// Unix seconds, with milliseconds where there are some.
    mutating func member(_ name: String, _ instant: Instant) {
        open(name)
        let milliseconds = (instant.nanoseconds + 500_000) / 1_000_000
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        bytes.append(contentsOf: "\(seconds)\(rest == 0 ? "" : ".\(String(rest + 1000).dropFirst())")".utf8)
    }

    mutating func member(_ name: String, _ map: [String: String]) {
        var object = JSONLine()
        for (key, value) in map.sorted(by: { $0.key < $1.key }) { object.member(key, value) }
        member(name, json: object.finish())
    }

    /// A value that is JSON already.
    mutating func member(_ name: String, json value: [UInt8]) {
        open(name)
        bytes.append(contentsOf: Self.flattened(value))
    }

    /// JSON without line ends, which it may have between values only, and so may lose.
    static func flattened(_ json: [UInt8]) -> [UInt8] {
        json.map { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") ? UInt8(ascii: " ") : $0 }
    }

    private mutating func open(_ name: String) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        JSONText.appendString(name, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }
}

import Basics
import InferenceAPI

/// Writes a JSON object, members in the order of the calls.
struct ObjectText {
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

    mutating func member(_ name: String, _ flag: Bool) {
        open(name)
        bytes.append(contentsOf: String(flag).utf8)
    }

    /// Seconds since the Unix epoch, with up to three decimals, rounded as in the results' lines.
    mutating func member(_ name: String, _ instant: Instant) {
        open(name)
        let rounded = (instant.nanoseconds + 500_000) / 1_000_000
        let (seconds, milliseconds) = rounded.quotientAndRemainder(dividingBy: 1000)
        bytes.append(contentsOf: String(seconds).utf8)
        if milliseconds > 0 { bytes.append(contentsOf: ".\(String(1000 + milliseconds).dropFirst())".utf8) }
    }

    /// A value that is JSON already.
    mutating func member(_ name: String, json: [UInt8]) {
        open(name)
        bytes.append(contentsOf: json)
    }

    mutating func member(_ name: String, _ objects: [[UInt8]]) {
        open(name)
        bytes.append(UInt8(ascii: "["))
        for (index, object) in objects.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: object)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    private mutating func open(_ name: String) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        JSONText.appendString(name, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }
}

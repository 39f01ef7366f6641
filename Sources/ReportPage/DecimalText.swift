/// Numbers as text with a fixed number of decimals, the same on every machine.
package enum DecimalText {
    /// `value` rounded to `places` decimals; JSON has no infinities, so they and NaN become 0.
    package static func fixed(_ value: Double, _ places: Int) -> String {
        let power = (0..<places).reduce(1.0) { product, _ in product * 10 }
        let scaled = (value * power).rounded()
        guard scaled.isFinite, abs(scaled) < 9e15 else { return places > 0 ? "0." + zeros(places) : "0" }
        let whole = Int64(abs(scaled))
        let digits = String(whole)
        let sign = scaled < 0 && whole != 0 ? "-" : ""
        guard places > 0 else { return sign + digits }
        let padded = digits.count > places ? digits : zeros(places + 1 - digits.count) + digits
        return sign + padded.dropLast(places) + "." + padded.suffix(places)
    }

    /// A whole number with thousands separated by commas.
    package static func grouped(_ value: Int) -> String {
        var text = ""
        for (position, digit) in String(abs(value)).reversed().enumerated() {
            if position > 0, position % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return (value < 0 ? "-" : "") + String(text.reversed())
    }

    private static func zeros(_ count: Int) -> String { String(repeating: "0", count: count) }
}

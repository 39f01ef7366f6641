public import Basics

extension TimeSpan {
    /// Reads a length of time from a header: a number of seconds (`30`, `1.5`) or a number with a unit (`250ms`, `30s`,
    /// `2m`, `1h`); nil if the text is neither, negative, or longer than a year.
    public init?(headerValue text: some StringProtocol) {
        let text = text.drop { $0 == " " || $0 == "\t" }
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard digits.count <= 18, let number = Double(digits), number.isFinite else { return nil }
        let unit = text.dropFirst(digits.count)
        let secondsPerUnit: Double
        switch String(unit.filter { $0 != " " && $0 != "\t" }) {
        case "", "s": secondsPerUnit = 1
        case "ms": secondsPerUnit = 0.001
        case "m": secondsPerUnit = 60
        case "h": secondsPerUnit = 3600
        default: return nil
        }
        let seconds = number * secondsPerUnit
        guard seconds <= 366 * 86_400 else { return nil }
        self = .seconds(seconds)
    }
}

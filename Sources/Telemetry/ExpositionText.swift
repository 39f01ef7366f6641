/// Builds the Prometheus text exposition format, version 0.0.4.
public struct ExpositionText: Sendable {
    /// The media type under which the text is served.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// What has been written so far.
    public private(set) var bytes: [UInt8] = []

    /// Starts an empty text.
    public init() {}

    /// The two comment lines that open a family.
    mutating func open(_ definition: MetricDefinition) {
        let type =
            switch definition.kind {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        append("# HELP \(definition.name) \(Self.escape(definition.help, quotes: false))\n")
        append("# TYPE \(definition.name) \(type)\n")
    }

    /// One sample.
    ///
    /// - Parameter labels: the labels as they stand between the braces; empty for none.
    public mutating func sample(_ name: String, labels: String, value: Double) {
        append(name)
        if !labels.isEmpty { append("{\(labels)}") }
        append(" \(Self.number(value))\n")
    }

    /// Labels as they stand between the braces.
    static func labels(_ names: [String], _ values: [String]) -> String {
        zip(names, values).map { "\($0)=\"\(escape($1, quotes: true))\"" }.joined(separator: ",")
    }

    /// A number as Prometheus reads it: without a fraction where there is none.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return value == value.rounded() && abs(value) < 9e15 ? String(Int64(value)) : value.description
    }

    private static func escape(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == 0x5c || $0 == 0x0a || (quotes && $0 == 0x22) }) else { return text }
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }
}

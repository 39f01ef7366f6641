import Basics

/// Takes the parameters of one gate one by one, so that what nobody took can be told at the end.
struct GateParameterReader {
    private let values: [String: GateParameter]
    private let place: String
    private var known: Set<String> = []

    init(_ values: [String: GateParameter], place: String) {
        self.values = values
        self.place = place
    }

    /// The key path of a parameter.
    func path(_ key: String) -> String { "\(place).\(key)" }

    /// Ends the reading: a parameter that was not asked for is an error.
    func finish(type: String) throws(GateConfigurationError) {
        guard let unknown = values.keys.filter({ !known.contains($0) }).min() else { return }
        let expected = known.isEmpty ? "it takes none" : "expected one of \(known.sorted().joined(separator: ", "))"
        throw GateConfigurationError(path: path(unknown), problem: "\(type) has no such parameter; \(expected)")
    }

    mutating func text(_ key: String) throws(GateConfigurationError) -> String? {
        switch value(key) {
        case nil: return nil
        case .text(let text)?: return text
        case .number(let number)?: return GateParameter.plain(number)
        case .bool(let bool)?: return bool ? "true" : "false"
        case .some(let other): throw wrong(key, "text", other)
        }
    }

    mutating func requiredText(_ key: String) throws(GateConfigurationError) -> String {
        guard let text = try text(key) else { throw missing(key) }
        return text
    }

    /// A finite number within a range.
    mutating func number(
        _ key: String, in range: ClosedRange<Double>
    ) throws(GateConfigurationError) -> Double? {
        guard let value = value(key) else { return nil }
        let number: Double? =
            switch value {
            case .number(let number): number
            case .text(let text): Double(text)
            case .bool, .list, .object: nil
            }
        guard let number, number.isFinite, range.contains(number) else {
            throw wrong(key, Self.description(of: range), value)
        }
        return number
    }

    /// A number above zero.
    mutating func positive(_ key: String) throws(GateConfigurationError) -> Double? {
        try number(key, in: Double.leastNonzeroMagnitude...Self.large)
    }

    /// A whole number from 1.
    mutating func count(_ key: String) throws(GateConfigurationError) -> Int? {
        guard let given = value(key) else { return nil }
        guard let number = try number(key, in: 1...Self.large), let whole = Int(exactly: number) else {
            throw wrong(key, "a whole number", given)
        }
        return whole
    }

    mutating func requiredCount(_ key: String) throws(GateConfigurationError) -> Int {
        guard let count = try count(key) else { throw missing(key) }
        return count
    }

    /// A length of time as Go writes it.
    mutating func duration(_ key: String) throws(GateConfigurationError) -> TimeSpan? {
        guard let given = value(key) else { return nil }
        guard let text = try text(key), let span = GateDuration.read(text) else {
            throw wrong(key, "a duration such as 500ms, 30s or 1m30s", given)
        }
        return span
    }

    /// One of the words of an enumeration.
    mutating func word<Word: RawRepresentable<String> & CaseIterable>(
        _ key: String, of: Word.Type
    ) throws(GateConfigurationError) -> Word? {
        guard let given = value(key) else { return nil }
        guard let text = try text(key), let word = Word(rawValue: text) else {
            throw wrong(key, Word.allCases.map(\.rawValue).joined(separator: " or "), given)
        }
        return word
    }

    /// An object, also as JSON in a text.
    mutating func object(_ key: String) throws(GateConfigurationError) -> [String: GateParameter]? {
        guard let value = try structure(key) else { return nil }
        guard case .object(let members) = value else { throw wrong(key, "an object", value) }
        return members
    }

    /// An object of texts, also as JSON in a text.
    mutating func labels(_ key: String) throws(GateConfigurationError) -> [String: String] {
        guard let members = try object(key) else { return [:] }
        var inner = GateParameterReader(members, place: path(key))
        var labels: [String: String] = [:]
        for name in members.keys.sorted() { labels[name] = try inner.text(name) ?? "" }
        return labels
    }

    mutating func gate(_ key: String) throws(GateConfigurationError) -> NestedGate {
        guard let value = try structure(key) else { throw missing(key) }
        return try NestedGate(value, at: path(key))
    }

    mutating func gates(_ key: String) throws(GateConfigurationError) -> [NestedGate] {
        guard let value = try structure(key) else { throw missing(key) }
        guard case .list(let items) = value else { throw wrong(key, "a list of gates", value) }
        guard !items.isEmpty else {
            throw GateConfigurationError(path: path(key), problem: "expected at least one gate")
        }
        var gates: [NestedGate] = []
        for (index, item) in items.enumerated() {
            gates.append(try NestedGate(item, at: "\(path(key))[\(index)]"))
        }
        return gates
    }

    private static let large = 1e15

    /// What was given under a key. An empty text is nothing, as upstream reads it.
    private mutating func value(_ key: String) -> GateParameter? {
        known.insert(key)
        let value = values[key]
        return value == .text("") ? nil : value
    }

    private mutating func structure(_ key: String) throws(GateConfigurationError) -> GateParameter? {
        guard let value = value(key) else { return nil }
        guard case .text(let text) = value else { return value }
        do {
            return try GateParameter(json: text)
        } catch {
            throw GateConfigurationError(path: path(key), problem: "the JSON in this text is broken: \(error)")
        }
    }

    private static func description(of range: ClosedRange<Double>) -> String {
        let from = GateParameter.plain(range.lowerBound)
        if range.lowerBound == .leastNonzeroMagnitude { return "a number above 0" }
        if range.upperBound >= large { return "a number from \(from)" }
        return "a number from \(from) to \(GateParameter.plain(range.upperBound))"
    }

    private func wrong(_ key: String, _ expected: String, _ value: GateParameter) -> GateConfigurationError {
        GateConfigurationError(path: path(key), problem: "expected \(expected), got \(value.kind)")
    }

    private func missing(_ key: String) -> GateConfigurationError {
        GateConfigurationError(path: path(key), problem: "is required")
    }
}

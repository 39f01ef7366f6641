import Yams

/// A mapping of the file with its known keys.
struct ReadSection {
    var path: String
    var entries: [String: Node] = [:]

    /// The place of a key.
    func place(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// Whether a key is written, null included.
    func has(_ key: String) -> Bool { entries[key] != nil }
}

/// Walks a parsed file and collects what is wrong with it, so that a user sees every problem in one go.
///
/// As strict as the original: an unknown key is an error, and a number in quotes is text and not a number.
struct StrictReader {
    let file: String
    private(set) var problems: [EndpointPickerProblem] = []
    private(set) var notices: [EndpointPickerProblem] = []
    private var marks: [String: Mark] = [:]

    init(file: String) { self.file = file }

    /// Notes an error at a place, with the line of the nearest place around it that is written in the file.
    mutating func report(_ path: String, _ message: String) {
        if problems.count < EndpointPickerConfigurationError.limit { problems.append(remark(path, message)) }
    }

    /// Notes that something is accepted without effect, or with another effect than might be expected.
    mutating func notice(_ path: String, _ message: String) {
        if notices.count < EndpointPickerConfigurationError.limit { notices.append(remark(path, message)) }
    }

    private func remark(_ path: String, _ message: String) -> EndpointPickerProblem {
        var written = path
        while marks[written] == nil, let dot = written.lastIndex(where: { $0 == "." || $0 == "[" }) {
            written = String(written[..<dot])
        }
        let mark = marks[written]
        return EndpointPickerProblem(
            file: file, keyPath: path, line: mark?.line, column: mark?.column, message: message)
    }

    /// The mapping at a place; a missing or null one reads as empty. Without `keys` any key is accepted.
    mutating func section(_ node: Node?, at path: String, keys: [String]? = nil) -> ReadSection {
        var section = ReadSection(path: path)
        guard let node else { return section }
        marks[path] = node.mark
        if isNull(node) { return section }
        guard case .mapping(let mapping) = node else {
            report(path, "expected a mapping, found \(Self.kind(of: node))")
            return section
        }
        for (keyNode, value) in mapping {
            guard case .scalar(let key) = keyNode else {
                report(path, "expected a name as key, found \(Self.kind(of: keyNode))")
                continue
            }
            let place = section.place(of: key.string)
            marks[place] = value.mark ?? keyNode.mark
            if let keys, !keys.contains(key.string) {
                report(
                    place,
                    keys.isEmpty
                        ? "is not a known key; none is expected here"
                        : "is not a known key; expected one of \(keys.joined(separator: ", "))")
                continue
            }
            section.entries[key.string] = value
        }
        return section
    }

    /// The mapping under a key.
    mutating func section(_ key: String, in section: ReadSection, keys: [String]? = nil) -> ReadSection {
        self.section(section.entries[key], at: section.place(of: key), keys: keys)
    }

    /// The elements of the list under a key, each with its place; a missing list reads as empty.
    mutating func list(_ key: String, in section: ReadSection) -> [(node: Node, path: String)] {
        guard let node = written(key, in: section) else { return [] }
        let path = section.place(of: key)
        guard case .sequence(let sequence) = node else {
            report(path, "expected a list, found \(Self.kind(of: node))")
            return []
        }
        return sequence.enumerated().map { index, element in
            let place = "\(path)[\(index)]"
            marks[place] = element.mark
            return (element, place)
        }
    }

    /// Text under a key.
    mutating func text(_ key: String, in section: ReadSection) -> String? {
        guard let node = written(key, in: section) else { return nil }
        return text(node, at: section.place(of: key))
    }

    /// Text at a place.
    mutating func text(_ node: Node, at path: String) -> String? {
        guard case .scalar(let scalar) = node, !Self.isAny(node, of: [.int, .float, .bool, .null]) else {
            report(path, "expected text, found \(Self.kind(of: node))")
            return nil
        }
        return scalar.string
    }

    /// The list of texts under a key.
    mutating func texts(_ key: String, in section: ReadSection) -> [String] {
        list(key, in: section).compactMap { text($0.node, at: $0.path) }
    }

    /// Text under a key that must be one of some words.
    mutating func word<Word: RawRepresentable & CaseIterable>(
        _ key: String, in section: ReadSection, _ type: Word.Type
    ) -> Word? where Word.RawValue == String {
        guard let text = text(key, in: section) else { return nil }
        if let word = Word(rawValue: text) { return word }
        let words = Word.allCases.map(\.rawValue).joined(separator: ", ")
        report(section.place(of: key), "is \(text), expected one of \(words)")
        return nil
    }

    /// A whole number under a key, inside the range.
    mutating func whole(_ key: String, in section: ReadSection, _ range: ClosedRange<Int>? = nil) -> Int? {
        guard let node = written(key, in: section) else { return nil }
        let place = section.place(of: key)
        guard Self.isAny(node, of: [.int]), let value = node.int else {
            report(place, "expected a whole number, found \(Self.kind(of: node))")
            return nil
        }
        if let range, !range.contains(value) {
            let bound =
                value < range.lowerBound ? "at least \(range.lowerBound)" : "at most \(range.upperBound)"
            report(place, "is \(value), must be \(bound)")
            return nil
        }
        return value
    }

    /// A number under a key, inside the range.
    mutating func number(_ key: String, in section: ReadSection, _ range: ClosedRange<Double>? = nil) -> Double? {
        guard let node = written(key, in: section) else { return nil }
        let place = section.place(of: key)
        let isNumber = Self.isAny(node, of: [.int, .float])
        guard isNumber, let value = node.int.map(Double.init) ?? node.float, value.isFinite else {
            report(place, "expected a number, found \(Self.kind(of: node))")
            return nil
        }
        if let range, !range.contains(value) {
            let bound =
                value < range.lowerBound ? "at least \(range.lowerBound)" : "at most \(range.upperBound)"
            report(place, "is \(value), must be \(bound)")
            return nil
        }
        return value
    }

    /// true or false under a key.
    mutating func flag(_ key: String, in section: ReadSection) -> Bool? {
        guard let node = written(key, in: section) else { return nil }
        guard Self.isAny(node, of: [.bool]), let value = node.bool else {
            report(section.place(of: key), "expected true or false, found \(Self.kind(of: node))")
            return nil
        }
        return value
    }

    /// The scalar under a key as written, whatever its type.
    mutating func scalar(_ key: String, in section: ReadSection) -> String? {
        guard let node = written(key, in: section) else { return nil }
        guard case .scalar(let scalar) = node else {
            report(section.place(of: key), "expected one value, found \(Self.kind(of: node))")
            return nil
        }
        return scalar.string
    }

    private func written(_ key: String, in section: ReadSection) -> Node? {
        section.entries[key].flatMap { isNull($0) ? nil : $0 }
    }

    private func isNull(_ node: Node) -> Bool {
        if case .scalar = node { return Self.isAny(node, of: [.null]) }
        return false
    }

    /// Whether YAML reads the node as a value of one of some types.
    private static func isAny(_ node: Node, of names: [Tag.Name]) -> Bool { names.contains { node.tag == Tag($0) } }

    private static func kind(of node: Node) -> String {
        switch node {
        case .mapping: return "a mapping"
        case .sequence: return "a list"
        case .alias: return "an alias"
        case .scalar(let scalar):
            let text = scalar.string.prefix(40)
            if isAny(node, of: [.int, .float]) { return "the number \(text)" }
            if isAny(node, of: [.bool]) { return text.lowercased() }
            return isAny(node, of: [.null]) ? "nothing" : "the text \"\(text)\""
        }
    }
}

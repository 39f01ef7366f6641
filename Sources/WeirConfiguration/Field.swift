import Yams

/// A mapping of the file as a type: its defaults are those of `init()`, its keys are `fields`.
protocol Section: Sendable {
    init()
    static var fields: [Field<Self>] { get }
}

/// One key of a section. Reading, the reference page and the printed effective configuration all derive from it, so
/// that they cannot disagree.
struct Field<Root> {
    let key: String
    let type: String
    let isRequired: Bool
    let meaning: String
    /// Reads the key's node into the section; reports what is wrong to the reader instead of throwing.
    let read: (Node, String, inout ConfigurationReader, inout Root) -> Void
    /// The key's value as a node, with or without what is default below it; nil when it is not set.
    let node: (Root, NodeForm) -> Node?
    /// The rows of the reference for what lies below this key, given the key's path.
    let rowsBelow: (String) -> [ConfigurationReference.Row]

    init(
        key: String, type: String, isRequired: Bool = false, meaning: String,
        read: @escaping (Node, String, inout ConfigurationReader, inout Root) -> Void,
        node: @escaping (Root, NodeForm) -> Node?,
        rowsBelow: @escaping (String) -> [ConfigurationReference.Row] = { _ in [] }
    ) {
        self.key = key
        self.type = type
        self.isRequired = isRequired
        self.meaning = meaning
        self.read = read
        self.node = node
        self.rowsBelow = rowsBelow
    }

    /// A scalar that always has a value.
    static func scalar<Value>(
        _ key: String, _ path: WritableKeyPath<Root, Value>, _ format: ScalarFormat<Value>, required: Bool = false,
        _ meaning: String
    ) -> Field {
        Field(
            key: key, type: format.name, isRequired: required, meaning: meaning,
            read: { node, place, reader, root in
                if let value = reader.scalar(node, at: place, format) { root[keyPath: path] = value }
            },
            node: { root, _ in Node.text(format.print(root[keyPath: path])) })
    }

    /// A scalar that may be left out.
    static func optional<Value>(
        _ key: String, _ path: WritableKeyPath<Root, Value?>, _ format: ScalarFormat<Value>, _ meaning: String
    ) -> Field {
        Field(
            key: key, type: format.name, meaning: meaning,
            read: { node, place, reader, root in
                if let value = reader.scalar(node, at: place, format) { root[keyPath: path] = value }
            },
            node: { root, _ in root[keyPath: path].map { Node.text(format.print($0)) } })
    }

    /// A list of scalars.
    static func list<Value>(
        _ key: String, _ path: WritableKeyPath<Root, [Value]>, _ format: ScalarFormat<Value>, required: Bool = false,
        _ meaning: String
    ) -> Field {
        Field(
            key: key, type: "list of \(format.name)", isRequired: required, meaning: meaning,
            read: { node, place, reader, root in
                guard let elements = reader.elements(node, at: place, isSecret: format.isSecret) else { return }
                root[keyPath: path] = elements.enumerated().compactMap { index, element in
                    reader.scalar(element, at: "\(place)[\(index)]", format)
                }
            },
            node: { root, _ in Node(root[keyPath: path].map { Node.text(format.print($0)) }, .implicit, .flow) })
    }

    /// A section with defaults of its own.
    static func section<Child: Section>(
        _ key: String, _ path: WritableKeyPath<Root, Child>, _ meaning: String
    ) -> Field {
        Field(
            key: key, type: "section", meaning: meaning,
            read: { node, place, reader, root in
                if let value = reader.section(Child.self, node, at: place) { root[keyPath: path] = value }
            },
            node: { root, form in
                let node = root[keyPath: path].node(form)
                return form == .brief && node.mapping?.isEmpty == true ? nil : node
            },
            rowsBelow: { Child.rows(below: $0) })
    }

    /// A section that is absent unless it is written.
    static func optionalSection<Child: Section>(
        _ key: String, _ path: WritableKeyPath<Root, Child?>, _ meaning: String
    ) -> Field {
        Field(
            key: key, type: "section", meaning: meaning,
            read: { node, place, reader, root in
                if let value = reader.section(Child.self, node, at: place) { root[keyPath: path] = value }
            },
            node: { root, form in root[keyPath: path]?.node(form) },
            rowsBelow: { Child.rows(below: $0) })
    }

    /// A list of sections.
    static func sections<Child: Section>(
        _ key: String, _ path: WritableKeyPath<Root, [Child]>, required: Bool = false, _ meaning: String
    ) -> Field {
        Field(
            key: key, type: "list of sections", isRequired: required, meaning: meaning,
            read: { node, place, reader, root in
                guard let elements = reader.elements(node, at: place) else { return }
                root[keyPath: path] = elements.enumerated().compactMap { index, element in
                    reader.section(Child.self, element, at: "\(place)[\(index)]")
                }
            },
            node: { root, form in Node(root[keyPath: path].map { $0.node(form) }) },
            rowsBelow: { Child.rows(below: $0 + "[]") })
    }
}

/// How much of a section is printed.
enum NodeForm {
    /// Everything that is set, defaults included.
    case full
    /// What is required, and what differs from its default.
    case brief
}

extension Section {
    /// The section as a mapping.
    func node(_ form: NodeForm) -> Node {
        let defaults = Self()
        return Node(
            Self.fields.compactMap { field in
                guard let node = field.node(self, form) else { return nil }
                if form == .brief, !field.isRequired, node == field.node(defaults, form) { return nil }
                return (Node(field.key), node)
            })
    }

    /// The rows of the reference for the keys of this section.
    static func rows(below path: String) -> [ConfigurationReference.Row] {
        let defaults = Self()
        return fields.flatMap { field in
            let keyPath = path.isEmpty ? field.key : "\(path).\(field.key)"
            let defaultText = field.isRequired ? nil : field.node(defaults, .full)?.defaultText
            let row = ConfigurationReference.Row(
                keyPath: keyPath, type: field.type, isRequired: field.isRequired, defaultText: defaultText,
                meaning: field.meaning)
            return [row] + field.rowsBelow(keyPath)
        }
    }
}

extension Node {
    /// A scalar that reads back as the same text, also where plain YAML would read null.
    static func text(_ text: String) -> Node {
        Node(
            EnvironmentReferences.escape(text), .implicit,
            ConfigurationReader.nullWords.contains(text) ? .doubleQuoted : .any)
    }

    /// How the reference prints a default; nil for a mapping, whose keys have rows of their own.
    fileprivate var defaultText: String? {
        switch self {
        case .scalar(let scalar): scalar.string
        case .sequence(let sequence):
            sequence.isEmpty ? nil : sequence.compactMap(\.defaultText).joined(separator: ", ")
        case .mapping, .alias: nil
        }
    }
}

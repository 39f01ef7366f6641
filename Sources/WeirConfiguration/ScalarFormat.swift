import Basics

/// How one type of scalar is written in the file: read, checked, printed and named in the reference from one place.
struct ScalarFormat<Value> {
    /// What the reference calls the type.
    let name: String
    /// Whether the text must not be repeated in a message.
    let isSecret: Bool
    /// The value of a text.
    let parse: (String) throws(ScalarFault) -> Value
    /// The text of a value; `parse` reads it back, unless it is a secret.
    let print: (Value) -> String

    init(
        name: String, isSecret: Bool = false, parse: @escaping (String) throws(ScalarFault) -> Value,
        print: @escaping (Value) -> String
    ) {
        self.name = name
        self.isSecret = isSecret
        self.parse = parse
        self.print = print
    }

    /// A format whose only possible complaint is "expected `expectation`, found …".
    init(_ name: String, expectation: String, parse: @escaping (String) -> Value?, print: @escaping (Value) -> String) {
        self.init(
            name: name,
            parse: { text throws(ScalarFault) in
                guard let value = parse(text) else {
                    throw ScalarFault(message: "expected \(expectation), found \(ScalarFault.quoted(text))")
                }
                return value
            },
            print: print)
    }

    /// The same format with a further requirement, stated as in "must be `requirement`".
    func requiring(_ requirement: String, _ isMet: @escaping (Value) -> Bool) -> ScalarFormat {
        ScalarFormat(
            name: "\(name), \(requirement)",
            parse: { text throws(ScalarFault) in
                let value = try parse(text)
                guard isMet(value) else {
                    throw ScalarFault(message: "must be \(requirement), found \(ScalarFault.quoted(text))")
                }
                return value
            },
            print: print)
    }
}

/// Why a text is not a value of its type.
struct ScalarFault: Error {
    let message: String

    /// The text in quotes, shortened if it is long.
    static func quoted(_ text: String) -> String {
        text.count <= 60 ? "\"\(text)\"" : "\"\(text.prefix(60))…\""
    }
}

extension ScalarFormat where Value == String {
    static var text: Self {
        Self("text", expectation: "text that is not empty", parse: { $0.isEmpty ? nil : $0 }, print: { $0 })
    }

    /// The path part of a URL.
    static var urlPath: Self {
        Self(
            "path", expectation: "a path that starts with /",
            parse: { $0.hasPrefix("/") && !$0.contains { $0.isWhitespace } ? $0 : nil }, print: { $0 })
    }
}

extension ScalarFormat where Value == Bool {
    static var boolean: Self {
        Self("boolean", expectation: "true or false", parse: { Bool($0) }, print: { String($0) })
    }
}

extension ScalarFormat where Value == Int {
    static var integer: Self {
        Self("integer", expectation: "a whole number", parse: { Int($0) }, print: { String($0) })
    }

    /// A count that must not be negative.
    static var count: Self { integer.requiring("0 or more") { $0 >= 0 } }

    /// A count of at least one.
    static var positiveCount: Self { integer.requiring("1 or more") { $0 >= 1 } }

    static var size: Self {
        Self(
            "size", expectation: "a size such as 64KiB, 32MiB or 1GiB", parse: SizeText.parse, print: SizeText.text
        )
        .requiring("1B or more") { $0 >= 1 }
    }
}

extension ScalarFormat where Value == Double {
    static var number: Self {
        Self(
            "number", expectation: "a number", parse: { text in Double(text).flatMap { $0.isFinite ? $0 : nil } },
            print: { value in value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : String(value) })
    }

    /// A number that must not be negative.
    static var quantity: Self { number.requiring("0 or more") { $0 >= 0 } }

    /// A number that must be above zero.
    static var positiveNumber: Self { number.requiring("more than 0") { $0 > 0 } }

    /// A part of a whole that is not nothing.
    static var positiveShare: Self { number.requiring("more than 0 and at most 1") { $0 > 0 && $0 <= 1 } }

    /// A part of a whole.
    static var share: Self { number.requiring("between 0 and 1") { (0...1).contains($0) } }
}

extension ScalarFormat where Value == TimeSpan {
    static var duration: Self {
        Self(
            "duration", expectation: "a duration such as 500ms, 30s or 10m", parse: DurationText.parse,
            print: DurationText.text)
    }

    /// A duration that must be above zero.
    static var positiveDuration: Self { duration.requiring("longer than 0s") { $0 > .zero } }
}

extension ScalarFormat where Value == ListenAddress {
    static var listenAddress: Self {
        Self(
            "address", expectation: "host:port such as 127.0.0.1:8080 or [::1]:8080", parse: { ListenAddress($0) },
            print: { $0.description })
    }
}

extension ScalarFormat where Value == AddressBlock {
    static var addressBlock: Self {
        Self(
            "CIDR block", expectation: "a CIDR block such as 10.0.0.0/8 or ::1/128", parse: { AddressBlock($0) },
            print: { $0.description })
    }
}

extension ScalarFormat where Value == EndpointURL {
    static var endpointURL: Self {
        Self(
            name: "URL",
            parse: { text throws(ScalarFault) in try EndpointURL(parsing: text) },
            print: { $0.description })
    }
}

extension ScalarFormat where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of a fixed set of words.
    static var word: Self {
        let words = Value.allCases.map(\.rawValue)
        return Self(
            name: words.map { "`\($0)`" }.joined(separator: ", "),
            parse: { text throws(ScalarFault) in
                if let value = Value(rawValue: text) { return value }
                let hint = Suggestion.nearest(to: text, among: words).map { "; did you mean \($0)?" } ?? ""
                throw ScalarFault(
                    message:
                        "expected one of \(words.joined(separator: ", ")), found \(ScalarFault.quoted(text))\(hint)"
                )
            },
            print: { $0.rawValue })
    }
}

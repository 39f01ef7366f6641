import Basics
import WeirConfiguration

/// The flags of a command line, with their values.
struct FlagValues {
    private var texts: [String: String] = [:]
    /// The flags that were given, each once, in the order of the command line.
    private(set) var given: [Flag] = []

    /// Reads a command line the way Go programs do: one dash or two, the value after an equals sign or as the next word;
    /// the last of several wins.
    ///
    /// - Throws: a problem whose file is the flag.
    init(_ arguments: [String]) throws(ConfigurationError) {
        let names = Dictionary(uniqueKeysWithValues: Flag.all.map { ($0.name, $0) })
        var rest = arguments[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word.count > 1 else {
                throw Self.problem(word, "expected a flag, found this")
            }
            let body = word.drop { $0 == "-" }
            let name = String(body.prefix { $0 != "=" })
            guard let flag = names[name], word.count - body.count <= 2 else {
                let hint = Suggestion.nearest(to: name, among: Array(names.keys).sorted()).map {
                    "; did you mean --\($0)?"
                }
                throw Self.problem("--\(name)", "there is no such flag\(hint ?? "; --help lists them all")")
            }
            let value: String
            if body.count > name.count {
                value = String(body.dropFirst(name.count + 1))
            } else if flag.kind == .boolean {
                value = "true"
            } else if let next = rest.popFirst() {
                value = next
            } else {
                throw Self.problem("--\(name)", "needs a value")
            }
            try Self.check(value, of: flag)
            if texts.updateValue(value, forKey: name) == nil { given.append(flag) }
        }
    }

    private static func check(_ value: String, of flag: Flag) throws(ConfigurationError) {
        let expectation: String
        switch flag.kind {
        case .text: return
        case .integer where Int(value).map({ $0 >= 0 }) ?? false: return
        case .integer: expectation = "a whole number of 0 or more"
        case .duration where DurationText.parse(value) != nil: return
        case .duration: expectation = "a duration such as 500ms, 30s or 5m"
        case .boolean where truth(value) != nil: return
        case .boolean: expectation = "true or false"
        }
        throw problem("--\(flag.name)", "expected \(expectation), found \"\(value.prefix(60))\"")
    }

    static func problem(_ flag: String, _ message: String) -> ConfigurationError {
        ConfigurationError(problems: [ConfigurationProblem(file: flag, keyPath: "", message: message)])
    }

    /// The words that Go reads as a truth value.
    private static func truth(_ word: String) -> Bool? {
        switch word {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: nil
        }
    }

    /// Whether the flag was given.
    func has(_ name: String) -> Bool { texts[name] != nil }

    /// The flag's value; nil if it was not given or is empty.
    func text(_ name: String) -> String? { texts[name].flatMap { $0.isEmpty ? nil : $0 } }

    /// The flag's value; nil if it was not given.
    func integer(_ name: String) -> Int? { texts[name].flatMap { Int($0) } }

    /// The flag's value; nil if it was not given.
    func duration(_ name: String) -> TimeSpan? { texts[name].flatMap { DurationText.parse($0) } }

    /// Whether the flag was given as yes.
    func isSet(_ name: String) -> Bool { texts[name].flatMap { Self.truth($0) } ?? false }
}

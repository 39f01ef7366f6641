import Basics
public import WeirConfiguration

/// The command line of llm-d-async, understood: what it amounts to, and what is to be said about it.
public struct AsyncFlags: Sendable {
    /// The same as a configuration of Weir.
    public var configuration: Configuration
    /// What the user should know, one line each, in the order of the command line: flags that are deprecated, ignored or
    /// without effect.
    public var notes: [String]
    /// How much is to be logged, as `-v` says; nil leaves it to us.
    public var verbosity: Int?

    /// Translates a command line.
    ///
    /// - Parameters:
    ///   - arguments: what follows the command's name.
    ///   - environment: the environment; `REDIS_URL` is used, `OTEL_*` is noted.
    ///   - read: the text of a file; throws a problem that names it.
    /// - Throws: everything that is wrong, each with its flag, or its file and key path.
    public init(
        _ arguments: [String], environment: [String: String],
        read: (String) throws(ConfigurationError) -> String
    ) throws(ConfigurationError) {
        let flags = try FlagValues(arguments)
        var translation = AsyncTranslation(flags: flags, environment: environment)
        try translation.run(read: read)
        configuration = translation.configuration
        notes = translation.notes
        verbosity = flags.integer("v")
    }

    /// The configuration as a `weir.yaml`, and what its user has to do besides saving it.
    ///
    /// No password is in it: a Redis server that has one is left to `REDIS_URL`.
    public var file: (yaml: String, notes: [String]) {
        var configuration = configuration
        var notes: [String] = []
        for index in configuration.async?.queues.indices ?? 0..<0
        where configuration.async?.queues[index].redis?.url?.hasPassword == true {
            configuration.async?.queues[index].redis?.url = nil
        }
        if configuration != self.configuration {
            notes.append("the URL of the Redis server holds a password and is left out: set REDIS_URL to it")
        }
        let yaml = configuration.briefYAML()
        if yaml.contains(Secret.mask) {
            notes.append("\(Secret.mask) stands for a password: write ${NAME} there, and set that variable")
        }
        return (yaml, notes)
    }

    /// Whether the command line asks for the list of flags, in place of anything else.
    public static func asksForHelp(_ arguments: [String]) -> Bool {
        arguments.contains { ["-h", "-help", "--help"].contains($0) }
    }

    /// Every flag with its meaning, for people.
    public static var help: String {
        var text = ""
        for (title, isShown): (String, (Flag.Fate) -> Bool) in [
            ("Flags:", { $0 == .current }),
            ("Accepted, without effect:", { if case .ignored = $0 { true } else { false } }),
            ("Deprecated, still translated:", { if case .deprecated = $0 { true } else { false } }),
        ] {
            text += "\(title)\n"
            for flag in Flag.all where isShown(flag.fate) {
                let value = flag.kind == .boolean ? "" : " <\(flag.kind.word)>"
                var line = "  \(flag.name.count == 1 ? "-" : "--")\(flag.name)\(value)"
                line += String(repeating: " ", count: max(2, 46 - line.count))
                text += "\(line)\(flag.meaning)\n"
            }
            text += "\n"
        }
        return text
    }
}

extension Flag.Kind {
    /// What stands for a value in the list of flags.
    fileprivate var word: String {
        switch self {
        case .text: "text"
        case .integer: "number"
        case .duration: "duration"
        case .boolean: "yes"
        }
    }
}

/// One thing that is wrong with a configuration, and where.
public struct ConfigurationProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file, as the user named it; for a configuration made from flags, the flag.
    public var file: String
    /// The place inside the file, such as `pools[0].slo.ttft`; empty for the file as a whole.
    public var keyPath: String
    /// Line in the file, from 1; nil when the problem has no place of its own.
    public var line: Int?
    /// Column in that line, from 1.
    public var column: Int?
    /// What is wrong, as one plain sentence part.
    public var message: String

    /// Creates a problem.
    public init(file: String, keyPath: String, line: Int? = nil, column: Int? = nil, message: String) {
        self.file = file
        self.keyPath = keyPath
        self.line = line
        self.column = column
        self.message = message
    }

    /// `file:line:column: key.path: message`, the form that editors turn into a link.
    public var description: String {
        var place = file
        if let line { place += ":\(line)" }
        if line != nil, let column { place += ":\(column)" }
        return keyPath.isEmpty ? "\(place): \(message)" : "\(place): \(keyPath): \(message)"
    }
}

/// Everything that is wrong with a configuration, in the order of the file; never empty.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The problems, at most ``limit`` of them.
    public var problems: [ConfigurationProblem]

    /// How many problems are collected before reading stops adding more.
    public static let limit = 50

    /// Creates an error from its problems.
    public init(problems: [ConfigurationProblem]) { self.problems = problems }

    /// One problem per line.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

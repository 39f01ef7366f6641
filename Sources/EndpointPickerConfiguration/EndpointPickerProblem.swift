/// One remark about an endpoint picker configuration, and where it belongs.
public struct EndpointPickerProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file, as the user named it.
    public var file: String
    /// The place inside the file, such as `plugins[1].parameters.lruSize`; empty for the file as a whole.
    public var keyPath: String
    /// Line in the file, from 1; nil when the remark has no place of its own.
    public var line: Int?
    /// Column in that line, from 1.
    public var column: Int?
    /// What is wrong or ignored, as one plain sentence part.
    public var message: String

    /// `file:line:column: key.path: message`, the form that editors turn into a link.
    public var description: String {
        var place = file
        if let line { place += ":\(line)" }
        if line != nil, let column { place += ":\(column)" }
        return keyPath.isEmpty ? "\(place): \(message)" : "\(place): \(keyPath): \(message)"
    }
}

/// Everything that is wrong with an endpoint picker configuration, in the order of the file; never empty.
public struct EndpointPickerConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The problems, at most ``limit`` of them.
    public var problems: [EndpointPickerProblem]

    /// How many problems are collected before reading stops adding more.
    public static let limit = 50

    /// One problem per line.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

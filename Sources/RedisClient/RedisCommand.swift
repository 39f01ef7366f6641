/// One command with its arguments.
public struct RedisCommand: Hashable, Sendable {
    /// The command's name, such as `ZADD`.
    public let name: String
    /// What follows the name.
    public let arguments: [RedisArgument]

    /// Creates a command; a subcommand (`CLIENT SETNAME`) is the first of the arguments.
    public init(_ name: String, _ arguments: [RedisArgument] = []) {
        self.name = name
        self.arguments = arguments
    }
}

/// An argument of a command.
public enum RedisArgument: Hashable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// Bytes as they are.
    case bytes([UInt8])
    /// Text, sent in UTF-8.
    case text(String)
    /// A whole number, sent as its digits.
    case integer(Int64)
    /// A number, sent with as many digits as it takes to read the same number back; `inf` and `-inf` also exist.
    case double(Double)

    /// Creates a text.
    public init(stringLiteral text: String) { self = .text(text) }

    /// Creates a whole number.
    public init(integerLiteral number: Int64) { self = .integer(number) }
}

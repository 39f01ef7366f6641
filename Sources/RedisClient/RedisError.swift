/// Why a call came to nothing; every text is a sentence for the operator and holds no secret.
public enum RedisError: Error, Hashable, Sendable {
    /// There was no connection before the call's time was up, or the server refuses to let us in; nothing was sent.
    case notConnected(reason: String)
    /// The server did not answer in time; the command may have run, or may still run.
    case timedOut
    /// The connection broke while the call was under way. If the command may have run, only the caller can tell whether
    /// it is safe to send it again.
    case connectionLost(commandMayHaveRun: Bool)
    /// The server answered with an error.
    case server(RedisServerError)
    /// The reply is longer or deeper than the client is willing to hold; the command has run.
    case replyTooLong
    /// The server sent something that is not the Redis protocol, or not what was asked for.
    case protocolViolation(String)
    /// The calling task was cancelled; the command may have run.
    case cancelled
    /// The client was closed.
    case closed
}

extension RedisError: CustomStringConvertible {
    /// The error as a sentence.
    public var description: String {
        switch self {
        case .notConnected(let reason): "not connected to Redis: \(reason)"
        case .timedOut: "Redis did not answer in time"
        case .connectionLost(true): "the connection to Redis broke; the command may have run"
        case .connectionLost(false): "the connection to Redis broke before the command was sent"
        case .server(let error): "Redis answered with an error: \(error)"
        case .replyTooLong: "the reply of Redis is longer than the limit for replies"
        case .protocolViolation(let what): "Redis does not keep to its protocol: \(what)"
        case .cancelled: "the call to Redis was cancelled"
        case .closed: "the Redis client is closed"
        }
    }
}

/// An error that the server sent as the reply to a command.
public struct RedisServerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The first word, which tells the kind: `ERR`, `WRONGTYPE`, `NOSCRIPT`, `OOM` ...
    public let code: String
    /// The rest of the line; may quote arguments of the command.
    public let message: String

    /// Creates an error from its parts.
    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    /// Creates an error from the line that the server sent.
    public init(line: String) {
        let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        let isCode = parts.first.map { !$0.isEmpty && $0.allSatisfy { $0.isUppercase || $0.isNumber } } ?? false
        code = isCode ? String(parts[0]) : "ERR"
        message = isCode ? (parts.count > 1 ? String(parts[1]) : "") : line
    }

    /// Code and message.
    public var description: String { message.isEmpty ? code : "\(code) \(message)" }
}

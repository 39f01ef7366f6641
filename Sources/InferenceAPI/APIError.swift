public import Basics

/// An error response that Weir makes itself, in the form that the OpenAI SDKs unwrap into their exceptions.
///
/// Made by one of the constructors of `APIError+Constructors.swift`; everything that follows from the code comes from
/// `ErrorCode.row`.
public struct APIError: Error, Hashable, Sendable {
    /// Advice beyond this makes the official SDKs give up instead of waiting (reference aesthetics.md B1.1).
    public static let retryAfterLimit = TimeSpan.seconds(120)

    /// The kind of error.
    public let code: ErrorCode
    /// A sentence for the person who made the request: what is wrong, and what to do where that is not obvious.
    public let message: String
    /// The field or header at fault.
    public let parameter: String?
    /// When to try again, at most `retryAfterLimit`; nil where waiting does not help or nothing is known.
    public let retryAfter: TimeSpan?
    /// Why the request was dropped, if it was.
    public let dropReason: DropReason?
    /// The methods that are possible, where the request's is not: the value of `Allow`.
    public let allowedMethods: String?

    /// Creates an error; `dropReason` overrides the code's usual one, and retry advice counts only for retryable codes.
    public init(
        _ code: ErrorCode, _ message: String, parameter: String? = nil, retryAfter: TimeSpan? = nil,
        dropReason: DropReason? = nil, allowedMethods: String? = nil
    ) {
        self.allowedMethods = allowedMethods
        self.code = code
        self.message = message
        self.parameter = parameter
        self.retryAfter = code.row.isRetryable ? retryAfter.map { min(max($0, .zero), Self.retryAfterLimit) } : nil
        self.dropReason = dropReason ?? code.row.dropReason
    }

    /// HTTP status.
    public var status: Int { code.row.status }
    /// `type` of the error object, in OpenAI's vocabulary.
    public var type: String { code.row.type }
    /// Whether the same request may succeed later.
    public var isRetryable: Bool { code.row.isRetryable }

    /// `{"error":{"message":...,"type":...,"param":...,"code":...}}`
    public func jsonBody() -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(message.utf8.count + 128)
        appendBody(to: &output)
        return output
    }

    /// The error as a server-sent event, for a stream whose response head has already gone out.
    public func streamEvent() -> [UInt8] {
        var output = Array("data: ".utf8)
        output.reserveCapacity(message.utf8.count + 136)
        appendBody(to: &output)
        output.append(contentsOf: "\n\n".utf8)
        return output
    }

    /// The response headers that belong to the error; content length and request id are the writer's to add.
    public var headers: [(name: String, value: String)] {
        var headers = [(name: HeaderName.contentType, value: "application/json")]
        headers.append((HeaderName.shouldRetry, isRetryable ? "true" : "false"))
        if let retryAfter {
            let milliseconds = (retryAfter.nanoseconds + 999_999) / 1_000_000
            headers.append((HeaderName.retryAfter, String(max(1, (milliseconds + 999) / 1000))))
            headers.append((HeaderName.retryAfterMilliseconds, String(max(1, milliseconds))))
        }
        if let dropReason { headers.append((HeaderName.dropReason, dropReason.rawValue)) }
        if let allowedMethods { headers.append((HeaderName.allow, allowedMethods)) }
        if code == .unauthorized { headers.append((HeaderName.authenticate, "Bearer")) }
        return headers
    }

    private func appendBody(to output: inout [UInt8]) {
        output.append(contentsOf: "{\"error\":{\"message\":".utf8)
        JSONText.appendString(message, to: &output)
        output.append(contentsOf: ",\"type\":".utf8)
        JSONText.appendString(type, to: &output)
        output.append(contentsOf: ",\"param\":".utf8)
        JSONText.appendOptionalString(parameter, to: &output)
        output.append(contentsOf: ",\"code\":".utf8)
        JSONText.appendString(code.rawValue, to: &output)
        output.append(contentsOf: "}}".utf8)
    }
}

import InferenceAPI
import NIOHTTP1

/// An error response of the simulated server, shaped like vLLM's.
struct ServerError: Sendable {
    var status: HTTPResponseStatus
    var type: String
    var message: String
    var retryAfterSeconds = 0
    /// Whether the rest of the request is not worth reading.
    var closesConnection = false

    static func badRequest(_ message: String) -> ServerError {
        ServerError(status: .badRequest, type: "BadRequestError", message: message)
    }

    static func notFound(_ message: String) -> ServerError {
        ServerError(status: .notFound, type: "NotFoundError", message: message)
    }

    static func unknownModel(_ name: String) -> ServerError {
        notFound("The model `\(name.prefix(128))` does not exist.")
    }

    static func methodNotAllowed(_ method: HTTPMethod) -> ServerError {
        ServerError(
            status: .methodNotAllowed, type: "MethodNotAllowedError",
            message: "\(method.rawValue.prefix(32)) is not possible here.")
    }

    static func bodyTooLarge(limit: Int) -> ServerError {
        ServerError(
            status: .payloadTooLarge, type: "BadRequestError",
            message: "The request body is larger than \(limit) bytes.", closesConnection: true)
    }

    static let injected = ServerError(
        status: .internalServerError, type: "InternalServerError", message: "This error was injected.")

    static func rejected(_ faults: FaultPlan) -> ServerError {
        ServerError(
            status: .init(statusCode: faults.rejectStatus), type: "RateLimitError",
            message: "This rejection was injected.", retryAfterSeconds: faults.retryAfterSeconds)
    }

    static let queueFull = ServerError(
        status: .tooManyRequests, type: "RateLimitError", message: "Too many requests are waiting.",
        retryAfterSeconds: 1)

    /// `{"error":{"message":...,"type":...,"param":null,"code":...}}`
    var body: [UInt8] {
        var json = Array("{\"error\":{\"message\":".utf8)
        JSONText.appendString(message, to: &json)
        json += Array(",\"type\":".utf8)
        JSONText.appendString(type, to: &json)
        json += Array(",\"param\":null,\"code\":\(status.code)}}".utf8)
        return json
    }
}

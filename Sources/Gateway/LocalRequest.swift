public import InferenceAPI
import NIOCore
import Synchronization

/// What a client wants done with a request, other than to have it carried at once.
public enum QueueMode: String, Hashable, Sendable {
    /// Store it, and answer where it can be found.
    case enqueue
    /// Store it, and answer with its result.
    case wait
}

/// A request that is answered in this process, read whole.
public struct LocalRequest: Sendable {
    /// HTTP method.
    public let method: String
    /// Path and query as the client sent them.
    public let target: String
    /// Header fields as the client sent them, but for `Authorization`.
    public let headers: [(name: String, value: String)]
    /// The body.
    public let body: LocalRequestBody
    /// What is to be done with it; nil for a request about requests (`/v1/requests`).
    public let mode: QueueMode?
    /// Whose request it is; empty where there are no tenants.
    public let tenant: String
    /// Whether the caller may use privileges.
    public let isTrusted: Bool
    /// The correlation id of the request.
    public let requestID: String
    let results: ByteBudget

    /// The first value of a header; `name` is in lower case.
    public func value(of name: String) -> String? {
        headers.first { MessageHeaders.same($0.name, name) }?.value
    }

    /// Makes room for so many bytes of an answer that may be long; nil if as many are on their way to clients as may be.
    public func room(forAnswer bytes: Int) -> AnswerRoom? {
        results.take(bytes, orAlone: true) ? AnswerRoom(bytes: bytes, budget: results) : nil
    }
}

/// The bytes of a request, which count against the gateway's budget for bodies until they are released.
public final class LocalRequestBody: Sendable {
    private let state: Mutex<(pieces: [ByteBuffer], charged: Int)>
    private let budget: ByteBudget

    /// Takes charge of `charged` bytes that have been taken from the budget.
    init(pieces: [ByteBuffer], charged: Int, budget: ByteBudget) {
        state = Mutex((pieces, charged))
        self.budget = budget
    }

    deinit { release() }

    /// Hands the bytes over; there are none the second time. They stay charged until `release`.
    public func take() -> [UInt8] {
        let pieces = state.withLock { state in
            defer { state.pieces = [] }
            return state.pieces
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(pieces.reduce(0) { $0 + $1.readableBytes })
        for piece in pieces { bytes.append(contentsOf: piece.readableBytesView) }
        return bytes
    }

    /// Lets go of the bytes: whoever took them does not hold them any more.
    public func release() {
        let charged = state.withLock { state in
            defer { state = ([], 0) }
            return state.charged
        }
        budget.giveBack(charged)
    }
}

/// Bytes of the gateway's budget for stored results, given back with the last reference.
public final class AnswerRoom: Sendable {
    private let bytes: Int
    private let budget: ByteBudget

    /// Takes charge of `bytes` that have been taken from the budget.
    init(bytes: Int, budget: ByteBudget) {
        self.bytes = bytes
        self.budget = budget
    }

    deinit { budget.giveBack(bytes) }
}

/// The answer to a `LocalRequest`. Length, connection and correlation id are the gateway's to write.
public struct LocalResponse: Sendable {
    /// HTTP status.
    public var status: Int
    /// Header fields.
    public var headers: [(name: String, value: String)]
    /// The body.
    public var body: [UInt8]
    /// The error that it tells of, if it is one of Weir's own; for the record.
    public var error: APIError?
    /// The model that the request names; for the record.
    public var model: String?
    /// The room that the body takes up, kept until the client has taken it. What has none must be short.
    public var room: AnswerRoom?

    /// Creates an answer.
    public init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// Creates an error, with further headers.
    public init(_ error: APIError, headers: [(name: String, value: String)] = []) {
        status = error.status
        self.headers = error.headers + headers
        body = error.jsonBody()
        self.error = error
    }
}

/// Answers what is not for a model server: requests that are to be queued, and requests about those.
public protocol LocalRequestHandler: Sendable {
    /// Answers a request; called off the event loops.
    ///
    /// The task is cancelled when the client has left, and if the request waits (`QueueMode.wait`) also when the
    /// gateway begins to stop. The answer is written if the client is still there.
    func answer(_ request: LocalRequest) async -> LocalResponse
}

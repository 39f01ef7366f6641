import AsyncHTTPClient
import Basics
import Delivery
import InferenceAPI
import NIOCore
import NIOHTTP1
import Synchronization

/// Collects the answer to one request, on the event loop of its connection, and says what it means.
final class AnswerCollector: HTTPClientResponseDelegate {
    typealias Response = AttemptOutcome

    /// Ends a request whose answer is too long.
    private struct AnswerTooLong: Error {}

    /// More than this is not reserved on the word of a header.
    private static let maximumReservedBytes = 1 << 20

    private struct State {
        var head: HTTPResponseHead?
        var form = ResponseScanner.Body.opaque
        var scanner = ResponseScanner(.opaque)
        var body: [UInt8] = []
        var wasSent = false
        var isTooLong = false
    }

    private let maximumBytes: Int
    private let now: @Sendable () -> Instant
    private let started: @Sendable () -> Void
    private let state = Mutex(State())

    init(
        maximumBytes: Int, now: @escaping @Sendable () -> Instant, started: @escaping @Sendable () -> Void
    ) {
        self.maximumBytes = maximumBytes
        self.now = now
        self.started = started
    }

    func didSendRequestHead(task: HTTPClient.Task<AttemptOutcome>, _ head: HTTPRequestHead) {
        state.withLock { $0.wasSent = true }
        started()
    }

    func didReceiveHead(task: HTTPClient.Task<AttemptOutcome>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
        let announced = head.headers.first(name: HeaderName.contentLength).flatMap { Int($0) } ?? 0
        let isTooLong = state.withLock { state in
            state.head = head
            state.form = ResponseScanner.Body(
                contentType: head.headers.first(name: HeaderName.contentType),
                contentEncoding: head.headers.first(name: "content-encoding"))
            state.scanner = ResponseScanner(state.form)
            state.isTooLong = announced > maximumBytes
            if announced > 0 { state.body.reserveCapacity(min(announced, Self.maximumReservedBytes)) }
            return state.isTooLong
        }
        return isTooLong ? task.eventLoop.makeFailedFuture(AnswerTooLong()) : task.eventLoop.makeSucceededVoidFuture()
    }

    func didReceiveBodyPart(task: HTTPClient.Task<AttemptOutcome>, _ part: ByteBuffer) -> EventLoopFuture<Void> {
        let isTooLong = state.withLock { state in
            guard state.body.count + part.readableBytes <= maximumBytes else {
                state.isTooLong = true
                return true
            }
            part.withUnsafeReadableBytes { bytes in
                state.scanner.consume(bytes)
                state.body.append(contentsOf: bytes)
            }
            return false
        }
        return isTooLong ? task.eventLoop.makeFailedFuture(AnswerTooLong()) : task.eventLoop.makeSucceededVoidFuture()
    }

    func didFinishRequest(task: HTTPClient.Task<AttemptOutcome>) throws -> AttemptOutcome {
        state.withLock { state in
            guard let head = state.head else { return .failed(.connectionLost, endpoint: nil) }
            let reason = head.headers.first(name: HeaderName.dropReason)
            if Self.isEviction(head.status, reason) { return .evicted }
            if state.form == .eventStream, head.status.code < 300, state.scanner.hasError {
                return .failed(.errorInAnswer, endpoint: head.headers.first(name: HeaderName.endpoint))
            }
            return .answered(
                AttemptResponse(
                    statusCode: Int(head.status.code), body: state.body,
                    contentType: head.headers.first(name: HeaderName.contentType),
                    retryAfter: head.headers.first(name: HeaderName.retryAfter).flatMap {
                        RetryAfter.wait($0, now: now())
                    },
                    dropReason: reason, endpoint: head.headers.first(name: HeaderName.endpoint),
                    usage: state.scanner.usage))
        }
    }

    /// What it means that there was no whole answer.
    func outcomeOfFailure(endpoint: String, wasCancelled: Bool) -> AttemptOutcome {
        state.withLock { state in
            if state.isTooLong { return .failed(.answerTooLong, endpoint: endpoint) }
            if wasCancelled { return .withdrawn }
            return .failed(state.wasSent ? .connectionLost : .connectFailed, endpoint: endpoint)
        }
    }

    /// Whether a gateway says that it ended a request which it had started, to make room for others (shared reference
    /// `async-processor.md` 3.6).
    private static func isEviction(_ status: HTTPResponseStatus, _ reason: String?) -> Bool {
        guard status.code == 429 || status.code == 503, let reason else { return false }
        return switch DropReason(rawValue: reason) {
        case .evicted, .evictedPriority, .evictedQueuePressure: true
        default: false
        }
    }
}

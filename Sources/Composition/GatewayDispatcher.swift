import AsyncProcessor
import Basics
import Delivery
import Gateway
import InferenceAPI
import MessageQueues
import NIOCore

/// Carries a queue's messages through the gateway of this process, as sheddable work.
struct GatewayDispatcher: InferenceDispatcher {
    let gateway: Gateway
    /// The priority of the queue's objective; below zero.
    let priority: Int
    let clock: any DeliveryClock
    /// A longer answer ends its message with an error.
    private static let maxAnswerBytes = 64 << 20

    func perform(_ request: AsyncRequest, started: @escaping @Sendable () -> Void) async -> AttemptOutcome {
        var call = InferenceCall(
            path: request.path, headers: request.headers.map { (name: $0.key, value: $0.value) },
            body: ByteBuffer(bytes: request.body), requestID: nil,
            // The class of a message can put it behind others of its queue, but never among real-time requests.
            priority: min(-1, priority + request.priority),
            maxAnswerBytes: Self.maxAnswerBytes)
        if !request.headers.keys.contains(where: { $0.lowercased() == HeaderName.contentType }) {
            call.headers.append((name: HeaderName.contentType, value: "application/json"))
        }
        // Deadlines are calendar time; the gateway counts on its own monotonic time line.
        call.deadline = Gateway.now + (request.deadline - clock.now())
        return attemptOutcome(of: await gateway.perform(call, started: started))
    }

    /// What the gateway's word means for the message.
    private func attemptOutcome(of outcome: InferenceOutcome) -> AttemptOutcome {
        switch outcome {
        case .answered(let answer):
            .answered(
                AttemptResponse(
                    statusCode: answer.status, body: Array(answer.body.readableBytesView),
                    contentType: answer.value(of: HeaderName.contentType),
                    retryAfter: answer.value(of: HeaderName.retryAfter).flatMap(retryAfter),
                    dropReason: answer.value(of: HeaderName.dropReason), endpoint: answer.endpoint,
                    usage: answer.usage))
        case .rejected(let error): rejection(error, cause: outcome.rejectionCause ?? .internalFault)
        case .evicted: .evicted
        case .failed(let failure):
            switch failure.cause {
            case .stopping: .rejected(.stopping, reason: failure.error.message, retryAfter: nil)
            case .answerTooLarge: .failed(.answerTooLong, endpoint: failure.endpoint)
            case .timedOut: .failed(.timedOut, endpoint: failure.endpoint)
            case .connectFailed: .failed(.connectFailed, endpoint: failure.endpoint)
            case .connectionLost: .failed(.connectionLost, endpoint: failure.endpoint)
            case .errorInStream: .failed(.errorInAnswer, endpoint: failure.endpoint)
            }
        case .cancelled: .withdrawn
        }
    }

    /// Asking again cannot help with a call that is at fault itself: the gateway's error is the message's result. An unknown
    /// model is such a fault: as long as a pool has not been able to ask its endpoints what they serve, the cause is another.
    private func rejection(_ error: APIError, cause: InferenceRejectionCause) -> AttemptOutcome {
        switch cause {
        case .invalidCall:
            .answered(
                AttemptResponse(statusCode: error.status, body: error.jsonBody(), contentType: "application/json"))
        case .noEndpoints: .rejected(.unavailable, reason: error.message, retryAfter: error.retryAfter)
        case .stopping: .rejected(.stopping, reason: error.message, retryAfter: error.retryAfter)
        case .noCapacity: .rejected(.capacity, reason: error.message, retryAfter: error.retryAfter)
        case .internalFault: .failed(.gatewayFault, endpoint: nil)
        // The gateway saw the deadline a moment before the processor did.
        case .expired: .withdrawn
        }
    }

    /// Seconds, or a date.
    private func retryAfter(_ text: String) -> TimeSpan? {
        if let seconds = Int(text) { return seconds >= 0 ? .seconds(Double(seconds)) : nil }
        return HTTPDate.parse(text).map { $0 - clock.now() }
    }
}

extension InferenceAnswer {
    fileprivate func value(of name: String) -> String? {
        headers.first { $0.name.lowercased() == name }?.value
    }
}

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
            body: ByteBuffer(bytes: request.body), requestID: nil, priority: priority,
            maxAnswerBytes: Self.maxAnswerBytes)
        if !request.headers.keys.contains(where: { $0.lowercased() == HeaderName.contentType }) {
            call.headers.append((name: HeaderName.contentType, value: "application/json"))
        }
        // Deadlines are calendar time; the gateway counts on its own monotonic time line.
        call.deadline = Gateway.now + (request.deadline - clock.now())
        return Self.attemptOutcome(of: await gateway.perform(call, started: started))
    }

    /// What the gateway's word means for the message.
    private static func attemptOutcome(of outcome: InferenceOutcome) -> AttemptOutcome {
        switch outcome {
        case .answered(let answer):
            .answered(
                AttemptResponse(
                    statusCode: answer.status, body: Array(answer.body.readableBytesView),
                    contentType: answer.value(of: HeaderName.contentType),
                    retryAfter: answer.value(of: HeaderName.retryAfter).flatMap(Int.init).map { .seconds(Double($0)) },
                    dropReason: answer.value(of: HeaderName.dropReason), endpoint: answer.endpoint,
                    usage: answer.usage))
        case .rejected(let error) where Self.isFinal(error):
            .answered(
                AttemptResponse(
                    statusCode: error.status, body: error.jsonBody(), contentType: "application/json"))
        case .rejected(let error): .rejected(reason: error.message, retryAfter: error.retryAfter)
        case .evicted: .evicted
        case .failed(let error):
            switch error.code {
            case .shuttingDown: .withdrawn(.stopping)
            case .answerTooLarge: .failed(.answerTooLong, endpoint: nil)
            case .upstreamTimeout: .failed(.timedOut, endpoint: nil)
            default: .failed(.connectionLost, endpoint: nil)
            }
        case .cancelled: .withdrawn(.stopping)
        }
    }

    /// Whether asking again cannot help, so that the gateway's error is the message's result.
    ///
    /// An unknown model is final: as long as a pool has not been able to ask its endpoints what they serve, the gateway
    /// says 503.
    private static func isFinal(_ error: APIError) -> Bool {
        (400..<500).contains(error.status) && ![408, 429, 499].contains(error.status)
    }
}

extension InferenceAnswer {
    fileprivate func value(of name: String) -> String? {
        headers.first { $0.name.lowercased() == name }?.value
    }
}

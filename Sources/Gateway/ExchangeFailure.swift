import Basics
import InferenceAPI
import PoolScheduler

/// Why a request ended without the complete answer of an endpoint.
enum ExchangeFailure: Hashable {
    /// The request itself is at fault.
    case refused(APIError)
    /// The scheduler turned it away.
    case rejected(Rejection)
    /// The scheduler called it back for more urgent work.
    case evicted
    /// No connection to an endpoint could be opened.
    case unreachable
    /// The endpoint closed the connection before its answer was complete.
    case upstreamBroke
    /// The endpoint kept silent for too long.
    case firstByteTimeout
    /// The endpoint paused too long within its answer.
    case upstreamStalled
    /// The answer is longer than its caller keeps.
    case answerTooLarge(limitBytes: Int)
    /// The client paused too long within the body.
    case bodyTimeout
    /// The body is over the limit.
    case bodyTooLarge
    /// All requests together hold as many body bytes as they may.
    case bodyBudgetSpent
    /// The drain's time is over.
    case drained

    /// The error that the client is told. Bounds come from `limits`, `model` and `timeToLive` from the request.
    func apiError(limits: GatewayLimits, model: String?, timeToLive: TimeSpan) -> APIError {
        switch self {
        case .refused(let error): error
        case .rejected(let rejection):
            switch rejection.cause {
            case .queueFull: .queueFull(retryAfter: rejection.retryAfter)
            case .expired: .queueTimeout(after: timeToLive, retryAfter: rejection.retryAfter)
            case .infeasible: .deadlineInfeasible(earliest: rejection.earliest, retryAfter: rejection.retryAfter)
            case .noEndpoints: .noEndpoints(model: model, retryAfter: rejection.retryAfter)
            case .endpointsFailed: .upstreamFailure("could not be reached, nor any other that serves this model")
            case .shuttingDown: .shuttingDown(retryAfter: rejection.retryAfter)
            }
        case .evicted: .evicted(.evictedPriority, retryAfter: .seconds(1))
        case .unreachable: .upstreamFailure("could not be reached")
        case .upstreamBroke: .upstreamFailure("closed the connection before its answer was complete")
        case .firstByteTimeout: .upstreamTimeout(after: limits.firstByteTimeout)
        case .upstreamStalled: .upstreamStalled(after: limits.upstreamStallTimeout)
        case .answerTooLarge(let limitBytes): .answerTooLarge(limitBytes: limitBytes)
        case .bodyTimeout: .requestTimeout(after: limits.bodyTimeout)
        case .bodyTooLarge: .bodyTooLarge(limitBytes: limits.requestBodyBytes)
        case .bodyBudgetSpent: .bodyBudgetSpent(retryAfter: .seconds(1))
        case .drained: .shuttingDown(retryAfter: .seconds(1))
        }
    }
}

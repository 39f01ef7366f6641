import Basics
import InferenceAPI
import MessageQueues

/// What a client is told when the queue fails. Pure.
enum QueueFault {
    /// Whether a failure is one for the operator to know of.
    enum News: Hashable {
        case none
        case always
        /// Once, until the queue takes something again.
        case whenItBegins
    }

    /// The answer, and what the log is told.
    ///
    /// A queue that is full, be it that its bound or the disk's is reached, asks to come again (429, as with other
    /// queues); one that cannot be used is unavailable (503). Places and details are the operator's business and stay
    /// in the log.
    static func answer(to error: any Error) -> (APIError, News) {
        switch error {
        case MessageQueueError.full: (.queueFull(retryAfter: .seconds(5)), .whenItBegins)
        case MessageQueueError.messageTooLarge(_, _, let limit): (.bodyTooLarge(limitBytes: limit), .none)
        case is MessageQueueError: (.queueUnavailable, .always)
        default: (.internalError, .always)
        }
    }
}

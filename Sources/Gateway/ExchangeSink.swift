import Basics
import InferenceAPI
import NIOCore
import NIOHTTP1

/// Where an exchange's answer goes: a client's connection, or a caller in this process. Used on the exchange's loop.
protocol ExchangeSink: AnyObject {
    /// Whether more of the request may be read.
    func setReading(_ isOn: Bool)
    /// Whether what is handed over goes out soon; if not, `Exchange.clientWritabilityChanged` tells when it does again.
    var isWritable: Bool { get }
    func answerBegan(_ answer: AnswerHead)
    func answerBody(_ piece: ByteBuffer)
    /// What has been handed over should go out now.
    func answerFlush()
    func answerEnded()
    /// There will be no answer but this error.
    func answerFailed(_ failure: ExchangeFailure, _ error: APIError, requestID: String)
    /// The answer has begun and cannot be completed.
    ///
    /// - Parameter atEventBoundary: whether the last byte passed on ended an event.
    func answerCut(_ failure: ExchangeFailure, _ error: APIError, isEventStream: Bool, atEventBoundary: Bool)
    /// The caller's own departure has ended the exchange: there will be no answer.
    func answerAbandoned()
}

/// The head of an endpoint's answer.
struct AnswerHead {
    var head: HTTPResponseHead
    var requestID: String
    var isEventStream: Bool
    /// Which endpoint answers.
    var endpoint: String
}

/// What is known of a request before its body.
struct ExchangeRequest {
    var head: HTTPRequestHead
    var path: InferencePath
    var requestID: String
    /// Bytes of the body, if announced.
    var announcedBytes: Int?
    /// Whether there is a body, be it empty.
    var hasBody = false
    /// Whether the caller's control headers count.
    var isTrusted: Bool
    var priority = 0
    var fairnessID: String?
    /// What it belongs to, if the caller says.
    var session: String?
    /// The limit on its time to first token in milliseconds, if the caller names one.
    var ttftLimitMilliseconds: Double?
    /// The limit on its time per output token in milliseconds, if the caller names one.
    var tpotLimitMilliseconds: Double?
    /// Whether a receipt of the decision is to be kept.
    var isExplained = false
    /// The model that it is to go to, whatever its body names, if the caller says.
    var modelRewrite: String?
    /// How long it may wait for a place, if the caller says; never longer than the pool allows.
    var timeToLive: TimeSpan?
    /// When its answer is worth nothing any more.
    var deadline: Instant?
    /// Whether a durable queue holds it.
    var isMessage = false
    /// The remote processor whose message it is.
    var processor: RemoteProcessor?
    /// Called when it is given to an endpoint.
    var started: (@Sendable () -> Void)?
    /// Answer with this once the body has been read, or at once if the body is long.
    var refusal: APIError?

    /// A sheddable request of a remote processor is held by a durable queue there: it waits until its deadline, which is what
    /// its time to live says, and may be called back at any time.
    mutating func becomeMessage(now: Instant) {
        guard priority < 0 else {
            processor = nil
            return
        }
        isMessage = true
        deadline = timeToLive.map { now + $0 }
    }
}

/// One request's life between a client and the endpoints: events in, actions out.
///
/// The request is read until it can be routed, waits in the scheduler, is sent to the endpoint it is placed on, and is
/// answered from there. Until the first byte of an answer has gone to the client, and while the whole body is held, a
/// failed endpoint is replaced by another. The head of an answer is therefore held back until its first body byte.
struct ExchangeStateMachine {
    enum Phase: Hashable {
        /// The body is being read, and nothing is decided.
        case receiving
        /// The scheduler has it.
        case waiting
        /// It has a place, and a connection is being got.
        case connecting
        /// It has been sent, as far as its body has arrived.
        case awaitingAnswer
        /// The endpoint answers; so far the client has seen the head, or nothing.
        case answering(hasBegun: Bool)
        /// Nothing more will be done.
        case ended
    }

    enum Action: Hashable {
        /// Give the request to the scheduler.
        case submit
        /// Tell the scheduler that the request is over without a complete answer.
        case withdraw
        /// Tell the scheduler that the endpoint failed before it answered; it places the request again or rejects it.
        case reportFailedBeforeAnswer
        /// Tell the scheduler and everybody else that no connection to the endpoint could be opened.
        case reportUnreachable
        /// Tell the scheduler that the answer is complete.
        case reportFinished
        /// Get a connection to the endpoint; a kept one may be dead already, so a second try takes a new one.
        case connect(mayReuse: Bool)
        /// Send the head, the held body, and the body's end if it has arrived.
        case sendRequest
        /// Send the body's end.
        case finishRequest
        /// Close the connection to the endpoint: that is how it learns that nobody wants its answer.
        case closeUpstream
        /// Read no more of the request from the client.
        case pauseClient
        /// Read on.
        case resumeClient
        /// Send the client the head of the answer.
        case beginAnswer
        /// Send the client the end of the answer.
        case endAnswer
        /// Answer the client with an error.
        case fail(ExchangeFailure)
        /// Break the answer off, in the way its form allows.
        case cut(ExchangeFailure)
    }

    /// What to do with a piece of the request body.
    enum BodyStep: Hashable {
        /// Keep it.
        case hold
        /// Send it on; from the first such piece on, the request cannot be repeated.
        case forward
        /// Nobody needs it.
        case discard
    }

    /// What to do with a piece of the answer's body.
    enum AnswerStep: Hashable {
        /// It is the first: the held request may go, the head must be sent, then this.
        case begin
        /// Send it on.
        case forward
        /// Nobody needs it.
        case discard
    }

    private(set) var phase = Phase.receiving
    private(set) var isBodyComplete = false
    /// Whether the held body is still the whole of what has arrived.
    private(set) var isReplayable = true
    /// Placements so far.
    private(set) var attempts = 0
    private let maxAttempts: Int
    private var connectionIsReused = false
    private var hasRetriedStale = false

    init(maxAttempts: Int) { self.maxAttempts = maxAttempts }

    var hasEnded: Bool { phase == .ended }

    // MARK: From the client

    /// A piece of the body arrived.
    mutating func bodyArrived() -> BodyStep {
        switch phase {
        case .receiving, .waiting, .connecting: return .hold
        case .awaitingAnswer, .answering:
            isReplayable = false
            return .forward
        case .ended: return .discard
        }
    }

    /// The end of the body arrived.
    mutating func bodyEnded() -> [Action] {
        isBodyComplete = true
        switch phase {
        case .receiving, .waiting, .connecting, .ended: return []
        case .awaitingAnswer, .answering: return [.finishRequest]
        }
    }

    /// Enough has been read to route the request.
    mutating func routed() -> [Action] {
        guard phase == .receiving else { return [] }
        phase = .waiting
        return isBodyComplete ? [.submit] : [.pauseClient, .submit]
    }

    /// The client went away.
    mutating func clientLeft() -> [Action] {
        defer { phase = .ended }
        switch phase {
        case .receiving, .ended: return []
        case .waiting: return [.withdraw]
        case .connecting, .awaitingAnswer, .answering: return [.closeUpstream, .withdraw]
        }
    }

    // MARK: From the scheduler

    /// The request has been given a place.
    mutating func placed() -> [Action] {
        guard phase == .waiting else { return [] }
        phase = .connecting
        attempts += 1
        return [.connect(mayReuse: true)]
    }

    /// The request has been turned away or called back; the scheduler has forgotten it.
    mutating func dismissed(_ failure: ExchangeFailure) -> [Action] {
        defer { phase = .ended }
        switch phase {
        case .receiving, .ended: return []
        case .waiting: return [.fail(failure)]
        case .connecting, .awaitingAnswer, .answering(hasBegun: false): return [.closeUpstream, .fail(failure)]
        case .answering(hasBegun: true): return [.closeUpstream, .cut(failure)]
        }
    }

    // MARK: From the endpoint

    /// A connection is there.
    mutating func connected(isReused: Bool) -> [Action] {
        guard phase == .connecting else { return [] }
        phase = .awaitingAnswer
        connectionIsReused = isReused
        return isBodyComplete ? [.sendRequest] : [.sendRequest, .resumeClient]
    }

    /// No connection could be opened.
    mutating func connectFailed() -> [Action] {
        guard phase == .connecting else { return [] }
        guard attempts < maxAttempts else {
            phase = .ended
            return [.reportUnreachable, .withdraw, .fail(.unreachable)]
        }
        phase = .waiting
        return [.reportUnreachable, .reportFailedBeforeAnswer]
    }

    /// The connection broke.
    mutating func upstreamLost() -> [Action] {
        switch phase {
        case .receiving, .waiting, .connecting, .ended: return []
        case .answering(hasBegun: true):
            phase = .ended
            return [.withdraw, .cut(.upstreamBroke)]
        case .awaitingAnswer, .answering(hasBegun: false):
            let pause: [Action] = isBodyComplete ? [] : [.pauseClient]
            if phase == .awaitingAnswer, isReplayable, connectionIsReused, !hasRetriedStale {
                hasRetriedStale = true
                phase = .connecting
                return pause + [.connect(mayReuse: false)]
            }
            guard isReplayable, attempts < maxAttempts else {
                phase = .ended
                return [.withdraw, .fail(.upstreamBroke)]
            }
            phase = .waiting
            return pause + [.reportFailedBeforeAnswer]
        }
    }

    /// The head of the answer arrived.
    mutating func answerArrived() {
        if phase == .awaitingAnswer { phase = .answering(hasBegun: false) }
    }

    /// A piece of the answer's body arrived.
    mutating func answerBodyArrived() -> AnswerStep {
        switch phase {
        case .answering(hasBegun: false):
            phase = .answering(hasBegun: true)
            return .begin
        case .answering(hasBegun: true): return .forward
        case .receiving, .waiting, .connecting, .awaitingAnswer, .ended: return .discard
        }
    }

    /// The answer is complete.
    mutating func answerEnded() -> [Action] {
        guard case .answering(let hasBegun) = phase else { return [] }
        phase = .ended
        return hasBegun ? [.endAnswer, .reportFinished] : [.beginAnswer, .endAnswer, .reportFinished]
    }

    // MARK: From the gateway itself

    /// The request cannot go on: a limit was passed, it makes no sense, or the gateway stops.
    mutating func abandoned(_ failure: ExchangeFailure) -> [Action] {
        defer { phase = .ended }
        switch phase {
        case .ended: return []
        case .receiving: return [.fail(failure)]
        case .waiting: return [.withdraw, .fail(failure)]
        case .connecting, .awaitingAnswer, .answering(hasBegun: false):
            return [.closeUpstream, .withdraw, .fail(failure)]
        case .answering(hasBegun: true): return [.closeUpstream, .withdraw, .cut(failure)]
        }
    }
}

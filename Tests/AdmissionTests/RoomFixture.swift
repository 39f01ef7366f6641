import Admission
import Basics

/// A request with what a test does not care about left at its default.
func request(
    _ id: UInt64, priority: Int = 0, flow: String = "", at seconds: Double = 0, timeToLive: Double? = nil,
    deadline: Double? = nil, ttftLimit: Double? = nil, bytes: Int = 0, input: Int = 0, output: Int = 0,
    counts: Bool = true
) -> WaitingRequest {
    WaitingRequest(
        id: id, priority: priority, flow: flow, enqueued: Instant(seconds: seconds),
        timeToLive: timeToLive.map { .seconds($0) }, deadline: deadline.map { Instant(seconds: $0) },
        ttftLimit: ttftLimit.map { .seconds($0) }, bytes: bytes,
        use: TokenUse(uncachedInputTokens: input, outputTokens: output), countsAgainstLimits: counts)
}

extension WaitingRoom {
    /// Lets a request in at the time at which it arrives; why it does not wait.
    mutating func admit(_ request: WaitingRequest) -> AdmissionRefusal? {
        insert(request, now: request.enqueued).refusal
    }

    /// Lets a request in; why it does not wait.
    mutating func refusal(of request: WaitingRequest, now: Instant) -> AdmissionRefusal? {
        insert(request, now: now).refusal
    }

    /// Who is next.
    func nextID(realtime: Bool = true, at seconds: Double = 0, floor: Int = .min) -> UInt64? {
        var room = self
        return room.head(realtime: realtime, now: Instant(seconds: seconds), floor: floor)?.id
    }

    /// Who may pass the head.
    func behindIDs(at seconds: Double = 0, limit: Int) -> [UInt64] {
        var room = self
        return room.behindHead(realtime: true, now: Instant(seconds: seconds), limit: limit).map(\.id)
    }

    /// Dispatches whoever is next.
    mutating func dispatchNext(realtime: Bool = true, at seconds: Double = 0) -> WaitingRequest? {
        let now = Instant(seconds: seconds)
        return head(realtime: realtime, now: now).flatMap { dispatch($0.id, now: now) }
    }

    /// Dispatches whoever is next and says who it is.
    mutating func dispatchNextID(at seconds: Double = 0) -> UInt64? { dispatchNext(at: seconds)?.id }

    /// Takes out whose time is over.
    mutating func expiredIDs(at seconds: Double) -> [UInt64] {
        removeExpired(now: Instant(seconds: seconds)).map(\.id)
    }

    /// Dispatches everybody of a class and says in which order.
    mutating func dispatchAll(realtime: Bool = true, at seconds: Double = 0) -> [UInt64] {
        var order: [UInt64] = []
        while let next = dispatchNext(realtime: realtime, at: seconds) { order.append(next.id) }
        return order
    }
}

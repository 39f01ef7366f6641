/// Why a request was not let in to wait.
public enum AdmissionRefusal: Hashable, Sendable, CaseIterable {
    /// Its band holds as many requests as it may.
    case bandRequests
    /// Its band holds as many body bytes as it may.
    case bandBytes
    /// Its band holds as many tokens as it may.
    case bandTokens
    /// As many requests wait as may in all.
    case totalRequests
    /// Requests that wait hold as many body bytes as they may in all.
    case totalBytes
    /// Requests that wait hold as many tokens as they may in all.
    case totalTokens
    /// Too many different priorities wait at once.
    case bands
    /// A request of this name waits already.
    case duplicate
}

/// What became of a request that asked to wait.
public enum AdmissionOutcome: Hashable, Sendable {
    /// It waits. The requests in `evicted` had to leave for it, and do not wait any more: sheddable ones, or those of a
    /// flow that took up more of the band.
    case admitted(evicted: [WaitingRequest])
    /// It does not wait; nothing has changed.
    case refused(AdmissionRefusal)

    /// Why it was refused; nil if it was not.
    public var refusal: AdmissionRefusal? {
        guard case .refused(let refusal) = self else { return nil }
        return refusal
    }
}

/// What became of one acknowledgement id that was acknowledged, extended or handed back.
enum Acknowledgement: Hashable {
    /// It took effect, as far as the service tells.
    case confirmed
    /// The delivery is over: it ran out, and the message is, or was, in other hands.
    case lost
    /// Not now; it may work when it is tried again.
    case failed

    /// Reads the answer to a call about one id.
    ///
    /// On a subscription with exactly-once delivery a call fails if a single id does; the error then says so of each
    /// that failed, and the others took effect (Google's "Exactly-once delivery" page). An error that names no ids is
    /// about the whole call.
    init(of id: String, error: PubSubError?) {
        guard let error else {
            self = .confirmed
            return
        }
        if let verdict = error.acknowledgements[id] {
            self = verdict.hasPrefix("TRANSIENT_FAILURE") ? .failed : .lost
        } else if error.namesAcknowledgements {
            self = .confirmed
        } else {
            switch error.kind {
            case .invalid, .notFound, .failedPrecondition: self = .lost
            default: self = .failed
            }
        }
    }

    /// Whether a call about several ids failed in a way that does not tell which of them was to blame.
    static func needsSplit(_ error: PubSubError, count: Int) -> Bool {
        guard count > 1, !error.namesAcknowledgements else { return false }
        return error.kind == .invalid || error.kind == .failedPrecondition
    }
}

extension PubSubError {
    /// Whether it says which acknowledgement ids failed, so that the others did not.
    fileprivate var namesAcknowledgements: Bool { acknowledgements.values.contains { $0.contains("_FAILURE_") } }
}

/// What is to become of a request.
public enum GateVerdict: Hashable, Sendable {
    /// It may go. The labels are those that gates added (`classification`: `reserved` or `overflow`).
    case proceed(labels: [String: String])
    /// Ask for this, then report with `resume` or `acquireFailed`.
    case acquire(QuotaRequest)
    /// Not now: keep it, and ask again when something changes.
    case wait
    /// Not now: others first, it goes back to its queue.
    case refuse(reason: String)
    /// Never: it is to end with an error.
    case drop(reason: String)

    /// The reason that `tier-priority-admission` drops with. Upstream's result for it holds the payload
    /// `{"error": "Too Many Requests", "code": 429}` and neither status nor error code.
    public static let tooManyRequests = "Too Many Requests"
}

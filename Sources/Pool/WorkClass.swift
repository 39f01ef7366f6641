/// The two tempos that share a pool.
public enum WorkClass: Hashable, Sendable {
    /// Someone is waiting for the answer: served first, strictly (priority 0 and above).
    case realtime
    /// May wait, and may be put back: spends what real-time work leaves over (priority below 0).
    case sheddable

    /// The class of a priority: negative priorities are sheddable, as in the Gateway API inference extension.
    public init(priority: Int) { self = priority < 0 ? .sheddable : .realtime }
}

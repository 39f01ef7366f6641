public import Basics

/// The present on the two time lines that matter to a message.
///
/// Deadlines and retry times outlive the process and are calendar time. Pauses, leases and timeouts within the process are
/// measured on a steady line, so that nothing happens too early or too late when somebody corrects the machine's clock.
public struct DeliveryTime: Hashable, Sendable {
    /// Since the Unix epoch; may jump.
    public var wall: Instant
    /// Since the start of the process, or any other origin; never jumps.
    public var steady: Instant

    /// Names a moment.
    public init(wall: Instant, steady: Instant) {
        self.wall = wall
        self.steady = steady
    }
}

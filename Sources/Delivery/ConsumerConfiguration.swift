public import Basics

/// How a consumer works.
public struct ConsumerConfiguration: Hashable, Sendable {
    /// The queue's name, for the results.
    public var queue: String
    /// Requests of one target offered to the pool and not started: enough to fill its slack at once.
    public var lookahead = 128
    /// Messages in hand at a time, whatever their stage.
    public var maximumHeld = 1024
    /// Payloads in hand at a time, in bytes; one lease call may exceed it by what that call brings.
    public var maximumHeldBytes = 256 << 20
    /// Requests offered or with endpoints at a time; nil leaves it to the pool.
    public var maximumInFlight: Int?
    /// A message left by a consumer that hangs or has died is free after this.
    public var leaseDuration = TimeSpan.seconds(15)
    /// An attempt that takes longer is taken back and counts as failed.
    public var attemptTimeout = TimeSpan.seconds(600)
    /// How long requests that have started may go on after a stop.
    public var grace = TimeSpan.seconds(30)
    /// The pause after the queue failed; doubled up to `maximumQueuePause` while it goes on failing.
    public var queuePause = TimeSpan.milliseconds(100)
    /// The longest pause between attempts to reach a failing queue.
    public var maximumQueuePause = TimeSpan.seconds(5)
    /// Failures of a target in a row after which it is left alone for a while.
    public var breakerFailures = 5
    /// The longest time for which it is left alone before one request probes it.
    public var breakerCap = TimeSpan.seconds(30)
    /// When messages are tried again.
    public var retries = RetryPolicy()

    /// The defaults for a queue.
    public init(queue: String = "default") { self.queue = queue }
}

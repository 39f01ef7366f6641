import Basics
import Pool

/// One request of a simulated world, from its arrival to its end.
struct LabRequest {
    enum State: UInt8 {
        /// Not sent: it is to come, or waits at the gateway or in the queue.
        case waiting
        /// Sent to a replica and not back yet.
        case inFlight
        case finished
        /// Turned away for good.
        case rejected
    }

    let workClass: WorkClass
    let promptTokens: Int32
    let outputTokens: Int32
    /// When it came to the gateway (real time), or when its line was handed over (batch).
    let arrival: Instant
    var state = State.waiting
    var replica: Int32 = -1
    var attempts: Int32 = 0
    /// Tokens out so far in this attempt; counted only where the gateway has to watch lengths.
    var tokensOut: Int32 = 0
    /// Prompt tokens that the engine had cached; known when it has finished.
    var cachedTokens: Int32 = 0
    /// When it last reached a replica.
    var delivered = Instant.zero
    /// When an engine first began to compute it, or when it was turned away; nil while it waits for either.
    var waitEnded: Instant?
    var firstToken = Instant.zero
    var finished = Instant.zero

    init(_ workClass: WorkClass, promptTokens: Int, outputTokens: Int, arrival: Instant) {
        self.workClass = workClass
        self.promptTokens = Int32(clamping: promptTokens)
        self.outputTokens = Int32(clamping: outputTokens)
        self.arrival = arrival
    }

    /// Time from arrival to the first token, in milliseconds; queueing and the cost of the HTTP layer included.
    var ttftMilliseconds: Double { (firstToken - arrival).milliseconds }

    /// Mean time per token after the first, in milliseconds; nil for answers of one token.
    var tpotMilliseconds: Double? {
        outputTokens > 1 ? (finished - firstToken).milliseconds / Double(outputTokens - 1) : nil
    }
}

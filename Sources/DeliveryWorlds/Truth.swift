import Basics
import Delivery

/// What the checker knows of one generation of a message.
struct MessageTruth {
    let sequence: Int64
    let message: InferenceMessage
    let digest: UInt64

    /// Who holds it and until when, as far as the answers of the queue say.
    var holder: (token: Int64, end: Instant)?
    /// Its one record.
    var record: Record?

    /// When its owner has first asked to take it back.
    var cancelCommitted: Instant?
    /// When it may be tried again, in steady time; nil for at once.
    var due: Instant?
    /// Since when its deadline has been seen to be past.
    var deadlinePassed: Instant?
    /// The tokens of the leases that were given back.
    var released: Set<Int64> = []

    var executions: [Execution] = []
    /// Offers within a second, to tell messages that run in circles.
    var offers: (count: Int, since: Instant) = (0, .zero)

    struct Record {
        let status: Int?
        let code: String?
    }

    struct Execution {
        let life: Int
        let request: UInt64
        let lease: Lease
        let started: Instant
        var outcome: AttemptOutcome?
    }

    init(sequence: Int64, message: InferenceMessage) {
        self.sequence = sequence
        self.message = message
        digest = message.contentDigest
    }

    /// The answer that an endpoint gives to this payload.
    static func answer(to payload: [UInt8], status: Int) -> [UInt8] { Array("\(status):".utf8) + payload }
}

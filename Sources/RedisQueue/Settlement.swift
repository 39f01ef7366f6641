import RedisClient

/// The end of one claim, as `SettleScript` takes it.
struct Settlement: Sendable {
    /// What becomes of it.
    enum Kind: Sendable {
        /// The result is pushed, the message is gone.
        case result(ResultParts)
        /// Back to the queue, or to the retry set.
        case back(BackParts)
        /// Among the dead letters, with a result for the producer if it is known who that is.
        case dead(entry: [UInt8], ResultParts?)
    }

    /// A result and what goes with the message.
    struct ResultParts: Sendable {
        let route: ResultRoute
        let result: [UInt8]
        let id: String
        let token: String
        var payloadKey = ""
        /// The head of a dead letter, where the message is to be kept as one.
        var deadLetterHead: [UInt8] = []
    }

    /// How a message goes back.
    struct BackParts: Sendable {
        /// Until its next attempt, in seconds; none or less: it can be taken at once.
        let delay: Double
        let score: String
        /// The bytes to replace; empty range at 0 and no bytes: the member stays as it is.
        var range = 0..<0
        var replacement: [UInt8] = []
    }

    /// The claim.
    let key: [UInt8]
    let owner: [UInt8]
    let uncertain: CommitPlace?
    let kind: Kind

    /// How much it adds to a batch, in bytes.
    var weight: Int {
        switch kind {
        case .result(let parts): 256 + parts.result.count
        case .back(let parts): 256 + parts.replacement.count
        case .dead(let entry, let parts): 256 + entry.count + (parts?.result.count ?? 0)
        }
    }

    var arguments: [RedisArgument] {
        var name: RedisArgument
        var values: [RedisArgument]
        switch kind {
        case .result(let parts):
            name = "result"
            values = [
                .text(parts.route.list), .integer(Int64(parts.route.lifetime)), .bytes(parts.result),
                .text(parts.payloadKey), .text(QueueKeys.active(parts.id)), .text(QueueKeys.cancel(parts.id)),
                .text(parts.token), .bytes(parts.deadLetterHead),
            ]
        case .back(let parts):
            name = "back"
            values = [
                .double(max(0, parts.delay)), .text(parts.score),
                // Lua counts from 1 and includes the end.
                .integer(Int64(parts.replacement.isEmpty ? 0 : parts.range.lowerBound + 1)),
                .integer(Int64(parts.replacement.isEmpty ? 0 : parts.range.upperBound)), .bytes(parts.replacement),
            ]
        case .dead(let entry, let parts):
            name = "dead"
            values = [.bytes(entry)]
            if let parts {
                values += [
                    .text(parts.route.list), .integer(Int64(parts.route.lifetime)), .bytes(parts.result),
                    .text(QueueKeys.active(parts.id)), .text(QueueKeys.cancel(parts.id)), .text(parts.token),
                ]
            } else {
                values += ["", 0, "", "", "", ""]
            }
        }
        let claim: [RedisArgument] = [
            .bytes(key), .bytes(owner), .text(uncertain?.key ?? ""), .text(uncertain.map { String($0.place) } ?? ""),
        ]
        return [.integer(Int64(1 + claim.count + values.count)), name] + claim + values
    }
}

/// What a settlement came to.
enum SettlementOutcome: Hashable, Sendable {
    /// It took effect, now or in an earlier try.
    case done
    /// The claim is in other hands; nothing was changed.
    case lost
    /// The server did not take the result, or the message, for this reason; the claim stands and nothing is out.
    case refused(String)
    /// The same of the dead letters.
    case notBuried(String)
}

/// A settlement whose outcome is not known: the server could not be reached, or did not answer.
struct UncertainSettlement: Error {
    let error: RedisError
    /// Where its outcome may be found; nil if nothing has been sent.
    let place: CommitPlace?
}

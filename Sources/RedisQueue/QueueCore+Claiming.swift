import Basics
import Delivery
import MessageQueues
import RedisClient
import Synchronization

extension QueueCore {
    /// A claim as the script returns it.
    private struct Claimed {
        let key: [UInt8]
        let owner: [UInt8]
        let score: String
        let member: [UInt8]
    }

    /// A claim whose member could be read.
    private struct Candidate {
        let lease: Lease
        let claim: HeldClaim
        let envelope: Envelope
    }

    /// What a claiming call brought.
    struct Taken {
        var messages: [LeasedMessage] = []
        /// Members that still wait.
        var left = 0
        /// How many of them, from the head on, are evidently of excluded targets.
        var passed = 0
        /// Whether all that wait have been looked at.
        var reachedEnd = false
    }

    /// Claims up to `limit` waiting messages with a score up to `upperBound`, behind the first `passed`, except those that
    /// are evidently of excluded targets, and ends those that cannot or are not to be run.
    func claim(
        limit: Int, upperBound: String = "+inf", passing passed: Int = 0, excluding targets: Set<String> = [],
        duration: TimeSpan
    ) async throws -> Taken {
        let token = Int64.random(in: 1...Int64.max)
        var (claims, taken) = try await takeClaims(
            limit: limit, upperBound: upperBound, passing: passed, excluding: targets, duration: duration,
            token: token)
        if claims.isEmpty { return taken }
        var candidates: [Candidate] = []
        var endings: [@Sendable () async throws -> Void] = []
        for claimed in claims {
            do throws(EnvelopeFault) {
                candidates.append(try candidate(claimed, token: token))
            } catch {
                endings.append { [self] in try await bury(claimed, error) }
            }
        }
        do {
            taken.messages = try await fill(candidates, &endings)
        } catch {
            // Nobody will work on them; what cannot be given back comes back when the lease runs out.
            for candidate in candidates {
                Task { try? await orForget(candidate.lease) { try await giveBack(candidate.lease, after: .zero) } }
            }
            throw error
        }
        await carryOut(endings)
        return taken
    }

    private func takeClaims(
        limit: Int, upperBound: String, passing passed: Int, excluding targets: Set<String>, duration: TimeSpan,
        token: Int64
    ) async throws -> ([Claimed], Taken) {
        let reply: RESPValue
        let tooLong = DeadLetter.head(
            reason: "the message is longer than \(configuration.maximumMemberBytes) bytes",
            queue: configuration.queueName, at: configuration.clock.now())
        do {
            reply = try await repeating(
                ClaimScripts.claim,
                keys: [
                    keys.pending, keys.claimed, keys.owners, keys.claims, keys.deadLetters,
                    keys.commit(UInt64(bitPattern: token)),
                ],
                arguments: [
                    .integer(Int64(limit)), .integer(Int64(configuration.maximumBatchBytes)),
                    .integer(max(1, duration.nanoseconds / 1_000_000)),
                    .text(QueueKeys.hexadecimal(UInt64(bitPattern: token))), .text(upperBound),
                    .integer(Int64(configuration.maximumMemberBytes)), .integer(Self.maximumDecodedBytes),
                    .bytes(tooLong), .bytes(DeadLetter.tail), .integer(Int64(passed)), .integer(Self.maximumLooks),
                ] + targets.map(RedisArgument.text))
        } catch {
            throw failure(error)
        }
        let values = reply.asArray ?? []
        var claims: [Claimed] = []
        for start in stride(from: 3, to: values.count - 3, by: 4) {
            guard let key = values[start].asBytes, let owner = values[start + 1].asBytes,
                let score = values[start + 2].asString, let member = values[start + 3].asBytes
            else { continue }
            claims.append(Claimed(key: key, owner: owner, score: score, member: member))
        }
        let numbers = values.prefix(3).map { Int($0.asInteger ?? 0) }
        guard numbers.count == 3 else { return (claims, Taken()) }
        return (claims, Taken(left: numbers[0], passed: numbers[1], reachedEnd: numbers[2] == 1))
    }

    /// Runs a script that may be sent again under the same token, once more if its reply is lost.
    private func repeating(
        _ script: RedisScript, keys: [String], arguments: [RedisArgument]
    ) async throws(RedisError) -> RESPValue {
        let keys = keys.map(RedisArgument.text)
        do {
            return try await client.run(script, keys: keys, arguments: arguments)
        } catch {
            guard error.mayHaveRun, error.mayPass else { throw error }
            return try await client.run(script, keys: keys, arguments: arguments)
        }
    }

    /// Waiting members that one call looks at.
    private static let maximumLooks: Int64 = 1000
    /// Members up to this size have their JSON decoded by the claiming script if it is not in the usual order, in bytes.
    private static let maximumDecodedBytes: Int64 = 65_536

    private func candidate(_ claimed: Claimed, token: Int64) throws(EnvelopeFault) -> Candidate {
        let envelope = try Envelope(claimed.member)
        let claim = HeldClaim(
            key: claimed.key, owner: claimed.owner, score: claimed.score, id: envelope.id, fields: envelope.fields,
            internalPlace: envelope.internalPlace, route: route(for: envelope.fields))
        let lease = table.withLock { $0.insert(claim, token: token) }
        return Candidate(lease: lease, claim: claim, envelope: envelope)
    }

    /// Makes messages of claims: with their payloads, without those that have been cancelled.
    private func fill(
        _ candidates: [Candidate], _ endings: inout [@Sendable () async throws -> Void]
    ) async throws -> [LeasedMessage] {
        let cancelled = try await cancelled(among: candidates.map(\.claim.request).filter { !$0.token.isEmpty })
        let running = candidates.filter { candidate in
            guard cancelled.contains(candidate.claim.request) else { return true }
            endings.append { [self] in try await end(candidate, .cancelled) }
            return false
        }
        let payloads = try await payloads(at: Set(running.compactMap(\.claim.fields.payloadKey)))
        let now = configuration.clock.now()
        let defaults = MessageDefaults(now: now, path: configuration.requestPath)
        return running.compactMap { candidate in
            let fields = candidate.claim.fields
            var payload: [UInt8]?
            if let key = fields.payloadKey, !key.isEmpty {
                switch payloads[key] {
                case .present(let bytes): payload = bytes
                case .tooLong, .missing, nil:
                    let reason =
                        payloads[key] == .tooLong
                        ? "the payload is longer than \(configuration.maximumMemberBytes) bytes"
                        : "the payload is not in Redis any more"
                    endings.append { [self] in try await end(candidate, .payload(reason)) }
                    return nil
                }
            }
            do throws(EnvelopeFault) {
                let message = try candidate.envelope.message(
                    payload: payload, defaults: defaults, labels: configuration.labels)
                return LeasedMessage(
                    lease: candidate.lease, message: message, attempts: fields.attempts, generation: fields.token,
                    enqueued: fields.enqueued ?? message.created)
            } catch {
                let claimed = Claimed(
                    key: candidate.claim.key, owner: candidate.claim.owner, score: candidate.claim.score,
                    member: candidate.envelope.member)
                table.withLock { _ = $0.remove(candidate.lease) }
                endings.append { [self] in try await bury(claimed, error) }
                return nil
            }
        }
    }

    /// Which of these requests somebody has asked to cancel.
    func cancelled(among requests: [RequestName]) async throws -> Set<RequestName> {
        if requests.isEmpty { return [] }
        let values: [RESPValue]
        do {
            values =
                try await client.send(
                    RedisCommand("MGET", requests.map { .text(QueueKeys.cancel($0.id)) })
                ).asArray ?? []
        } catch {
            throw failure(error)
        }
        let cancelled = zip(requests, values).filter { request, value in value.asString == request.token }
        return Set(cancelled.map(\.0))
    }

    private enum Payload: Hashable {
        case present([UInt8])
        case missing
        case tooLong
    }

    private func payloads(at places: Set<String>) async throws -> [String: Payload] {
        var left = places.filter { !$0.isEmpty }[...]
        var found: [String: Payload] = [:]
        while !left.isEmpty {
            let values: [RESPValue]
            do {
                values =
                    try await client.run(
                        ClaimScripts.payloads, keys: left.map(RedisArgument.text),
                        arguments: [
                            .integer(Int64(configuration.maximumMemberBytes)),
                            .integer(Int64(configuration.maximumBatchBytes)),
                        ]
                    ).asArray ?? []
            } catch {
                throw failure(error)
            }
            guard !values.isEmpty else {
                throw failure(.protocolViolation("a script's reply is too short"))
            }
            for (key, value) in zip(left, values) {
                if case .integer(let mark) = value {
                    found[key] = mark == 0 ? .missing : .tooLong
                } else if let bytes = value.asBytes {
                    found[key] = .present(bytes)
                }
            }
            left = left.dropFirst(values.count)
        }
        return found
    }

    // MARK: Endings

    private enum Ending {
        case cancelled
        case payload(String)

        var code: DeliveryErrorCode {
            switch self {
            case .cancelled: .cancelled
            case .payload: .payloadUnavailable
            }
        }

        var reason: String {
            switch self {
            case .cancelled: "the request was cancelled"
            case .payload(let reason): reason
            }
        }
    }

    /// Stores the result of a message that is not run.
    private func end(_ candidate: Candidate, _ ending: Ending) async throws {
        let fields = candidate.claim.fields
        let now = configuration.clock.now()
        // The result needs no payload; where the message is none for another reason, its id has to do.
        let message =
            (try? candidate.envelope.message(
                payload: Array("{}".utf8),
                defaults: MessageDefaults(now: now, path: configuration.requestPath), labels: [:]))
            ?? InferenceMessage(
                id: candidate.claim.id, created: fields.enqueued ?? now, deadline: now, path: "", payload: [])
        let leased = LeasedMessage(
            lease: candidate.lease, message: message, attempts: fields.attempts, generation: fields.token,
            enqueued: fields.enqueued ?? message.created)
        try await end(leased, candidate.claim, ending)
    }

    private func end(_ leased: LeasedMessage, _ claim: HeldClaim, _ ending: Ending) async throws {
        var result = InferenceResult(
            for: leased, queue: configuration.nameInResults, attempts: leased.attempts,
            finished: configuration.clock.now())
        result.errorCode = ending.code
        result.errorMessage = ending.reason
        let parts = parts(of: result, claim)
        _ = try await orForget(leased.lease) { try await settle(leased.lease, claim, .result(parts)) }
    }

    /// Ends a message that has been cancelled while it lay in stock.
    func endCancelled(_ leased: LeasedMessage) async throws {
        guard let claim = table.withLock({ $0[leased.lease] }) else { return }
        try await end(leased, claim, .cancelled)
    }

    /// Puts a member that cannot be run among the dead letters, with a result for whoever sent it.
    private func bury(_ claimed: Claimed, _ fault: EnvelopeFault) async throws {
        let now = configuration.clock.now()
        let claim = HeldClaim(
            key: claimed.key, owner: claimed.owner, score: claimed.score, id: fault.id ?? "", fields: fault.fields,
            internalPlace: .insertion(at: 1), route: route(for: fault.fields))
        let lease = table.withLock { $0.insert(claim, token: 0) }
        let entry = DeadLetter.entry(
            claimed.member, reason: fault.reason, queue: configuration.queueName, at: now)
        var answer: Settlement.ResultParts?
        if let id = fault.id, !id.isEmpty {
            let message = InferenceMessage(
                id: id, created: fault.fields.enqueued ?? now, deadline: now, path: "", payload: [])
            let leased = LeasedMessage(
                lease: lease, message: message, attempts: fault.fields.attempts, generation: fault.fields.token,
                enqueued: message.created)
            var result = InferenceResult(
                for: leased, queue: configuration.nameInResults, attempts: fault.fields.attempts, finished: now)
            result.errorCode = .invalidRequest
            result.errorMessage = fault.reason
            answer = parts(of: result, claim)
        }
        let kind = Settlement.Kind.dead(entry: entry, answer)
        _ = try await orForget(lease) { try await settle(lease, claim, kind) }
    }

    /// What is stored of a result.
    func parts(of result: InferenceResult, _ claim: HeldClaim) -> Settlement.ResultParts {
        var parts = Settlement.ResultParts(
            route: claim.route, result: ResultCodec.encode(result), id: claim.id, token: claim.fields.token)
        parts.payloadKey = claim.fields.payloadKey ?? ""
        if result.isDeadLetter {
            parts.deadLetterHead = DeadLetter.head(
                reason: result.errorMessage ?? "given up", queue: configuration.queueName, at: result.finished)
        }
        return parts
    }

    /// Does all of it, in as few batches as it takes. What fails is tried again when it is claimed again, and must not hold up
    /// the others meanwhile.
    private func carryOut(_ endings: [@Sendable () async throws -> Void]) async {
        await withTaskGroup(of: Void.self) { group in
            for ending in endings {
                group.addTask { [self] in
                    do {
                        try await ending()
                    } catch {
                        reportOnce(error)
                    }
                }
            }
        }
    }

    /// Does something with a claim that only this queue holds. If that fails, nobody knows of the claim any more; it comes back
    /// when its lease runs out.
    func orForget(_ lease: Lease, _ body: () async throws -> Bool) async throws -> Bool {
        do {
            return try await body()
        } catch {
            table.withLock { _ = $0.remove(lease) }
            throw error
        }
    }
}

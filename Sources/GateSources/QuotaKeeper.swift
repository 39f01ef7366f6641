public import Basics
public import DispatchGates
import RedisClient
import Synchronization

/// Why a quota could not be asked; a sentence without secrets. The request is neither granted nor refused.
public struct QuotaError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The sentence.
    public let description: String
}

/// Takes units of quotas that many processors share through Redis, and gives them back.
///
/// Every unit has an owner. A slot whose holder died is free again after its life (the window of its request; 300 s
/// without one), however busy its tenant is, because living holders say so every third of it (`run()`). A unit can be
/// given back once, and only by its owner; what could not be given back because the server was away is given back later.
///
/// With processors of the reference ([B] and [C]) on the same keys:
///
/// - Rate limits are the same sorted set, so both count each other exactly. Tokens of ours can be given back.
/// - Concurrency limits are the same number: both see each other's slots and neither exceeds the limit. Slots of the
///   reference still have no owner: what its dead processors left behind is forgotten when no living one has acquired or
///   released a slot of that tenant for a window. Our own activity does not keep it alive, as the reference's does. If a
///   vintage sets the key's time to live only when it creates the key, a slot of its that is held for longer than a
///   window beside slots of ours may be forgotten early, as it is without us.
/// - If all of our processors die at once, their slots stay in the number until one of ours touches the key again, or
///   until three windows have passed; the reference's processors, which know nothing of owners, prolong that while they
///   are busy with the same tenant.
/// - All who share a key must agree on its window.
public final class QuotaKeeper: Sendable {
    /// How often the keeper looks whether something has to be renewed or given back again.
    private static let tick = TimeSpan.milliseconds(200)
    private static let pauseAfterFailure = TimeSpan.seconds(1)

    private let redis: RedisClients
    private let timeout: TimeSpan
    private let availability: Availability<String>
    private let ledger = Mutex(QuotaLedger())

    /// Creates a keeper; `run()` has to run beside its use.
    ///
    /// - Parameters:
    ///   - redis: the clients; the caller closes them.
    ///   - timeout: longest time for one question.
    ///   - onChange: is called when a server fails, with the reason, and with nil when it answers again; from any thread. The
    ///     first text says which server, without its password.
    public init(
        redis: RedisClients, timeout: TimeSpan = .seconds(2),
        onChange: @escaping @Sendable (_ server: String, _ failure: String?) -> Void = { _, _ in }
    ) {
        self.redis = redis
        self.timeout = timeout
        availability = Availability { address, failure in
            let server = (try? RedisClients.address(address)).map { "\($0)" } ?? "of an unreadable address"
            onChange("redis server \(server)", failure)
        }
    }

    /// Slots that this process holds.
    public var slotsHeld: Int { ledger.withLock { $0.held } }

    /// Units that could not be given back yet, because their server does not answer.
    public var unitsOwed: Int { ledger.withLock { $0.owed } }

    /// Asks for one unit; false when the quota is used up. Asking again with the same owner changes nothing.
    ///
    /// - Throws: `QuotaError` if the server could not be asked, or `CancellationError`; if it may have granted the unit, it is
    ///   given back.
    public func acquire(_ request: QuotaRequest) async throws -> Bool {
        let life = RedisArgument.integer(QuotaLedger.life(request).nanoseconds / 1_000_000)
        let arguments = [life, .integer(Int64(request.limit)), .text(request.owner)]
        do {
            let client = try redis.client(at: request.address)
            let reply =
                switch request.mode {
                case .concurrency:
                    try await client.run(
                        QuotaScripts.acquireSlot, keys: Self.keys(request), arguments: arguments, timeout: timeout)
                case .rateLimit:
                    try await client.run(
                        QuotaScripts.acquireToken, keys: Self.keys(request), arguments: arguments, timeout: timeout)
                }
            availability.note(request.address, failure: nil)
            guard reply.asInteger == 1 else { return false }
        } catch let error as RedisError {
            note(error, of: request.address)
            if error.mayHaveRun { ledger.withLock { $0.owe([request], now: Self.now()) } }
            if case .cancelled = error { throw CancellationError() }
            throw QuotaError(description: "the quota \(request.key) cannot be asked: \(error)")
        } catch {
            availability.note(request.address, failure: "\(error)")
            throw QuotaError(description: "the quota \(request.key) cannot be asked: \(error)")
        }
        ledger.withLock { $0.noteGranted(request, now: Self.now()) }
        return true
    }

    /// Gives units back; returns when the server knows, or has not answered. Then they are given back later by `run()`.
    public func giveBack(_ requests: [QuotaRequest]) async {
        guard !requests.isEmpty else { return }
        ledger.withLock { $0.owe(requests, now: Self.now()) }
        // Not cut short by the end of the caller's task: that is when units come back.
        await Task { _ = await self.payBack(requests) }.value
    }

    /// Waits until everything that is owed has been given back, or the time is over: for the end of a process, whose slots
    /// would otherwise count until they run out. Also goes on in a task that was cancelled.
    ///
    /// - Returns: whether nothing is owed any more.
    @discardableResult public func settle(within limit: TimeSpan) async -> Bool {
        // The time limit cancels only what waits for a server.
        await Task { _ = try? await within(limit) { await self.payBackAll() } }.value
        return unitsOwed == 0
    }

    private func payBackAll() async {
        while !Task.isCancelled {
            let debts = ledger.withLock { $0.debts(now: Self.now()) }
            if debts.isEmpty { return }
            if await !payBack(debts) { try? await Task.sleep(for: .nanoseconds(Self.tick.nanoseconds)) }
        }
    }

    /// Keeps slots alive and gives back what could not be given back, until the task is cancelled.
    public func run() async {
        var quietUntil = Instant.zero
        while !Task.isCancelled {
            let now = Self.now()
            if now >= quietUntil {
                let (due, debts) = ledger.withLock { ($0.dueForRenewal(now: now), $0.debts(now: now)) }
                let renewed = await renew(due)
                let paid = await payBack(debts)
                if !renewed || !paid { quietUntil = Self.now() + Self.pauseAfterFailure }
            }
            try? await Task.sleep(for: .nanoseconds(Self.tick.nanoseconds))
        }
    }

    /// False if a server did not answer, or with an error.
    private func renew(_ requests: [QuotaRequest]) async -> Bool {
        await tell(
            requests,
            // An earlier server may have taken long: who has given a slot back meanwhile does not want it renewed.
            remaining: { requests in self.ledger.withLock { $0.held(of: requests) } },
            done: { requests in self.ledger.withLock { $0.renewed(requests, now: Self.now()) } },
            failed: { requests in
                self.ledger.withLock { ledger in
                    ledger.renewalFailed(requests)
                    ledger.renewed(requests, now: Self.now())
                }
            }
        ) { batch in
            RedisScriptCall(
                QuotaScripts.renewSlots, keys: Self.keys(batch[0]), arguments: Self.arguments(batch))
        }
    }

    /// False if a server did not answer, or with an error.
    private func payBack(_ requests: [QuotaRequest]) async -> Bool {
        await tell(requests, done: { requests in self.ledger.withLock { $0.settle(requests) } }) { batch in
            guard batch[0].mode == .concurrency else {
                return RedisScriptCall(
                    QuotaScripts.returnTokens, keys: Self.keys(batch[0]), arguments: Self.arguments(batch))
            }
            return RedisScriptCall(
                QuotaScripts.returnSlots, keys: Self.keys(batch[0]), arguments: Self.arguments(batch))
        }
    }

    /// Tells each server about its requests in one pipeline, one script for each key.
    private func tell(
        _ requests: [QuotaRequest], remaining: ([QuotaRequest]) -> [QuotaRequest] = { $0 },
        done: ([QuotaRequest]) -> Void = { _ in }, failed: ([QuotaRequest]) -> Void = { _ in },
        _ call: ([QuotaRequest]) -> RedisScriptCall
    ) async -> Bool {
        var allAnswered = true
        for (address, all) in Dictionary(grouping: requests, by: \.address).sorted(by: { $0.key < $1.key }) {
            let requests = remaining(all)
            if requests.isEmpty { continue }
            let batches = Dictionary(grouping: requests) { BatchKey(key: $0.key, mode: $0.mode) }.values.flatMap {
                $0.split(atMost: 1000)
            }
            do {
                let replies = try await redis.client(at: address).run(batches.map(call), timeout: timeout)
                for (batch, reply) in zip(batches, replies) {
                    switch reply {
                    case .success:
                        availability.note(address, failure: nil)
                        done(batch)
                    case .failure(let error):
                        note(.server(error), of: address)
                        failed(batch)
                        allAnswered = false
                    }
                }
            } catch {
                if let error = error as? RedisError {
                    note(error, of: address)
                } else {
                    availability.note(address, failure: "\(error)")
                }
                failed(requests)
                allAnswered = false
            }
        }
        return allAnswered
    }

    private func note(_ error: RedisError, of address: String) {
        switch error {
        case .cancelled: break
        // About one key, and not about its server.
        case .server(let answer) where answer.code == "WRONGTYPE": break
        default: availability.note(address, failure: "\(error)")
        }
    }

    private struct BatchKey: Hashable {
        let key: String
        let mode: QuotaRequest.Mode
    }

    private static func keys(_ request: QuotaRequest) -> [RedisArgument] {
        switch request.mode {
        case .concurrency: [.text(request.key), .text(QuotaScripts.slots(of: request.key))]
        case .rateLimit: [.text(request.key)]
        }
    }

    private static func arguments(_ batch: [QuotaRequest]) -> [RedisArgument] {
        [.integer(QuotaLedger.life(batch[0]).nanoseconds / 1_000_000)] + batch.map { .text($0.owner) }
    }

    private static let start = ContinuousClock.now

    private static func now() -> Instant {
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        // A second on from the origin, which stands for never.
        return Instant(nanoseconds: (seconds + 1) * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}

extension RedisError {
    /// Whether the command may have taken effect although there is no answer.
    fileprivate var mayHaveRun: Bool {
        switch self {
        case .timedOut, .connectionLost(true), .replyTooLong, .protocolViolation, .cancelled, .closed: true
        case .notConnected, .connectionLost(false), .server: false
        }
    }
}

extension Array {
    fileprivate func split(atMost limit: Int) -> [[Element]] {
        stride(from: 0, to: count, by: limit).map { Array(self[$0..<Swift.min($0 + limit, count)]) }
    }
}

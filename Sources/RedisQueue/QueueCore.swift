import Basics
import Delivery
import MessageQueues
import RedisClient
import Synchronization

/// What `RedisSortedSetQueue` is made of; its housekeeping holds this and not the queue itself, so that a queue that nobody
/// holds any more ends.
final class QueueCore: Sendable {
    let configuration: RedisSortedSetQueue.Configuration
    let client: RedisClient
    let keys: QueueKeys
    let line: SettlementLine
    let table = Mutex(ClaimTable())
    /// Messages may be ready.
    let readiness = ChangeSignal()
    /// Cancel keys of messages in hand have changed.
    let cancellations = ChangeSignal()
    /// The retry set has changed.
    let chores = ChangeSignal()
    /// A connection has come about.
    let connections = ChangeSignal()
    let troubles = Mutex(TroubleLog())
    private let lastFailure = Mutex("")
    private let watching = Mutex<RedisWatch?>(nil)
    /// The lease that was asked for last, for what lies in stock.
    let leaseDuration = Mutex(TimeSpan.seconds(15))
    let foreignRetries = Mutex(ForeignRetries())
    /// How far the search for messages of other targets has come.
    let search = Mutex(TargetSearch())

    init(client: RedisClient, configuration: RedisSortedSetQueue.Configuration) {
        self.client = client
        self.configuration = configuration
        keys = configuration.keys
        let place = Self.place(configuration)
        line = SettlementLine(client: client, keys: keys, clock: configuration.clock) { warning in
            let detail = "some of what belongs to messages that have ended could not be put away: \(warning)"
            configuration.reportsError(MessageQueueError.unavailable(place: place, detail: detail))
        }
    }

    // MARK: Changes

    /// Has the server tell of changes of the keys that matter here.
    func startWatching() {
        let watch = client.watch(
            prefixes: Self.withoutOverlap([keys.pending, keys.retry, QueueKeys.cancelPrefix]),
            keys: { [weak self] changed in self?.note(changed) }, onStatus: { [weak self] in self?.note($0) })
        watching.withLock { $0 = watch }
    }

    func stopWatching() async {
        let watch = watching.withLock { watch in
            defer { watch = nil }
            return watch
        }
        await watch?.close()
    }

    /// Whether the server tells of changes now.
    var isTold: Bool { watching.withLock { $0?.status == .active } }

    /// Whether it is known that the server cannot be reached.
    var isCutOff: Bool {
        if case .connecting(.some) = watching.withLock({ $0?.status }) { true } else { false }
    }

    private func note(_ status: RedisPushStatus) {
        guard case .connecting(let reason?) = status, troubles.withLock({ $0.cutOff() }) else { return }
        configuration.reportsError(failure(.notConnected(reason: reason)))
    }

    /// Reports a failure of one message or call, unless it is the same as the last one, or no wonder.
    func reportOnce(_ error: any Error) {
        let isNews = lastFailure.withLock { last in
            defer { last = "\(error)" }
            return last != "\(error)"
        }
        if isNews, !isCutOff { configuration.reportsError(error) }
    }

    private func note(_ changed: [String]?) {
        guard let changed else {
            connections.notify()
            readiness.notify()
            chores.notify()
            if table.withLock({ $0.noteChanges(of: nil) }) { cancellations.notify() }
            return
        }
        if changed.contains(keys.pending) { readiness.notify() }
        if changed.contains(keys.retry) { chores.notify() }
        let ids = changed.compactMap(QueueKeys.cancelledID)
        if !ids.isEmpty, table.withLock({ $0.noteChanges(of: ids) }) { cancellations.notify() }
    }

    /// The server does not take prefixes that begin with one another.
    static func withoutOverlap(_ prefixes: [String]) -> [String] {
        var kept: [String] = []
        for prefix in Set(prefixes).sorted() where !kept.contains(where: prefix.hasPrefix) { kept.append(prefix) }
        return kept
    }

    // MARK: Settling

    /// Ends a claim; false if it is lost.
    ///
    /// A result that its list can never take is kept among the dead letters: it must not hold up anything else.
    func settle(_ lease: Lease, _ claim: HeldClaim, _ kind: Settlement.Kind) async throws -> Bool {
        table.withLock { $0.beginSettling(lease) }
        defer { table.withLock { $0.endSettling(lease) } }
        let settlement = Settlement(key: claim.key, owner: claim.owner, uncertain: claim.uncertain, kind: kind)
        let outcome: SettlementOutcome
        do {
            outcome = try await line.settle(settlement)
        } catch {
            if let place = error.place { table.withLock { $0.remember(place, for: lease) } }
            throw failure(error.error)
        }
        switch outcome {
        case .done, .lost:
            table.withLock { _ = $0.remove(lease) }
            return outcome == .done
        case .notBuried(let reason):
            let complaint = "the list \(keys.deadLetters) does not take the dead letter: \(reason)"
            let error = MessageQueueError.unavailable(place: place, detail: complaint)
            // Its producer hears of it in any case.
            guard case .result(var parts) = kind, !parts.deadLetterHead.isEmpty else { throw error }
            reportOnce(error)
            parts.deadLetterHead = []
            return try await settle(lease, claim, .result(parts))
        case .refused(let reason):
            if case .back(let parts) = kind {
                let set = parts.delay > 0 ? keys.retry : keys.pending
                throw MessageQueueError.unavailable(place: place, detail: "the set \(set) does not take it: \(reason)")
            }
            let complaint = "the list \(claim.route.list) does not take the result: \(reason)"
            let error = MessageQueueError.unavailable(place: place, detail: complaint)
            guard Self.isFinal(reason), let other = withoutList(kind, complaint) else { throw error }
            configuration.reportsError(error)
            return try await settle(lease, claim, other)
        }
    }

    /// Whether a list will not take results later either: it is no list, or not ours to write to.
    private static func isFinal(_ reason: String) -> Bool {
        ["WRONGTYPE", "NOPERM"].contains { reason.hasPrefix($0) || reason.hasPrefix("-" + $0) }
    }

    /// The same end with the result among the dead letters; nil if that is where it was to go.
    private func withoutList(_ kind: Settlement.Kind, _ complaint: String) -> Settlement.Kind? {
        switch kind {
        case .back, .dead(_, nil): return nil
        case .dead(let entry, _): return .dead(entry: entry, nil)
        case .result(let parts):
            guard parts.route.list != keys.deadLetters else { return nil }
            var kept = Settlement.ResultParts(
                route: ResultRoute(list: keys.deadLetters, lifetime: 0),
                result: DeadLetter.entry(
                    result: parts.result, reason: complaint, queue: configuration.queueName,
                    at: configuration.clock.now()),
                id: parts.id, token: parts.token)
            kept.payloadKey = parts.payloadKey
            return .result(kept)
        }
    }

    /// Gives a message back as it is, to be taken after `delay`.
    func giveBack(_ lease: Lease, after delay: TimeSpan) async throws -> Bool {
        guard let claim = table.withLock({ $0[lease] }) else { return false }
        return try await giveBack(lease, claim, attempts: claim.fields.attempts, after: delay)
    }

    func giveBack(
        _ lease: Lease, _ claim: HeldClaim, attempts: AttemptRecord, after delay: TimeSpan
    ) async throws -> Bool {
        var parts = Settlement.BackParts(delay: delay.seconds, score: claim.score)
        // In the retry set a member has to say where it belongs, and at which score.
        if delay > .zero || attempts != claim.fields.attempts {
            let object = claim.fields.rewritten(
                attempts: attempts, queue: configuration.queueName, score: claim.score)
            (parts.range, parts.replacement) = claim.internalPlace.edit(object)
        }
        let isDone = try await settle(lease, claim, .back(parts))
        if isDone { (delay > .zero ? chores : readiness).notify() }
        return isDone
    }

    // MARK: Names

    var place: String { Self.place(configuration) }

    private static func place(_ configuration: RedisSortedSetQueue.Configuration) -> String {
        "Redis, key \(configuration.queueName)"
    }

    func failure(_ error: RedisError) -> MessageQueueError {
        if case .closed = error { return .closed }
        return .unavailable(place: place, detail: error.description)
    }

    /// Where the result of a message goes: the queue's own list, or else the message's, or else that of the transport; once a
    /// processor has settled that (llm-d-async notes it in the message), what it has settled.
    func route(for fields: InternalFields) -> ResultRoute {
        let named = fields.resultQueue.flatMap { $0.isEmpty ? nil : $0 }
        let configured = fields.resultRouteIsSettled ? nil : configuration.resultQueueName
        let lifetime =
            fields.resultRouteIsSettled
            ? fields.resultLifetime
            : Int(min(max(0, configuration.resultLifetime?.seconds ?? 0), Double(InternalFields.longestLifetime)))
        return ResultRoute(list: configured ?? named ?? configuration.defaultResultQueueName, lifetime: lifetime)
    }
}

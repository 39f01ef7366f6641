import Basics
import Delivery
import MessageQueues
import RedisClient
import Synchronization

/// What `RedisChannelQueue` is made of; subscription and housekeeping hold this and not the queue itself, so that a queue
/// that nobody holds any more ends.
final class ChannelCore: Sendable {
    private struct State {
        var table: ChannelTable
        var statistics = RedisChannelQueue.Statistics()
        /// Results for messages that cannot be run, to be published.
        var answers: [[UInt8]] = []
        var foreignRetries = ForeignRetries()
        var troubles = TroubleLog()
        /// Whether nothing more is to be handed out.
        var isStopped = false
    }

    /// Answers to unreadable messages that wait to be published; beyond this they are left out.
    private static let maximumAnswers = 1_024
    /// Retries taken in one call, and their bytes.
    private static let maximumRetries = 256
    private static let maximumRetryBytes = 8 << 20
    /// Bytes that one look at the retry set reads at most.
    private static let maximumLookBytes: Int64 = 16 << 20
    /// How long giving back goes on at the end.
    private static let longestEnd = TimeSpan.seconds(10)
    /// How often to look at the retry set although nothing is known to be due.
    private static let longestRest = TimeSpan.seconds(2)
    /// The same where the server does not tell of changes: others may put something there that is due soon.
    private static let longestRestUntold = TimeSpan.milliseconds(250)
    /// Changes of the retry set within this time are looked at together.
    private static let shortestRest = TimeSpan.milliseconds(5)

    let configuration: RedisChannelQueue.Configuration
    let readiness = ChangeSignal()
    private let client: RedisClient
    private let state: Mutex<State>
    private let chores = ChangeSignal()
    /// A connection has come about.
    private let connections = ChangeSignal()
    private let givingBack = Mutex<Task<Void, Never>?>(nil)
    private let watch = Mutex<RedisWatch?>(nil)
    private let subscription = Mutex<RedisSubscription?>(nil)

    init(client: RedisClient, configuration: RedisChannelQueue.Configuration) {
        self.client = client
        self.configuration = configuration
        state = Mutex(
            State(
                table: ChannelTable(
                    maximumMessages: configuration.maximumMessages, maximumBytes: configuration.maximumBytes)))
    }

    var statistics: RedisChannelQueue.Statistics { state.withLock { $0.statistics } }

    var depth: QueueDepthInMemory { state.withLock { $0.table.depth } }

    // MARK: Listening

    func listen() {
        let watching = client.watch(
            prefixes: [configuration.retryQueueName],
            keys: { [weak self] keys in
                guard let self, keys?.contains(self.configuration.retryQueueName) ?? true else { return }
                if keys == nil { self.connections.notify() }
                self.chores.notify()
            }, onStatus: { [weak self] in self?.note($0) })
        watch.withLock { $0 = watching }
        let listening = client.subscribe(channels: [configuration.channel]) { [weak self] in self?.note($0) }
        subscription.withLock { $0 = listening }
    }

    func stopListening() async {
        await subscription.withLock { $0 }?.close()
        await watch.withLock { $0 }?.close()
    }

    /// Whether what is published arrives here.
    var subscriptionStatus: RedisPushStatus {
        subscription.withLock { $0 }?.status ?? .connecting(reason: nil)
    }

    private func note(_ status: RedisPushStatus) {
        guard case .connecting(let reason?) = status, state.withLock({ $0.troubles.cutOff() }) else { return }
        configuration.reportsError(failure(.notConnected(reason: reason)))
    }

    /// Whether it is known that the server cannot be reached.
    private var isCutOff: Bool {
        if case .connecting(.some) = watch.withLock({ $0?.status }) { true } else { false }
    }

    private func note(_ event: RedisSubscriptionEvent) {
        switch event {
        case .message(_, let payload): receive(payload)
        case .subscribed(let mayHaveMissed):
            if mayHaveMissed { state.withLock { $0.statistics.interruptions += 1 } }
        case .interrupted(let reason):
            report("messages are missed until the channel is subscribed again: \(reason)")
        }
    }

    private func receive(_ member: [UInt8]) {
        let hasRoom = state.withLock { state in
            state.statistics.received += 1
            let hasRoom =
                member.count <= configuration.maximumMessageBytes && state.table.hasRoom(for: member.count)
            if !hasRoom { state.statistics.refused += 1 }
            return hasRoom
        }
        if hasRoom { insert(member) }
    }

    /// Reads a member into stock; one that cannot be run is answered.
    private func insert(_ member: [UInt8]) {
        let now = configuration.clock.now()
        do throws(EnvelopeFault) {
            let envelope = try Envelope(member)
            let message = try envelope.message(
                payload: nil, defaults: MessageDefaults(now: now, path: configuration.requestPath),
                labels: configuration.labels)
            state.withLock { state in
                state.table.insert(
                    message, of: envelope, attempts: envelope.fields.attempts, enqueued: envelope.fields.enqueued ?? now
                )
            }
            readiness.notify()
        } catch {
            let answer = answer(to: error, now: now)
            state.withLock { state in
                state.statistics.unreadable += 1
                if let answer, state.answers.count < Self.maximumAnswers { state.answers.append(answer) }
            }
            chores.notify()
        }
    }

    private func answer(to fault: EnvelopeFault, now: Instant) -> [UInt8]? {
        guard let id = fault.id, !id.isEmpty else { return nil }
        let message = InferenceMessage(
            id: id, created: fault.fields.enqueued ?? now, deadline: now, path: "", payload: [])
        let leased = LeasedMessage(
            lease: Lease(sequence: 0, token: 0), message: message, attempts: fault.fields.attempts,
            generation: fault.fields.token, enqueued: message.created)
        var result = InferenceResult(
            for: leased, queue: configuration.name ?? configuration.channel, attempts: leased.attempts, finished: now)
        result.errorCode = .invalidRequest
        result.errorMessage = fault.reason
        return ResultCodec.encode(result)
    }

    // MARK: Leases

    func lease(
        limit: Int, duration: TimeSpan, excluding targets: Set<String>
    ) -> [LeasedMessage] {
        let now = configuration.clock.steady()
        return withRoomMade { table in
            _ = table.reclaim(now: now)
            return table.take(limit: limit, excluding: targets, until: now + duration)
        }
    }

    func leaseOverdue(before instant: Instant, limit: Int, duration: TimeSpan) -> [LeasedMessage] {
        let now = configuration.clock.steady()
        return withRoomMade { $0.takeOverdue(before: instant, limit: limit, until: now + duration) }
    }

    func extend(_ leases: [Lease], duration: TimeSpan) -> [Lease] {
        let expires = configuration.clock.steady() + duration
        return state.withLock { $0.table.extend(leases, until: expires) }
    }

    /// The housekeeping looks at when leases run out.
    private func withRoomMade(_ take: (inout ChannelTable) -> [LeasedMessage]) -> [LeasedMessage] {
        let taken = state.withLock { $0.isStopped ? [] : take(&$0.table) }
        if !taken.isEmpty { chores.notify() }
        return taken
    }

    func waitUntilReady(excluding targets: Set<String>) async {
        while !Task.isCancelled {
            let version = readiness.version
            if state.withLock({ $0.table.hasStock(excluding: targets) }) { return }
            await readiness.wait(past: version)
        }
    }

    // MARK: Endings

    func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool {
        let delay = readyAt - configuration.clock.now()
        if delay <= .zero, !state.withLock({ $0.isStopped }) {
            let isBack = state.withLock { $0.table.putBack(lease, attempts: attempts) }
            if isBack { readiness.notify() }
            return isBack
        }
        guard let held = state.withLock({ $0.table.held(lease) }) else { return false }
        try await putOff([member(of: held.envelope, held.message.message, attempts: attempts)], delay: delay)
        let wasHeld = state.withLock { $0.table.remove(lease) }
        chores.notify()
        return wasHeld
    }

    func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool {
        guard state.withLock({ $0.table.held(lease) }) != nil else { return false }
        var result = result
        // Nothing is kept here.
        result.isDeadLetter = false
        let listeners: Int64?
        do {
            let reply = try await client.send(
                RedisCommand("PUBLISH", [.text(configuration.resultChannel), .bytes(ResultCodec.encode(result))]))
            listeners = reply.asInteger
        } catch {
            throw failure(error)
        }
        return state.withLock { state in
            if listeners == 0 { state.statistics.unheardResults += 1 }
            return state.table.remove(lease)
        }
    }

    private func putOff(_ members: [[UInt8]], delay: TimeSpan) async throws {
        do {
            _ = try await client.run(
                ChannelScripts.putOff, keys: [.text(configuration.retryQueueName)],
                arguments: [.double(delay.seconds)] + members.map { .bytes($0) })
        } catch {
            throw failure(error)
        }
    }

    /// The message as it waits in the retry set, which several queues share: it names its channel.
    private func member(of envelope: Envelope, _ message: InferenceMessage, attempts: AttemptRecord) -> [UInt8] {
        var fields = envelope.fields
        fields.requestQueue = configuration.channel
        let object = fields.rewritten(
            attempts: attempts, queue: configuration.channel, score: String(message.deadline.seconds))
        let (range, bytes) = envelope.internalPlace.edit(object)
        var member = envelope.member
        member.replaceSubrange(range, with: bytes)
        return member
    }

    /// Hands nothing out from now on, and puts what waits into the retry set, where it stays.
    func stopLeasing() {
        state.withLock { $0.isStopped = true }
        givingBack.withLock { task in
            if task == nil { task = Task { await giveBackStock() } }
        }
    }

    /// Gives back what waits now, and what `stopLeasing()` began to.
    func finishGivingBack() async {
        await givingBack.withLock { $0 }?.value
        await giveBackStock()
    }

    /// Puts what nobody works on into the retry set, for whoever listens to the channel next; until that fails, and not for
    /// longer than the end may take.
    private func giveBackStock() async {
        let end = configuration.clock.steady() + Self.longestEnd
        while configuration.clock.steady() < end {
            let messages = state.withLock { $0.table.drain(limit: 64, bytes: Self.maximumRetryBytes) }
            if messages.isEmpty { return }
            do {
                try await putOff(
                    messages.map { member(of: $0.envelope, $0.message.message, attempts: $0.message.attempts) },
                    delay: .zero)
            } catch {
                return configuration.reportsError(error)
            }
        }
    }

    // MARK: Housekeeping

    /// Brings retries back whose time has come, takes back leases that have run out and answers what cannot be run, until
    /// the task is cancelled.
    func keepHouse() async {
        var lastStatus = RedisPushStatus.connecting(reason: nil)
        while !Task.isCancelled {
            let version = chores.version
            let connection = connections.version
            let now = configuration.clock.steady()
            if state.withLock({ $0.table.reclaim(now: now) }) { readiness.notify() }
            let status = subscriptionStatus
            if status != lastStatus, case .unsupported(let reason) = status { report(reason) }
            lastStatus = status

            let isTold = watch.withLock { $0?.status == .active }
            var rest = isTold ? Self.longestRest : Self.longestRestUntold
            do {
                try await publishAnswers()
                // Not in this task: what has been taken out has to come in even if it is cancelled.
                if let due = try await Task(operation: { try await takeDue() }).value { rest = min(rest, due) }
                if !isCutOff, state.withLock({ $0.troubles.succeeded() }) {
                    configuration.reportsError(RedisQueueRecovery(place: place))
                }
            } catch {
                if Task.isCancelled { return }
                if state.withLock({ $0.troubles.failed("\(error)") }) { configuration.reportsError(error) }
                await connections.wait(past: connection, atMost: restToLook(state.withLock { $0.troubles.rest }))
                continue
            }
            rest = restToLook(rest)
            guard rest > .zero else {
                await Task.yield()
                continue
            }
            try? await Task.sleep(for: .nanoseconds(min(rest, Self.shortestRest).nanoseconds))
            await chores.wait(past: version, atMost: rest - Self.shortestRest)
        }
    }

    /// Not longer than until a lease may run out.
    private func restToLook(_ rest: TimeSpan) -> TimeSpan {
        guard let look = state.withLock({ $0.table.nextLook }) else { return rest }
        return min(rest, max(.zero, look - configuration.clock.steady()))
    }

    private func publishAnswers() async throws {
        let answers = state.withLock { state in
            defer { state.answers = [] }
            return state.answers
        }
        do {
            _ = try await client.send(
                answers.map { RedisCommand("PUBLISH", [.text(configuration.resultChannel), .bytes($0)]) })
        } catch {
            throw failure(error)
        }
    }

    /// Takes retries whose time has come, as far as there is room; returns how long until there may be more.
    private func takeDue() async throws -> TimeSpan? {
        let now = configuration.clock.steady()
        let (room, bytes, place, isStopped) = state.withLock {
            ($0.table.room, $0.table.roomInBytes, $0.foreignRetries.place(now: now), $0.isStopped)
        }
        // They are safe where they are until there is room.
        if room == 0 || bytes == 0 || isStopped { return nil }
        let values: [RESPValue]
        do {
            values =
                try await client.run(
                    ChannelScripts.takeDue, keys: [.text(configuration.retryQueueName)],
                    arguments: [
                        .text(configuration.channel), .integer(Int64(min(room, Self.maximumRetries))),
                        .integer(Int64(min(bytes, Self.maximumRetryBytes))),
                        .integer(Int64(configuration.maximumMessageBytes)), .text(place),
                        .integer(Self.maximumLookBytes),
                    ]
                ).asArray ?? []
        } catch {
            throw failure(error)
        }
        guard values.count >= 3 else { throw failure(.protocolViolation("a script's reply is too short")) }
        state.withLock {
            $0.foreignRetries.looked(until: values[1].asString ?? "", count: values[2].asInteger ?? 0)
        }
        for member in values.dropFirst(3).compactMap(\.asBytes) { insert(member) }
        return values[0].asDouble.map { .seconds($0) }
    }

    func delayed() async throws -> Int {
        do {
            return Int(
                try await client.send(RedisCommand("ZCARD", [.text(configuration.retryQueueName)])).asInteger ?? 0)
        } catch {
            throw failure(error)
        }
    }

    // MARK: Names

    private var place: String { "Redis, channel \(configuration.channel)" }

    private func failure(_ error: RedisError) -> MessageQueueError {
        if case .closed = error { return .closed }
        return .unavailable(place: place, detail: error.description)
    }

    private func report(_ detail: String) {
        configuration.reportsError(MessageQueueError.unavailable(place: place, detail: detail))
    }
}

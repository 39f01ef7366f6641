public import Basics
public import Delivery
public import MessageQueues
import Synchronization

extension PubSubQueue: MessageQueue, MessageIntake {
    /// Takes messages from the stock, as `MessageQueue` says; tenants are not told apart.
    public func lease(
        limit: Int, duration: TimeSpan, excluding targets: Set<String>
    ) async throws -> [LeasedMessage] {
        guard limit > 0 else { return [] }
        let now = configuration.clock.steady()
        let taken = state.withLock { state in
            guard state.phase == .running else { return [LeasedMessage]() }
            return state.ledger.take(limit: limit, duration: duration, excluding: targets, now: now)
        }
        credit.notify()
        return taken
    }

    /// Takes messages from the stock whose deadline has passed, as `MessageQueue` says.
    public func leaseOverdue(
        before instant: Instant, limit: Int, duration: TimeSpan
    ) async throws -> [LeasedMessage] {
        guard limit > 0 else { return [] }
        let now = configuration.clock.steady()
        return state.withLock { state in
            guard state.phase == .running else { return [] }
            return state.ledger.takeOverdue(before: instant, limit: limit, duration: duration, now: now)
        }
    }

    /// Keeps messages in the processor's hands; the broker is told by the queue's own heartbeat, for as long as this is
    /// called.
    public func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease] {
        let now = configuration.clock.steady()
        return state.withLock { $0.ledger.extend(leases, duration: duration, now: now) }
    }

    /// Gives a message back: it stays here until its time has come, and so do those behind it that have its ordering
    /// key. With more than `maximumOutstandingMessages` out, and after `stopLeasing()`, it goes back to the broker. Then
    /// the broker's own retry policy makes the pause, if it is as long as ours, or its ack deadline is set to our pause,
    /// in steps of up to 600 s.
    public func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool {
        let clock = configuration.clock
        let pause = readyAt - clock.now()
        let (tookEffect, handBack) = state.withLock { state in
            state.ledger.release(lease, attempts: attempts, pause: pause, now: clock.steady())
        }
        if tookEffect { readiness.notify() }
        await self.handBack(handBack)
        return tookEffect
    }

    /// Publishes the result, waits for the confirmation, then acknowledges the message and looks at what became of
    /// that.
    ///
    /// False if the deliveries of the message had run out: the result is published then if they ran out after the last
    /// look, and the message is delivered once more.
    public func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool {
        let (first, entry, lapsed) = state.withLock { state in
            let entry = state.ledger.entries[lease]
            let lapsed = state.ledger.lapsedIDs(of: lease, now: configuration.clock.steady())
            return (state.ledger.beginCompletion(lease), entry, lapsed)
        }
        var completion = first
        if !lapsed.isEmpty {
            // Somebody else may have it by now, and publish a result of theirs.
            await extend(lapsed)
            completion = state.withLock { $0.ledger.beginCompletion(lease) }
        }
        switch completion {
        case .lost(let ackIDs):
            await handBack(DeliveryLedger.HandBack(ackIDs: ackIDs))
            return false
        case .publish:
            do {
                if result.isDeadLetter, let entry, let message = entry.message, !entry.isDeadLetterPublished {
                    try await publishDeadLetter(message, result)
                }
                let publication = ResultPublication(result)
                try await publisher.publish(
                    data: publication.data, attributes: publication.attributes,
                    to: configuration.results.topic(for: result.metadata))
            } catch {
                let now = configuration.clock.steady()
                state.withLock { $0.ledger.completionFailed(lease, now: now) }
                settlements.notify()
                throw error
            }
            state.withLock { $0.ledger.published(lease) }
        case .acknowledge: break
        }
        return await acknowledge(lease)
    }

    /// Publishes a message that was given up, once. Where the topic does not take it the result has to do.
    private func publishDeadLetter(_ leased: LeasedMessage, _ result: InferenceResult) async throws(PubSubError) {
        do throws(PubSubError) {
            try await publishDeadLetter(
                MessageCodec.encode(leased.message), attributes: [:], messageID: result.generation,
                reason: result.errorMessage ?? "given up")
            state.withLock { $0.ledger.deadLetterPublished(leased.lease) }
        } catch {
            guard error.kind == .invalid || error.kind == .notFound else { throw error }
            configuration.reportsError(error)
        }
    }

    /// Ends the stream and hands back what is not with the processor, without waiting for it; `close(within:)` does.
    public func stopLeasing() {
        state.withLock { state in
            guard state.phase < .draining else { return }
            state.phase = .draining
            state.ledger.isReturning = true
            let reader = state.reader
            state.returning = Task { await self.returnIdle(reader) }
        }
        credit.notify()
        readiness.notify()
    }

    /// Suspends until a message may be ready to be leased, or the task is cancelled.
    public func waitUntilReady(excluding targets: Set<String>) async throws {
        while !Task.isCancelled {
            let version = readiness.version
            let isReady = state.withLock { state in
                state.phase == .running && state.ledger.stock.hasMessage(excluding: targets)
            }
            if isReady { return }
            await readiness.wait(past: version)
        }
    }

    /// Pub/Sub has no way to take a message back: suspends until the task is cancelled.
    public func nextCancellations() async throws -> [Lease] {
        await ChangeSignal().wait(past: 0)
        return []
    }

    /// What is in this process, and the dead letters that it has published; what waits at the broker, and what others
    /// have published, Pub/Sub itself does not say.
    public func depth() async throws -> QueueDepth {
        state.withLock { state in
            var depth = QueueDepth()
            depth.deadLetters = state.metrics.deadLettered
            for entry in state.ledger.entries.values {
                switch entry.stage {
                case .stocked, .behind: depth.ready += 1
                case .resting: depth.delayed += 1
                case .held, .settling, .discarding: depth.leased += 1
                }
                if entry.stage.isIdle, let deadline = entry.message?.message.deadline {
                    depth.earliestDeadline = min(depth.earliestDeadline ?? deadline, deadline)
                }
            }
            return depth
        }
    }

    /// Publishes messages to the request topic and waits until all are confirmed.
    ///
    /// Pub/Sub knows no ids: a message that is handed in twice is delivered twice, and every receipt says `accepted`.
    /// If this throws, some of the messages may have been published.
    public func enqueue(_ messages: [InferenceMessage]) async throws -> [EnqueueReceipt] {
        guard let topic = configuration.requestTopic else {
            throw PubSubError(
                .invalid, place: configuration.subscription, detail: "no request topic is configured to publish to")
        }
        let lines = messages.map(MessageCodec.encode)
        for (message, line) in zip(messages, lines) where line.count > ResultPublication.maximumDataBytes {
            throw MessageQueueError.messageTooLarge(
                id: message.id, bytes: line.count, limit: ResultPublication.maximumDataBytes)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for line in lines {
                group.addTask { try await self.publisher.publish(data: line, attributes: [:], to: topic) }
            }
            try await group.waitForAll()
        }
        return messages.map { _ in .accepted }
    }
}

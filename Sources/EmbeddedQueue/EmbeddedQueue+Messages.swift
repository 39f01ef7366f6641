public import Basics
public import Delivery
public import MessageQueues

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension EmbeddedQueue: MessageQueue, MessageIntake, ResultLog {
    /// Stores messages, as `MessageQueue` says. Other processes may do so at the same time.
    public func enqueue(_ messages: [InferenceMessage]) async throws -> [EnqueueReceipt] {
        let configuration = configuration
        if let message = messages.first(where: { $0.payload.count > configuration.maximumPayloadBytes }) {
            throw MessageQueueError.messageTooLarge(
                id: message.id, bytes: message.payload.count, limit: configuration.maximumPayloadBytes)
        }
        let bytes = messages.reduce(0) { $0 + $1.payload.count + 512 }
        let free = Self.freeDiskBytes(at: configuration.path)
        if let free, free - bytes < configuration.reservedDiskBytes {
            throw MessageQueueError.full(
                place: configuration.path,
                detail: "the disk has \(free) bytes left, of which \(configuration.reservedDiskBytes) are for results")
        }
        let digests = messages.map(\.contentDigest)
        let receipts = try await writer.perform(weight: bytes, isDurable: true) { store, database in
            // A refusal is an answer like another: thrown, it would roll back what others write in the same transaction.
            let limit = min(configuration.maximumFileBytes, try MessageStore.byteLimit(database) ?? .max)
            guard try MessageStore.usedBytes(database) + bytes <= limit else { return Receipts.full(limit: limit) }
            let now = configuration.clock.now()
            return try .stored(
                zip(messages, digests).map { message, digest in
                    try store.enqueue(message, digest: digest, now: now, database)
                })
        }
        switch receipts {
        case .stored(let receipts): return receipts
        case .full(let limit): throw MessageQueueError.full(place: configuration.path, detail: "limit \(limit) bytes")
        }
    }

    /// Takes messages, as `MessageQueue` says. Only the consumer may.
    public func lease(
        limit: Int, duration: TimeSpan, excluding targets: Set<String>
    ) async throws -> [LeasedMessage] {
        precondition(role == .consumer, "only the consumer leases messages")
        guard limit > 0 else { return [] }
        let clock = configuration.clock
        let request = LeaseRequest(
            limit: limit, maximumBytes: configuration.maximumLeaseBytes, duration: duration, excluding: targets)
        let token = Int64.random(in: 1...Int64.max)
        return try await writer.perform(isDurable: false) { store, database in
            try store.lease(request, token: token, time: clock.time, database)
        }
    }

    /// Takes messages whose deadline has passed, as `MessageQueue` says. Only the consumer may.
    public func leaseOverdue(
        before instant: Instant, limit: Int, duration: TimeSpan
    ) async throws -> [LeasedMessage] {
        precondition(role == .consumer, "only the consumer leases messages")
        guard limit > 0 else { return [] }
        let clock = configuration.clock
        let request = LeaseRequest(limit: limit, maximumBytes: configuration.maximumLeaseBytes, duration: duration)
        let token = Int64.random(in: 1...Int64.max)
        return try await writer.perform(isDurable: false) { store, database in
            try store.leaseOverdue(before: instant, request, token: token, time: clock.time, database)
        }
    }

    /// Extends leases, as `MessageQueue` says.
    public func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease] {
        let clock = configuration.clock
        return try await writer.perform(isDurable: false) { store, _ in
            store.extend(leases, until: clock.steady() + duration)
        }
    }

    /// Gives a message back, as `MessageQueue` says; one that somebody has cancelled gets its result instead.
    public func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool {
        let clock = configuration.clock
        return try await writer.perform(isDurable: false) { store, database in
            try store.release(lease, attempts: attempts, readyAt: readyAt, time: clock.time, database)
        }
    }

    /// Stores a result in the place of its message, as `MessageQueue` says. A dead letter's message is kept.
    public func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool {
        let line = ResultCodec.encode(result)
        return try await writer.perform(weight: line.count, isDurable: true) { store, database in
            try store.complete(lease, with: result, line: line, database)
        }
    }

    /// Suspends until a message may be ready, whichever process enqueued it, or the task is cancelled.
    public func waitUntilReady(excluding targets: Set<String>) async throws {
        let clock = configuration.clock
        try await wait(on: signals.readiness) {
            try await writer.look { store, database in
                try store.timeUntilReady(excluding: targets, time: clock.time, database)
            }
        }
    }

    /// Suspends until leased messages are to be cancelled, as `MessageQueue` says.
    public func nextCancellations() async throws -> [Lease] {
        while !Task.isCancelled {
            let version = signals.cancellations.version
            let leases = try await writer.perform(isDurable: false) { store, database in
                try store.takeCancellations(database)
            }
            if !leases.isEmpty { return leases }
            await signals.cancellations.wait(past: version, atMost: foreignPoll)
        }
        return []
    }

    /// Reads on in the results, as `MessageQueue` says; up to 16 MiB at a time.
    public func results(after cursor: Int64, limit: Int) async throws -> [StoredResult] {
        try await reading { database in try MessageStore.results(after: cursor, limit: limit, database) }
    }

    /// Suspends until there is a result after `cursor`, whichever process stored it, or the task is cancelled.
    public func waitForResults(after cursor: Int64) async throws {
        try await wait(on: signals.completions) {
            try await reading { database in try MessageStore.hasResult(after: cursor, database) ? .zero : nil }
        }
    }

    /// How full the queue is. Counts by index what is leased or delayed; how much is ready does not matter.
    public func depth() async throws -> QueueDepth {
        let clock = configuration.clock
        return try await reading { database in try MessageStore.depth(now: clock.now(), database) }
    }

    /// What became of a call to enqueue.
    private enum Receipts: Sendable {
        case stored([EnqueueReceipt])
        case full(limit: Int)
    }

    /// What the file system of the queue has left for us, in bytes; nil if it does not say.
    private static func freeDiskBytes(at path: String) -> Int? {
        var information = statvfs()
        guard statvfs(path, &information) == 0 else { return nil }
        return Int(clamping: UInt64(information.f_bavail) &* UInt64(information.f_frsize))
    }
}

import Basics
import Delivery
import EmbeddedQueue
import GRDB
import MessageQueues

/// Those who submit messages, and what they have been told.
struct Producers {
    /// A submission that is repeated until it is answered.
    struct Ticket {
        let messages: [InferenceMessage]
        var isAnswered = false
        /// What became of it when it was committed; nil if it never was.
        var receipts: [EnqueueReceipt]?
    }

    var tickets: [Ticket] = []
    var submitted = 0
    /// Ids in the order of their first submission.
    var ids: [String] = []

    /// Whether every submission has been answered.
    var isSettled: Bool { tickets.allSatisfy(\.isAnswered) }
}

extension World {
    private static let pathOfAll = "/v1/chat/completions"
    private static let patienceOfProducers = TimeSpan.seconds(2)

    /// A producer does something, and will again.
    func produce() throws {
        guard !isCalm else { return }
        let share = profile.duration * (1.0 / Double(max(1, profile.messages * 2 / profile.burst)))
        put(.produce, after: share * Double(profile.producers) * (2 * generator.unit()))
        let draw = generator.unit()
        if draw < profile.cancellation, let id = generator.pick(producers.ids.suffix(40).map { $0 }) {
            try perform(.cancel(id: id))
        } else if draw < profile.cancellation + 0.04, let id = someDead() {
            try perform(.redrive(id: id))
        } else if draw < profile.cancellation + 0.06, let id = generator.pick(producers.ids) {
            try perform(.purge(id: id))
        } else if producers.submitted < profile.messages {
            let count = generator.number(1...profile.burst)
            let messages = (0..<count).map { _ in makeMessage() }
            producers.submitted += count
            producers.tickets.append(Producers.Ticket(messages: messages))
            let ticket = producers.tickets.count - 1
            try resubmit(ticket)
            if generator.chance(profile.cancellation) {
                put(.regret(ticket: ticket), after: generator.latency(profile.acknowledgementLatency))
            }
        }
    }

    /// Takes back the first message of a submission.
    func regret(_ ticket: Int) throws {
        guard let message = producers.tickets[ticket].messages.first else { return }
        try perform(.cancel(id: message.id))
    }

    /// Submits, until somebody answers.
    func resubmit(_ ticket: Int) throws {
        guard !producers.tickets[ticket].isAnswered else { return }
        put(.resubmit(ticket: ticket), after: Self.patienceOfProducers + generator.seconds(0, 1))
        try perform(.enqueue(ticket: ticket))
    }

    /// From inside the process by its writer, or from a process of its own in a transaction of its own.
    private func perform(_ operation: QueueOperation) throws {
        guard profile.hasForeignProducers, generator.chance(0.7) else {
            guard let process, process.frozenUntil <= now.steady else { return }
            if case .enqueue(let ticket) = operation, mutation == .acknowledgesEnqueueBeforeCommit {
                producerHears(ticket)
            }
            return call(operation, process)
        }
        // A process that dies here has not submitted anything.
        if !isCalm, generator.chance(profile.queueErrors) { return }
        var store = MessageStore(name: profile.consumer.queue)
        var note: () throws -> Void = {}
        try database.inTransaction(.immediate) {
            switch operation {
            case .enqueue(let ticket): note = try enqueue(ticket, &store)
            case .cancel(let id): note = try cancel(id, &store)
            case .redrive(let id): note = try redrive(id, &store)
            case .purge(let id): note = try purge(id, &store)
            default: break
            }
            try store.writeTally(database)
            return .commit
        }
        try note()
        try readResults()
        _ = store.takeChanges()
        tellAcrossProcesses(hasReady: true, hasCancellations: true)
        if case .enqueue(let ticket) = operation, !generator.chance(profile.lostAcknowledgements) || isCalm {
            producerHears(ticket)
        }
    }

    func producerHears(_ ticket: Int) { producers.tickets[ticket].isAnswered = true }

    private func someDead() -> String? {
        generator.pick(producers.ids.filter { !(keptDead[$0] ?? []).isEmpty })
    }

    // MARK: Messages

    private func makeMessage() -> InferenceMessage {
        if generator.chance(profile.repetition), let id = generator.pick(producers.ids),
            let known = known(id)
        {
            var message = known
            if generator.chance(0.2) { message.payload = payload(of: message.target, tokens: 7) }
            return message
        }
        let id = "message-\(producers.ids.count)"
        producers.ids.append(id)
        let target = "model-\(generator.number(0...profile.targets - 1))"
        let isUrgent = generator.chance(profile.urgency)
        let remaining =
            isUrgent ? generator.seconds(-2, 6) : generator.span(.seconds(5), profile.longestDeadline)
        return InferenceMessage(
            id: id, created: now.wall, deadline: now.wall + remaining, path: Self.pathOfAll,
            payload: payload(of: target, tokens: generator.one(of: 5, 20, 200)), model: target,
            metadata: generator.chance(0.2) ? ["key": id] : [:],
            tenant: "tenant-\(generator.number(0...profile.tenants - 1))",
            priority: generator.pick(profile.priorities) ?? 0)
    }

    /// What was submitted last under an id.
    private func known(_ id: String) -> InferenceMessage? {
        for ticket in producers.tickets.reversed() {
            if let message = ticket.messages.last(where: { $0.id == id }) { return message }
        }
        return nil
    }

    private func payload(of target: String, tokens: Int) -> [UInt8] {
        let filling = String(repeating: "x", count: generator.one(of: 0, 30, 400))
        return Array(
            #"{"model":"\#(target)","max_tokens":\#(tokens),"prompt":"\#(generator.next()) \#(filling)"}"#.utf8)
    }

    // MARK: Operations of producers, inside a transaction

    func enqueue(_ ticket: Int, _ store: inout MessageStore) throws -> () throws -> Void {
        let messages = producers.tickets[ticket].messages
        var receipts: [EnqueueReceipt] = []
        var sequences: [Int64] = []
        for message in messages {
            let receipt = try store.enqueue(message, digest: message.contentDigest, now: now.wall, database)
            receipts.append(receipt)
            sequences.append(receipt == .accepted ? database.lastInsertedRowID : 0)
        }
        return { [receipts, sequences] in
            self.log.line(self.now) {
                "enqueued \(zip(messages, zip(receipts, sequences)).map { "\($0.id) \($1.0) as \($1.1)" })"
            }
            for (index, message) in messages.enumerated() {
                self.log.note(self.now, 20, sequences[index])
                self.noteEnqueued(message, receipts[index], sequences[index])
            }
            // What it was told of the first time counts; a repetition finds what that has stored.
            if self.producers.tickets[ticket].receipts == nil { self.producers.tickets[ticket].receipts = receipts }
        }
    }

    func cancel(_ id: String, _ store: inout MessageStore) throws -> () throws -> Void {
        let receipt = try store.cancel(id, tenant: nil, generation: nil, now: now.wall, database)
        return {
            self.log.line(self.now) { "cancel \(id): \(receipt)" }
            self.log.note(self.now, 21)
            self.noteCancelled(id, receipt)
        }
    }

    func redrive(_ id: String, _ store: inout MessageStore) throws -> () throws -> Void {
        let deadline = now.wall + .seconds(60)
        let isRedriven = try store.redrive(id: id, deadline: deadline, now: now.wall, database)
        let sequence =
            isRedriven
            ? try Int64.fetchOne(database, sql: "SELECT sequence FROM message WHERE id = ?", arguments: [id]) : nil
        return {
            self.log.line(self.now) { "redrive \(id): \(sequence ?? 0)" }
            self.log.note(self.now, 22, sequence ?? 0)
            self.noteRedriven(id, sequence, deadline: deadline)
        }
    }

    func purge(_ id: String, _ store: inout MessageStore) throws -> () throws -> Void {
        let count = try store.purge(.ids([id]), database)
        return {
            self.log.line(self.now) { "purge \(id): \(count)" }
            self.log.note(self.now, 23)
            let expected = (self.keptResults[id] ?? []).count
            if count.results != expected {
                self.violate(.receiptIsTrue, "\(count.results) results of \(id) purged, of \(expected)")
            }
            self.keptResults[id] = nil
            self.keptDead[id] = nil
        }
    }
}

import Basics
import Delivery
import GRDB

// What the checker notes of leases, as the queue commits them, and what has to hold of them.
extension World {
    /// A ready message that was left where it was.
    struct ReadyMessage {
        let sequence: Int64
        let priority: Int
        let tenant: String
        let deadline: Int64
    }

    /// The ready messages for targets that are not excluded.
    func readyMessages(excluding: Set<String>) throws -> [ReadyMessage] {
        try Row.fetchAll(
            database.cachedStatement(
                sql:
                    "SELECT sequence, priority, tenant, deadline, target FROM message WHERE state = 0 ORDER BY sequence"
            )
        ).compactMap { row in
            excluding.contains(row[4])
                ? nil : ReadyMessage(sequence: row[0], priority: row[1], tenant: row[2], deadline: row[3])
        }
    }

    /// Whether a message can be taken; one that is finished needs not to be.
    func isReady(_ sequence: Int64) throws -> Bool {
        let state = try Int.fetchOne(
            database.cachedStatement(sql: "SELECT state FROM message WHERE sequence = ?"), arguments: [sequence])
        return state == nil || state == 0
    }

    func countRows(of table: String) throws -> Int {
        try Int.fetchOne(database, sql: "SELECT COUNT(*) FROM \(table)") ?? 0
    }

    func hasReadyMessages() throws -> Bool {
        try Int.fetchOne(database, sql: "SELECT 1 FROM message WHERE state = 0 LIMIT 1") != nil
    }

    /// A new consumer has taken over.
    func noteRecovered() throws {
        for sequence in held { truths[sequence]?.holder = nil }
        held = []
        guard mutation != .skipsRecovery else { return }
        // Of pauses only the calendar time has outlived the process.
        let rows = try Row.fetchAll(database, sql: "SELECT sequence, due FROM message WHERE state = 1")
        for row in rows {
            truths[row[0]]?.due = now.steady + (Instant(nanoseconds: row[1]) - now.wall)
        }
        if try Int.fetchOne(database, sql: "SELECT 1 FROM message WHERE state = 2 LIMIT 1") != nil {
            violate(.leases, "a new consumer has left leases of a dead one")
        }
    }

    /// Leases that have run out are ended.
    func endLeases() {
        for sequence in held {
            guard let holder = truths[sequence]?.holder, holder.end <= now.steady else { continue }
            truths[sequence]?.holder = nil
            counts.expiredLeases += 1
        }
        held = held.filter { truths[$0]?.holder != nil }
    }

    func noteLeased(_ messages: [LeasedMessage], isOverdue: Bool) {
        for leased in messages {
            let sequence = leased.lease.sequence
            log.note(now, 31, sequence)
            guard let truth = truths[sequence], truth.record == nil else {
                violate(.leases, "\(sequence) was leased, which is not waiting")
                continue
            }
            if truth.holder != nil { violate(.leases, "\(sequence) was leased while somebody held it") }
            if leased.message != truth.message || leased.generation != String(sequence) {
                violate(.answerBelongs, "what was leased as \(sequence) is not what was submitted")
            }
            // What has expired may be taken at any time, to be ended.
            let hasExpired = isOverdue || now.wall >= truth.message.deadline
            if let due = truth.due, !hasExpired, now.steady < due - .milliseconds(2) {
                violate(.backoff, "\(sequence) was leased \((due - now.steady).seconds) s before its time")
            }
            truths[sequence]?.holder = (leased.lease.token, now.steady + profile.consumer.leaseDuration)
            held.insert(sequence)
        }
    }

    func noteCompleted(_ lease: Lease, _ result: InferenceResult, tookEffect: Bool) {
        log.note(now, 32, lease.sequence, tookEffect ? 1 : 0)
        guard let truth = truths[lease.sequence] else { return }
        let isHolder = truth.holder?.token == lease.token
        if tookEffect != isHolder {
            violate(.leases, "a result for \(lease.sequence) took effect: \(tookEffect); held the lease: \(isHolder)")
        }
        guard tookEffect else { return }
        if result.generation != String(lease.sequence) || result.id != truth.message.id {
            violate(.answerBelongs, "the result of \(result.id)/\(result.generation) was stored for \(lease.sequence)")
        }
        if let status = result.statusCode, let payload = result.payload,
            payload != MessageTruth.answer(to: truth.message.payload, status: status)
        {
            violate(.answerBelongs, "\(lease.sequence) has the answer to another request")
        }
        if result.attempts.dispatches > truth.executions.count {
            violate(
                .recordIsTrue,
                "\(lease.sequence) names \(result.attempts.dispatches) dispatches of \(truth.executions.count)")
        }
    }

    func noteReleased(_ lease: Lease, tookEffect: Bool, asked: Instant, due: DueTime?, isFree: Bool) {
        log.note(now, 33, lease.sequence, tookEffect ? 1 : 0)
        guard let truth = truths[lease.sequence] else { return }
        let isHolder = truth.holder?.token == lease.token
        if tookEffect != isHolder {
            violate(.leases, "a release of \(lease.sequence) took effect: \(tookEffect); held: \(isHolder)")
        }
        guard tookEffect else { return }
        truths[lease.sequence]?.holder = nil
        truths[lease.sequence]?.released.insert(lease.token)
        held.remove(lease.sequence)
        // The time crosses over as calendar time; a step of the clock in this moment goes with it.
        let isStepped = lastClockStep >= asked
        truths[lease.sequence]?.due = isStepped ? nil : due?.steady
        if due?.steady == nil, !isFree {
            violate(.handBack, "\(lease.sequence) was handed back, and cannot be taken")
        }
        if due?.steady != nil { counts.retries += 1 }
    }

    func noteExtended(_ leases: [Lease], lost: [Lease]) {
        let lost = Set(lost)
        for lease in leases {
            let isHolder = truths[lease.sequence]?.holder?.token == lease.token
            if isHolder == lost.contains(lease) {
                violate(.leases, "the lease of \(lease.sequence) is said to be lost: \(!isHolder)")
            }
            if isHolder {
                truths[lease.sequence]?.holder?.end = now.steady + profile.consumer.leaseDuration
            }
        }
    }

    /// The order of what one call has taken, against what it has left.
    func checkOrder(of messages: [LeasedMessage], limit: Int, left: [ReadyMessage]) {
        if messages.count < limit, !left.isEmpty {
            violate(.order, "\(messages.count) of \(limit) were taken, and \(left.count) left that were ready")
        }
        if messages.count > limit { violate(.bounds, "\(messages.count) were taken, of \(limit) asked for") }
        var lastDeadline: [String: (Int64, Int64)] = [:]
        var served: [String: Int] = [:]
        var highestCost = 0
        for (index, leased) in messages.enumerated() {
            let message = leased.message
            if index > 0, messages[index - 1].message.priority < message.priority {
                violate(.order, "\(leased.lease.sequence) comes behind a lower class")
            }
            let lane = "\(message.priority)/\(message.tenant)"
            let place = (message.deadline.nanoseconds, leased.lease.sequence)
            if let last = lastDeadline[lane], place < last {
                violate(.order, "\(leased.lease.sequence) comes behind a later deadline of its tenant")
            }
            lastDeadline[lane] = place
            if message.priority == messages.last?.message.priority {
                let cost = message.payload.count + 1024
                served[message.tenant, default: 0] += cost
                highestCost = max(highestCost, cost)
            }
        }
        guard let lowest = messages.last?.message.priority else { return }
        var waiting: Set<String> = []
        for message in left {
            if message.priority > lowest { violate(.order, "\(message.sequence) of a higher class was left") }
            let lane = "\(message.priority)/\(message.tenant)"
            if let last = lastDeadline[lane], (message.deadline, message.sequence) < last {
                violate(.order, "\(message.sequence) has an earlier deadline than what was taken of its tenant")
            }
            if message.priority == lowest { waiting.insert(message.tenant) }
            highestCost = max(highestCost, 1024 + 600)
        }
        // Tenants who have messages left have had enough to be served all the while.
        let shares = waiting.map { served[$0] ?? 0 }
        if let least = shares.min(), let most = shares.max(), most - least > 3 * highestCost {
            violate(.order, "of two tenants who wait one got \(least) and the other \(most) bytes")
        }
    }
}

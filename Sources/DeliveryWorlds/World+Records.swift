import Basics
import Delivery
import GRDB
import MessageQueues

// What the checker learns from what the queue has committed.
extension World {
    /// A record as it lies in the queue.
    struct StoredRecord {
        let cursor: Int64
        let sequence: Int64
        let id: String
        let tenant: String
        let status: Int?
        let code: String?
        let line: [UInt8]
    }

    func fetchRecords(after cursor: Int64) throws -> [StoredRecord] {
        try Row.fetchAll(
            database.cachedStatement(
                sql: """
                    SELECT cursor, sequence, id, tenant, status, error_code, line FROM result
                    WHERE cursor > ? ORDER BY cursor
                    """), arguments: [cursor]
        ).map { row in
            StoredRecord(
                cursor: row[0], sequence: row[1], id: row[2], tenant: row[3], status: row[4], code: row[5],
                line: try row.withUnsafeData(atIndex: 6) { $0.map { [UInt8]($0) } ?? [] })
        }
    }

    /// Looks at the records that are new.
    func readResults() throws { note(try fetchRecords(after: lastCursor)) }

    func note(_ records: [StoredRecord]) {
        for record in records {
            lastCursor = max(lastCursor, record.cursor)
            note(record)
        }
    }

    private func note(_ record: StoredRecord) {
        log.note(now, 30, record.sequence, Int64(record.status ?? 0))
        log.line(now) { "record of \(record.sequence) (\(record.id)): \(record.status ?? 0) \(record.code ?? "")" }
        guard let truth = truths[record.sequence], truth.message.id == record.id else {
            return violate(.oneRecordEach, "a record of \(record.sequence) (\(record.id)), which nobody submitted")
        }
        guard truth.record == nil else {
            return violate(.oneRecordEach, "a second record of \(record.sequence) (\(record.id))")
        }
        progressed = now.steady
        truths[record.sequence]?.record = MessageTruth.Record(status: record.status, code: record.code)
        truths[record.sequence]?.holder = nil
        unfinished.remove(record.sequence)
        held.remove(record.sequence)
        openGeneration[record.id] = nil
        keptResults[record.id, default: []].append(record.sequence)
        checkLine(record, truth)
        count(record)
    }

    private func checkLine(_ record: StoredRecord, _ truth: MessageTruth) {
        if record.tenant != truth.message.tenant {
            violate(.answerBelongs, "\(record.sequence) of \(truth.message.tenant) is recorded for \(record.tenant)")
        }
        guard record.line.starts(with: Array(#"{"id":"\#(record.id)","request_token":"\#(record.sequence)","#.utf8))
        else {
            return violate(.answerBelongs, "the record of \(record.sequence) names another id or generation")
        }
        switch record.code {
        case nil:
            let answered = truth.executions.contains { execution in
                guard case .answered(let response)? = execution.outcome else { return false }
                return response.statusCode == record.status
                    && AnswerVerdict(statusCode: response.statusCode, dropReason: response.dropReason) == .final
            }
            if !answered { violate(.recordIsTrue, "\(record.sequence): nobody answered \(record.status ?? 0)") }
        case DeliveryErrorCode.cancelled.rawValue?:
            if truth.cancelCommitted == nil { violate(.recordIsTrue, "\(record.sequence): nobody cancelled it") }
        case DeliveryErrorCode.deadlineExceeded.rawValue?:
            let margin = max(profile.consumer.retries.minimumRemaining, longestRun) + .seconds(2)
            if lastClockStep < now.steady - .seconds(30), now.wall < truth.message.deadline - margin {
                let left = (truth.message.deadline - now.wall).seconds
                violate(.recordIsTrue, "\(record.sequence) has expired \(left) s before its deadline")
            }
        case DeliveryErrorCode.inferenceError.rawValue?: keptDead[record.id, default: []].append(record.sequence)
        default: violate(.recordIsTrue, "\(record.sequence): \(record.code ?? "")")
        }
    }

    private func count(_ record: StoredRecord) {
        switch record.code {
        case nil: if (record.status ?? 500) < 400 { counts.succeeded += 1 } else { counts.failed += 1 }
        case DeliveryErrorCode.cancelled.rawValue?: counts.cancelled += 1
        case DeliveryErrorCode.deadlineExceeded.rawValue?: counts.expired += 1
        default: counts.deadLetters += 1
        }
    }

    // MARK: Producers

    func noteEnqueued(_ message: InferenceMessage, _ receipt: EnqueueReceipt, _ sequence: Int64) {
        let digest = message.contentDigest
        let latest = ((keptResults[message.id] ?? []) + (keptDead[message.id] ?? [])).max()
        let expected: EnqueueReceipt =
            if let open = openGeneration[message.id] {
                truths[open]?.digest == digest ? .alreadyQueued : .conflict
            } else if let latest {
                truths[latest]?.digest == digest ? .alreadyFinished : .conflict
            } else {
                .accepted
            }
        if receipt != expected { violate(.receiptIsTrue, "\(message.id) was \(receipt), not \(expected)") }
        if receipt == .accepted { accept(message, sequence) } else { counts.resubmissions += 1 }
    }

    private func accept(_ message: InferenceMessage, _ sequence: Int64) {
        if truths[sequence] != nil { violate(.oneRecordEach, "the number \(sequence) was given twice") }
        counts.messages += 1
        truths[sequence] = MessageTruth(sequence: sequence, message: message)
        openGeneration[message.id] = sequence
        unfinished.insert(sequence)
    }

    func noteCancelled(_ id: String, _ receipt: CancelReceipt) {
        let open = openGeneration[id].flatMap { truths[$0] }
        let expected: CancelReceipt =
            if let open {
                open.holder == nil ? .cancelled : .cancelling
            } else {
                (keptResults[id] ?? []).isEmpty ? .unknown : .alreadyFinished
            }
        // A lease may have run out without the queue having been asked since.
        if receipt != expected { violate(.receiptIsTrue, "cancelling \(id): \(receipt), not \(expected)") }
        guard let open, receipt == .cancelled || receipt == .cancelling else { return }
        counts.cancellations += 1
        truths[open.sequence]?.cancelCommitted = open.cancelCommitted ?? now.steady
    }

    func noteRedriven(_ id: String, _ sequence: Int64?, deadline: Instant) {
        let latest = openGeneration[id] == nil ? (keptDead[id] ?? []).max() : nil
        guard let latest, let truth = truths[latest] else {
            if sequence != nil { violate(.receiptIsTrue, "\(id) was run again although it could not be") }
            return
        }
        guard let sequence else { return violate(.receiptIsTrue, "\(id) could not be run again") }
        counts.redrives += 1
        keptDead[id]?.removeAll { $0 == latest }
        var message = truth.message
        message.deadline = message.deadline > now.wall ? message.deadline : deadline
        accept(message, sequence)
    }
}

import Basics
import Delivery
import GRDB
import MessageQueues

/// The row of a result, without the line that holds it.
struct FinishedRequest {
    /// The columns that `init(_:)` reads, in its order.
    static let columns = """
        sequence, id, tenant, priority, path, model, deadline, created, enqueued, finished, status, error_code,
        dispatches, failures, sheds, evictions, first_dispatched, status, last_endpoint, last_error
        """

    let view: RequestView

    init(_ row: Row) {
        let sequence: Int64 = row[0]
        let statusCode: Int? = row[10]
        let errorCode: String? = row[11]
        let state: RequestState =
            switch errorCode {
            case nil: (statusCode ?? 500) < 400 ? .succeeded : .failed
            case DeliveryErrorCode.deadlineExceeded.rawValue: .expired
            case DeliveryErrorCode.cancelled.rawValue: .cancelled
            default: .failed
            }
        view = RequestView(
            sequence: sequence, id: row[1], generation: String(sequence), tenant: row[2], state: state, path: row[4],
            model: row[5], priority: row[3], created: Instant(nanoseconds: row[7]),
            enqueued: Instant(nanoseconds: row[8]), deadline: Instant(nanoseconds: row[6]),
            finished: Instant(nanoseconds: row[9]), nextAttempt: nil, attempts: Columns.attempts(row, from: 12),
            ahead: nil, statusCode: statusCode, errorCode: errorCode)
    }

    /// The condition on the columns under which a result is in a state.
    static func condition(for state: RequestState) -> String? {
        switch state {
        case .queued, .running: nil
        case .succeeded: "error_code IS NULL AND status < 400"
        case .failed:
            "(error_code IS NULL AND ifnull(status, 500) >= 400 OR error_code NOT IN ('DEADLINE_EXCEEDED', 'CANCELLED'))"
        case .expired: "error_code = 'DEADLINE_EXCEEDED'"
        case .cancelled: "error_code = 'CANCELLED'"
        }
    }

    /// The last use of an id, or the one named, that has a result.
    static func fetch(
        id: String, generation: String?, tenant: String?, _ database: Database
    ) throws -> FinishedRequest? {
        let sequence: Int64
        if let generation {
            guard let number = Int64(generation) else { return nil }
            sequence = number
        } else {
            sequence = .max
        }
        let row = try Row.fetchOne(
            database.cachedStatement(
                sql: "SELECT \(columns) FROM result WHERE id = ? AND sequence <= ? ORDER BY sequence DESC LIMIT 1"),
            arguments: [id, sequence])
        guard let found = row.map(FinishedRequest.init), tenant == nil || tenant == found.view.tenant,
            generation == nil || generation == found.view.generation
        else { return nil }
        return found
    }
}

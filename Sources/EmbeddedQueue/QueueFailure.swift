import GRDB
import MessageQueues

extension MessageQueueError {
    /// Translates what SQLite reports into what it means for the queue at `place`.
    init(_ error: any Error, place: String) {
        switch error {
        case let error as MessageQueueError: self = error
        case let error as DatabaseError:
            let detail = error.message ?? error.resultCode.description
            switch error.resultCode {
            case .SQLITE_NOTADB: self = .notAQueue(place: place, detail: "it is not a database")
            case .SQLITE_CORRUPT: self = .damaged(place: place, detail: detail)
            case .SQLITE_BUSY, .SQLITE_LOCKED: self = .locked(place: place)
            case .SQLITE_FULL: self = .full(place: place, detail: "no space left on the disk")
            case .SQLITE_MISUSE: self = .closed
            default: self = .unavailable(place: place, detail: detail)
            }
        default: self = .unavailable(place: place, detail: "\(error)")
        }
    }
}

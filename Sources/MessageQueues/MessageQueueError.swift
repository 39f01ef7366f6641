/// Why a queue cannot do what it was asked to.
public enum MessageQueueError: Error, Hashable, CustomStringConvertible {
    /// There is no queue at this place.
    case notFound(place: String)
    /// What lies at this place is no queue of ours.
    case notAQueue(place: String, detail: String)
    /// What is stored has been damaged.
    case damaged(place: String, detail: String)
    /// The queue was written by a later version of the program.
    case newerVersion(place: String, found: Int, known: Int)
    /// Another process works on the queue.
    case inUse(place: String, process: Int?)
    /// Another process kept the store locked for too long.
    case locked(place: String)
    /// The queue has reached its configured size, or the disk is full.
    case full(place: String, detail: String)
    /// A message is larger than the queue takes.
    case messageTooLarge(id: String, bytes: Int, limit: Int)
    /// Reading or writing failed for another reason.
    case unavailable(place: String, detail: String)
    /// The queue has been closed.
    case closed

    /// One plain sentence with the place.
    public var description: String {
        switch self {
        case .notFound(let place): "there is no queue at \(place)"
        case .notAQueue(let place, let detail): "\(place) is not a Weir queue (\(detail))"
        case .damaged(let place, let detail): "the queue at \(place) is damaged (\(detail)); restore it from a backup"
        case .newerVersion(let place, let found, let known):
            "the queue at \(place) was written by a newer Weir (format \(found), this one knows \(known)); upgrade Weir"
        case .inUse(let place, let process):
            "another process\(process.map { " (\($0))" } ?? "") is already working on the queue at \(place)"
        case .locked(let place): "another process keeps the queue at \(place) locked"
        case .full(let place, let detail): "the queue at \(place) is full (\(detail))"
        case .messageTooLarge(let id, let bytes, let limit):
            "message \(id) has \(bytes) bytes, more than the \(limit) that the queue takes"
        case .unavailable(let place, let detail): "the queue at \(place) cannot be used (\(detail))"
        case .closed: "the queue has been closed"
        }
    }
}

import GRPCCore
import GRPCProtobuf

/// Why Pub/Sub did not do what it was asked to.
public struct PubSubError: Error, Hashable, CustomStringConvertible {
    /// What kind of failure it is, so far as it makes a difference.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// The topic or subscription does not exist.
        case notFound
        /// It exists already.
        case alreadyExists
        /// The credentials do not allow it.
        case permissionDenied
        /// There are no credentials, or they are not accepted.
        case unauthenticated
        /// The service does not accept what was asked.
        case invalid
        /// The state of the subscription does not allow it, or acknowledgements came too late.
        case failedPrecondition
        /// The service cannot be reached, or is too busy: it may work soon.
        case unavailable
        /// No answer came in time.
        case timedOut
        /// The queue has been closed.
        case closed
        /// Anything else.
        case other
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The topic, subscription or endpoint that was asked.
    public let place: String
    /// The reason in the service's words, or ours.
    public let detail: String
    /// What the service says of single acknowledgement ids (`ErrorInfo.metadata`).
    let acknowledgements: [String: String]

    /// Of the service's words so many characters are kept.
    static let detailLimit = 500

    init(_ kind: Kind, place: String, detail: String, acknowledgements: [String: String] = [:]) {
        self.kind = kind
        self.place = place
        self.detail = String(detail.prefix(Self.detailLimit))
        self.acknowledgements = acknowledgements
    }

    /// Translates what a call threw. Messages of statuses never carry what was sent, so no secret gets in.
    init(_ error: any Error, place: String) {
        if let error = error as? PubSubError {
            self = error
            return
        }
        guard let error = error as? RPCError else {
            self.init(.other, place: place, detail: "\(error)")
            return
        }
        let status = try? error.unpackGoogleRPCStatus()
        var acknowledgements: [String: String] = [:]
        for detail in status?.details ?? [] {
            if let information = detail.errorInfo { acknowledgements.merge(information.metadata) { $1 } }
        }
        self.init(
            Self.kind(of: error.code), place: place, detail: error.message.isEmpty ? "\(error.code)" : error.message,
            acknowledgements: acknowledgements)
    }

    private static func kind(of code: RPCError.Code) -> Kind {
        switch code {
        case .notFound: .notFound
        case .alreadyExists: .alreadyExists
        case .permissionDenied: .permissionDenied
        case .unauthenticated: .unauthenticated
        case .invalidArgument, .outOfRange: .invalid
        case .failedPrecondition: .failedPrecondition
        case .unavailable, .aborted, .internalError, .resourceExhausted, .unknown, .cancelled: .unavailable
        case .deadlineExceeded: .timedOut
        default: .other
        }
    }

    /// Whether the same call may succeed later, with nothing changed.
    public var isTransient: Bool { kind == .unavailable || kind == .timedOut }

    /// One plain sentence with the place.
    public var description: String {
        switch kind {
        case .notFound: "\(place) does not exist (\(detail)); `weir pubsub setup` creates what is missing"
        case .alreadyExists: "\(place) exists already"
        case .permissionDenied: "the credentials do not allow the use of \(place) (\(detail))"
        case .unauthenticated: "the credentials for \(place) are missing or not accepted (\(detail))"
        case .invalid: "Pub/Sub does not accept this for \(place): \(detail)"
        case .failedPrecondition: "\(place) is not in a state for this: \(detail)"
        case .unavailable: "\(place) cannot be reached now (\(detail))"
        case .timedOut: "\(place) did not answer in time (\(detail))"
        case .closed: "the queue on \(place) has been closed"
        case .other: "\(place) failed: \(detail)"
        }
    }
}

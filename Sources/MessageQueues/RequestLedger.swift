public import Basics
public import Delivery

/// What a queue can tell of single requests, and do with them, beyond handing them out: for those who submitted them.
///
/// `tenant` arguments: nil looks at everybody's requests, any other value only at those of that tenant.
public protocol RequestLedger: Sendable {
    /// The request with this id: the one that is not finished, or else the one that finished last.
    func request(_ id: String, tenant: String?) async throws -> RequestView?

    /// The result of the request with this id; nil while it has none, or is not known.
    func result(of id: String, tenant: String?) async throws -> StoredResult?

    /// Up to `limit` requests in the order of submission behind `cursor` (0 begins at the oldest), finished ones included as
    /// long as their results are kept.
    ///
    /// One call does not look at any number of requests to find those that match: a page may hold few, or none, and still
    /// not be the last.
    func requests(matching filter: RequestFilter, after cursor: Int64, limit: Int) async throws -> RequestPage

    /// Ends a request that is not finished: one that waits has its result at once, one that is in work is taken back.
    ///
    /// With a `generation`, only that use of the id.
    func cancel(_ id: String, tenant: String?, generation: String?) async throws -> CancelReceipt

    /// Suspends until the request with this id has a result, is not known at all, or the task is cancelled.
    func waitForResult(of id: String) async throws
}

/// What became of a wish to cancel.
public enum CancelReceipt: String, Hashable, Sendable {
    /// It waited; it has its result (`CANCELLED`) now.
    case cancelled
    /// It is in work and is being taken back.
    case cancelling
    /// It has a result already, which stays.
    case alreadyFinished
    /// No such request.
    case unknown
}

/// Where a request stands.
public enum RequestState: String, Hashable, Sendable, CaseIterable {
    /// Waiting, perhaps for the time of its next attempt.
    case queued
    /// In a processor's hands.
    case running
    /// The model server answered with success.
    case succeeded
    /// There is a result, and it is no success.
    case failed
    /// The deadline passed.
    case expired
    /// Taken back by its owner.
    case cancelled
}

/// Which requests a listing shows.
public struct RequestFilter: Hashable, Sendable {
    /// Whose; nil shows everybody's.
    public var tenant: String?
    /// In which state; nil shows all.
    public var state: RequestState?
    /// For which model; nil shows all.
    public var model: String?

    /// Shows what passes all the given tests.
    public init(tenant: String? = nil, state: RequestState? = nil, model: String? = nil) {
        self.tenant = tenant
        self.state = state
        self.model = model
    }
}

/// A part of a listing.
public struct RequestPage: Hashable, Sendable {
    /// The requests.
    public var views: [RequestView]
    /// Where to go on: everything up to here has been looked at.
    public var cursor: Int64
    /// The id of the last request looked at that the listing may name, whether it matched or not; nil if there was none.
    public var lastID: String?
    /// Whether nothing is left behind the cursor. False if there may be more.
    public var isComplete: Bool

    /// Describes a page.
    public init(views: [RequestView], cursor: Int64, lastID: String?, isComplete: Bool) {
        self.views = views
        self.cursor = cursor
        self.lastID = lastID
        self.isComplete = isComplete
    }
}

/// One request as its owner sees it.
public struct RequestView: Hashable, Sendable {
    /// Its place in the order of submission, and the cursor to go on behind it.
    public let sequence: Int64
    /// Its id.
    public let id: String
    /// Which use of the id.
    public let generation: String
    /// Whose it is.
    public let tenant: String
    /// Where it stands.
    public let state: RequestState
    /// The path it is posted to.
    public let path: String
    /// The model it asks for.
    public let model: String?
    /// Its priority class.
    public let priority: Int
    /// When its producer made it.
    public let created: Instant
    /// When the queue accepted it.
    public let enqueued: Instant
    /// When its answer stops being of use.
    public let deadline: Instant
    /// When it finished; nil while it has not.
    public let finished: Instant?
    /// When it will be tried again, if it waits for that.
    public let nextAttempt: Instant?
    /// What has happened to it.
    public let attempts: AttemptRecord
    /// How many requests of its class are to be taken before it, counted up to `RequestView.aheadLimit`; nil unless it waits
    /// and is free to be taken. An estimate: other tenants' requests are counted by deadline.
    public let ahead: Int?
    /// The status of its answer.
    public let statusCode: Int?
    /// The error code of its result.
    public let errorCode: String?

    /// Those ahead are counted up to this.
    public static let aheadLimit = 10_000

    /// Describes a request.
    public init(
        sequence: Int64, id: String, generation: String, tenant: String, state: RequestState, path: String,
        model: String?, priority: Int, created: Instant, enqueued: Instant, deadline: Instant, finished: Instant?,
        nextAttempt: Instant?, attempts: AttemptRecord, ahead: Int?, statusCode: Int?, errorCode: String?
    ) {
        self.sequence = sequence
        self.id = id
        self.generation = generation
        self.tenant = tenant
        self.state = state
        self.path = path
        self.model = model
        self.priority = priority
        self.created = created
        self.enqueued = enqueued
        self.deadline = deadline
        self.finished = finished
        self.nextAttempt = nextAttempt
        self.attempts = attempts
        self.ahead = ahead
        self.statusCode = statusCode
        self.errorCode = errorCode
    }
}

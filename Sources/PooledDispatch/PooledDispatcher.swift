public import AsyncProcessor
import Basics
public import Delivery
import DispatchGates

/// How the lane of a request is told to the gateway (shared reference `async-processor.md` 3.7).
public struct LaneStamp: Hashable, Sendable {
    /// The header for the number of the lane, 0 first; nil tells none.
    public var priorityHeader: String?
    /// The header for the objective of the lane.
    public var objectiveHeader: String
    /// The objective of each lane that has one, by the name of the lane.
    public var objectives: [String: String]

    /// Creates a stamp.
    public init(priorityHeader: String?, objectiveHeader: String, objectives: [String: String]) {
        self.priorityHeader = priorityHeader
        self.objectiveHeader = objectiveHeader
        self.objectives = objectives
    }

    func fields(for lane: PriorityLane) -> [String: String] {
        var fields: [String: String] = [:]
        if let priorityHeader { fields[priorityHeader] = String(lane.rank) }
        if let objective = objectives[lane.name] { fields[objectiveHeader] = objective }
        return fields
    }
}

/// Carries the requests of one queue through a worker pool: waits for a worker and the gates, then has the next dispatcher
/// carry the request.
public struct PooledDispatcher: InferenceDispatcher {
    let pool: WorkerPool
    let queue: String
    let tierLabel: String
    let stamp: LaneStamp?
    let next: any InferenceDispatcher

    /// Waits, sends, and returns how it ended.
    public func perform(_ request: AsyncRequest, started: @escaping @Sendable () -> Void) async -> AttemptOutcome {
        let (id, decision) = await pool.admit(request, of: queue)
        switch decision {
        case .withdrawn: return .withdrawn
        case .postpone(let reason, let pause): return .rejected(.postponed, reason: reason, retryAfter: pause)
        case .drop(let reason): return .dropped(reason: reason)
        case .start(let labels):
            var request = request
            if let stamp {
                request.stamps.merge(stamp.fields(for: PriorityLane(labels: labels, tierLabel: tierLabel))) { $1 }
            }
            let outcome = await next.perform(request, started: started)
            pool.ended(id, GateLesson(outcome))
            return outcome
        }
    }
}

extension GateLesson {
    /// What the end of an attempt tells a gate (shared reference `async-processor.md` 7.2).
    init(_ outcome: AttemptOutcome) {
        switch outcome {
        case .answered(let response):
            let verdict = AnswerVerdict(statusCode: response.statusCode, dropReason: response.dropReason)
            switch (verdict, response.dropReason) {
            case (.capacity, "rejected-ttl-expired"?): self = .queueExpired
            case (.capacity, let reason?) where reason.hasPrefix("evicted"): self = .evicted
            case (.capacity, _): self = .rejectedForCapacity(retryAfter: response.retryAfter)
            case (.final, _) where response.statusCode < 400: self = .accepted
            default: self = .other
            }
        case .rejected(.capacity, _, let retryAfter): self = .rejectedForCapacity(retryAfter: retryAfter)
        case .evicted: self = .evicted
        case .rejected, .dropped, .failed, .withdrawn: self = .other
        }
    }
}

import Basics
import Pool

/// A request that the scheduler holds: waiting for a place, or placed on an endpoint.
struct HeldRequest {
    let request: PoolRequest
    let submitted: Instant
    var demand: RequestDemand
    var placement: Placement?
    /// Endpoints that failed before answering; not tried again for this request.
    var failedEndpoints: [EndpointID] = []

    var workClass: WorkClass { WorkClass(priority: request.priority) }
}

/// Where and since when a request runs.
struct Placement {
    let endpoint: EndpointID
    let started: Instant
    var firstToken: Instant?
}

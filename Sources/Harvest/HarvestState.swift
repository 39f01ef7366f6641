/// What the harvest law says of one endpoint at one moment; for decisions, metrics and the status page.
public struct HarvestState: Hashable, Sendable {
    /// Requests that the endpoint may carry, of both classes, before tokens take too long (`R`).
    public var requestCap: Double
    /// Step time kept free for the real-time work that may yet arrive within one batch residence, in milliseconds.
    public var reserveMilliseconds: Double
    /// Batch requests that may be in flight now.
    public var allowedBatchRequests: Int
    /// Why no further batch request may start now, if none may.
    public var limit: HarvestLimit?
    /// How many times faster than its prior the endpoint has proved to be; 1 without evidence.
    public var speedFactor = 1.0
    /// How cautious the slow loop has become, from 0 (real-time users do not notice batch work) to 1.
    public var caution = 0.0
}

/// What keeps the next batch request from starting.
public enum HarvestLimit: String, Hashable, Sendable, CaseIterable {
    /// The endpoint is down or full.
    case endpoint = "endpoint"
    /// One more request would make steps too long.
    case stepTime = "step-time"
    /// Batch prompts have used up their share of prefill time.
    case prefill = "prefill"
    /// The KV cache is as full as batch work may make it.
    case kvCache = "kv-cache"
    /// Real-time work surged: the brake is on.
    case brake = "brake"
    /// Harvesting is switched off.
    case disabled = "disabled"
}

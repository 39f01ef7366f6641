public import Basics

/// Why a request was not let in to wait.
public enum AdmissionRefusal: Hashable, Sendable {
    /// The band, or the number of bands, is at its limit.
    case full
}

/// Where requests wait while the pool is saturated: bounded bands, the highest priority strictly first.
public struct WaitingRoom: Sendable {
    private let limits: AdmissionLimits
    private var bands: [Band] = []
    private var priorityOfRequest: [UInt64: Int] = [:]
    private var arrivals: UInt64 = 0
    /// Requests waiting with a priority of zero or above.
    public private(set) var realtimeCount = 0

    /// Creates an empty room.
    public init(limits: AdmissionLimits) { self.limits = limits }

    /// Requests waiting in all bands.
    public var count: Int { priorityOfRequest.count }

    /// Requests waiting with a priority below zero.
    public var sheddableCount: Int { count - realtimeCount }

    /// The number waiting in each band, highest priority first.
    public var depths: [(priority: Int, requests: Int, bytes: Int)] {
        bands.map { ($0.priority, $0.count, $0.countedBytes) }
    }

    /// Lets `request` wait, unless its band is full.
    public mutating func insert(_ request: WaitingRequest) -> AdmissionRefusal? {
        guard let index = band(of: request.priority, create: true) else { return .full }
        if request.countsAgainstLimits {
            guard bands[index].countedRequests < limits.maxRequestsPerBand,
                bands[index].countedBytes + request.bytes <= limits.maxBytesPerBand
            else {
                if bands[index].isEmpty { bands.remove(at: index) }
                return .full
            }
        }
        arrivals += 1
        bands[index].insert(request, arrival: arrivals)
        priorityOfRequest[request.id] = request.priority
        if request.priority >= 0 { realtimeCount += 1 }
        return nil
    }

    /// The request that is next in turn among real-time or among sheddable ones; it stays until removed.
    public mutating func head(realtime: Bool) -> WaitingRequest? {
        for index in bands.indices where (bands[index].priority >= 0) == realtime {
            if let head = bands[index].head() { return head }
        }
        return nil
    }

    /// Up to `limit` requests in turn behind the head, of the head's band alone: who may pass a head that does not fit.
    public mutating func behindHead(realtime: Bool, limit: Int) -> [WaitingRequest] {
        for index in bands.indices where (bands[index].priority >= 0) == realtime {
            if bands[index].head() != nil { return Array(bands[index].first(limit + 1).dropFirst()) }
        }
        return []
    }

    /// Takes a request out; nil if it does not wait here.
    @discardableResult
    public mutating func remove(_ id: UInt64) -> WaitingRequest? {
        guard let priority = priorityOfRequest.removeValue(forKey: id), let index = band(of: priority, create: false),
            let request = bands[index].remove(id)
        else { return nil }
        if priority >= 0 { realtimeCount -= 1 }
        if bands[index].isEmpty { bands.remove(at: index) }
        return request
    }

    /// Takes out and returns the requests whose time to wait is over.
    public mutating func removeExpired(now: Instant) -> [WaitingRequest] {
        var expired: [WaitingRequest] = []
        for band in bands {
            for request in band.requests where request.expires <= now { expired.append(request) }
        }
        for request in expired { remove(request.id) }
        return expired.sorted { ($0.expires, $0.id) < ($1.expires, $1.id) }
    }

    /// Takes everybody out, in no particular order of importance: the pool is shutting down.
    public mutating func removeAll() -> [WaitingRequest] {
        let everybody = bands.flatMap { Array($0.requests) }
        bands = []
        priorityOfRequest = [:]
        realtimeCount = 0
        return everybody.sorted { $0.id < $1.id }
    }

    /// The index of the band of `priority`; bands are few and kept in descending order.
    private mutating func band(of priority: Int, create: Bool) -> Int? {
        let index = bands.firstIndex { $0.priority <= priority } ?? bands.count
        if index < bands.count, bands[index].priority == priority { return index }
        guard create, bands.count < limits.maxBands else { return nil }
        bands.insert(Band(priority: priority), at: index)
        return index
    }
}

import Basics
import HeapModule

/// The requests of one priority that wait, ordered by deadline and then by arrival.
struct Band {
    private struct Place: Comparable {
        let deadline: Instant
        let arrival: UInt64
        let id: UInt64

        static func < (left: Place, right: Place) -> Bool {
            (left.deadline, left.arrival) < (right.deadline, right.arrival)
        }
    }

    let priority: Int
    private var order = Heap<Place>()
    private var waiting: [UInt64: (request: WaitingRequest, arrival: UInt64)] = [:]
    private(set) var countedRequests = 0
    private(set) var countedBytes = 0

    init(priority: Int) { self.priority = priority }

    var isEmpty: Bool { waiting.isEmpty }
    var count: Int { waiting.count }
    var requests: some Sequence<WaitingRequest> { waiting.values.lazy.map(\.request) }

    mutating func insert(_ request: WaitingRequest, arrival: UInt64) {
        order.insert(Place(deadline: request.orderingDeadline, arrival: arrival, id: request.id))
        waiting[request.id] = (request, arrival)
        if request.countsAgainstLimits {
            countedRequests += 1
            countedBytes += request.bytes
        }
    }

    mutating func remove(_ id: UInt64) -> WaitingRequest? {
        guard let entry = waiting.removeValue(forKey: id) else { return nil }
        if entry.request.countsAgainstLimits {
            countedRequests -= 1
            countedBytes -= entry.request.bytes
        }
        if order.count > 2 * waiting.count + 16 { compact() }
        return entry.request
    }

    /// The next in order; places of requests that were removed meanwhile are dropped on the way.
    mutating func head() -> WaitingRequest? {
        while let first = order.min {
            if let entry = waiting[first.id], entry.arrival == first.arrival { return entry.request }
            order.removeMin()
        }
        return nil
    }

    /// The first `limit` in order.
    mutating func first(_ limit: Int) -> [WaitingRequest] {
        var places: [Place] = []
        var requests: [WaitingRequest] = []
        while requests.count < limit, let place = order.popMin() {
            guard let entry = waiting[place.id], entry.arrival == place.arrival else { continue }
            places.append(place)
            requests.append(entry.request)
        }
        order.insert(contentsOf: places)
        return requests
    }

    private mutating func compact() {
        order = Heap(
            waiting.values.map {
                Place(deadline: $0.request.orderingDeadline, arrival: $0.arrival, id: $0.request.id)
            })
    }
}

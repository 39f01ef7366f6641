/// The order in which endpoints last got a request whose prompt nobody had cached: the memory of `no-hit-lru-scorer`.
struct WeightedColdOrder: Sendable {
    private let capacity: Int
    /// Endpoints, the least recent first.
    private var order: [Int] = []
    /// The place of each endpoint in `order`; -1 if it is not there.
    private(set) var places: [Int]

    init(capacity: Int, endpoints: Int) {
        self.capacity = max(1, capacity)
        places = Array(repeating: -1, count: endpoints)
    }

    /// Notes that an endpoint got such a request.
    mutating func used(_ endpoint: Int) {
        if places[endpoint] >= 0 {
            order.remove(at: places[endpoint])
        } else if order.count >= capacity {
            places[order.removeFirst()] = -1
        }
        order.append(endpoint)
        for place in order.indices { places[order[place]] = place }
    }

    /// Follows a change of the pool: `newIndex` holds the new index of each old one, -1 for an endpoint that left.
    mutating func renumber(_ newIndex: [Int], endpoints: Int) {
        order = order.map { newIndex[$0] }.filter { $0 >= 0 }
        places = Array(repeating: -1, count: endpoints)
        for place in order.indices { places[order[place]] = place }
    }
}

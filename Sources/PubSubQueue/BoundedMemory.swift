import DequeModule

/// Remembers values by key, and forgets the oldest beyond a bound.
struct BoundedMemory<Value> {
    private let limit: Int
    private var values: [String: (value: Value, number: UInt64)] = [:]
    /// In the order of insertion; what has been removed or renewed since is skipped.
    private var order: Deque<(key: String, number: UInt64)> = []
    private var lastNumber: UInt64 = 0

    init(limit: Int) { self.limit = limit }

    var count: Int { values.count }

    subscript(key: String) -> Value? { values[key]?.value }

    mutating func insert(_ value: Value, for key: String) {
        guard limit > 0 else { return }
        lastNumber += 1
        values[key] = (value, lastNumber)
        order.append((key, lastNumber))
        while values.count > limit || order.count > 2 * limit {
            guard let oldest = order.popFirst() else { return }
            if values[oldest.key]?.number == oldest.number { values[oldest.key] = nil }
        }
    }

    mutating func remove(_ key: String) { values[key] = nil }
}

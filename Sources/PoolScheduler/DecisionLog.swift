import DequeModule
import Routing

/// The receipts of the latest requests that asked for one.
struct DecisionLog: Sendable {
    private let limit: Int
    private var order: Deque<UInt64> = []
    private var receipts: [UInt64: DecisionReceipt] = [:]

    init(limit: Int = 256) { self.limit = max(1, limit) }

    subscript(id: UInt64) -> DecisionReceipt? { receipts[id] }

    /// Keeps a receipt; that of an earlier attempt of the same request is replaced.
    mutating func note(_ id: UInt64, _ receipt: DecisionReceipt) {
        if receipts.updateValue(receipt, forKey: id) == nil { order.append(id) }
        while order.count > limit, let oldest = order.popFirst() { receipts[oldest] = nil }
    }

    /// Notes what came of a request, if it has a receipt.
    mutating func complete(_ id: UInt64, _ change: (inout DecisionReceipt.Outcome) -> Void) {
        guard let index = receipts.index(forKey: id) else { return }
        change(&receipts.values[index].outcome)
    }
}

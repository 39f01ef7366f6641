import DequeModule
import Pool
import Synchronization

/// Under which number the schedulers know the requests that asked for a receipt.
final class DecisionRegistry: Sendable {
    private static let limit = 256

    struct Place {
        let pool: PoolShell
        let id: UInt64
    }

    private struct State {
        var order: Deque<String> = []
        var places: [String: Place] = [:]
    }

    private let state = Mutex(State())

    func note(_ requestID: String, _ place: Place) {
        state.withLock { state in
            if state.places.updateValue(place, forKey: requestID) == nil { state.order.append(requestID) }
            while state.order.count > Self.limit, let oldest = state.order.popFirst() { state.places[oldest] = nil }
        }
    }

    func place(of requestID: String) -> Place? { state.withLock { $0.places[requestID] } }
}

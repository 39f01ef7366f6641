import Basics
import DispatchGates
import EngineModel

/// A pool of workers behind a dispatch gate.
///
/// Metrics are looked at every so many seconds and known as of then, so the gate works with what was true up to that
/// long ago. A gateway is modelled where the gate learns from one: it turns batch work away, with a `Retry-After`, while
/// saturation is at or above its ceiling by metrics 50 ms old.
struct GateDispatcher: Dispatcher {
    /// How messages are taken.
    private enum Law {
        /// As many in flight as the budget's share of the workers, rounded up; at any time.
        case share
        /// Upstream's: floor(batch size × budget) at each poll.
        case polls(next: Instant)
    }

    private struct Rejection {
        let due: Instant
        let request: Int
        let sentAt: Instant
    }

    /// Upstream's default of workers per process, one process per model server.
    private static let workersPerReplica = 64
    private static let pollInterval = TimeSpan.seconds(1)
    private static let pollBatch = 10.0
    private static let gatewayInterval = TimeSpan.milliseconds(50)
    private static let retryAfter = TimeSpan.seconds(1)
    private static let labels = ["classification": "overflow", "tier": "batch"]

    private(set) var gate: DispatchGate
    private let policy: GatePolicy
    private let workers: Int
    private let roundTrip: TimeSpan
    private var law: Law
    private var nextReading: Instant?
    private var nextGatewayLook: Instant?
    private var gatewayIsFull = false
    private var sentAt: [Int: Instant] = [:]
    private var rejections: [Rejection] = []
    private var now = Instant.zero

    /// Puts a policy's gate, or another one in its place, before the workers of so many replicas.
    init(
        _ policy: GatePolicy, engine: EngineConfiguration, replicas: Int, configuration: GateConfiguration? = nil
    ) {
        self.policy = policy
        workers = Self.workersPerReplica * replicas
        roundTrip = .milliseconds(engine.apiMilliseconds)
        gate = DispatchGate(
            configuration ?? policy.configuration(replicas: replicas), owner: "lab",
            readingInterval: .seconds(Double(policy.intervalSeconds)))
        law = policy.polls ? .polls(next: .zero) : .share
        nextReading = policy.kind.reads ? .zero : nil
        nextGatewayLook = policy.kind == .aimd ? .zero : nil
    }

    var nextWake: Instant? {
        var times = [nextReading, nextGatewayLook, gate.opensAt(now: now), rejections.first?.due]
        if case .polls(let next) = law { times.append(next) }
        return times.lazy.compactMap { $0 }.min()
    }

    mutating func begin(now: Instant, fleet: inout Fleet) { wake(now: now, fleet: &fleet) }

    mutating func messageArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        fleet.enqueue(id)
        fill(now: now, fleet: &fleet)
    }

    mutating func happened(_ event: FleetEvent, now: Instant, fleet: inout Fleet) {
        switch event {
        case .finished(let id):
            guard let sent = sentAt.removeValue(forKey: id) else { return }
            gate.learn(.accepted, of: UInt64(id), sentAt: sent, now: now)
            gate.release(UInt64(id))
            fill(now: now, fleet: &fleet)
        case .refused(let id):
            guard let sent = sentAt.removeValue(forKey: id) else { return }
            gate.learn(.other, of: UInt64(id), sentAt: sent, now: now)
            gate.release(UInt64(id))
            fill(now: now, fleet: &fleet)
        case .firstToken, .progressed: break
        }
    }

    mutating func wake(now: Instant, fleet: inout Fleet) {
        self.now = now
        if let due = nextReading, due <= now {
            for source in gate.sources {
                gate.observe(policy.reading(of: source, fleet: fleet), of: source, now: now)
            }
            nextReading = now + .seconds(Double(policy.intervalSeconds))
        }
        if let due = nextGatewayLook, due <= now {
            gatewayIsFull = GateSignal.saturation.level(of: fleet) >= GatePolicy.saturationThreshold
            nextGatewayLook = now + Self.gatewayInterval
        }
        while let rejection = rejections.first, rejection.due <= now {
            rejections.removeFirst()
            let id = UInt64(rejection.request)
            gate.learn(.rejectedForCapacity(retryAfter: Self.retryAfter), of: id, sentAt: rejection.sentAt, now: now)
            gate.release(id)
            fleet.putBack(rejection.request)
        }
        fill(now: now, fleet: &fleet)
    }

    private mutating func fill(now: Instant, fleet: inout Fleet) {
        self.now = now
        let budget = gate.budget(now: now)
        switch law {
        case .share:
            let most = Int((budget * Double(workers)).rounded(.up))
            while busy(fleet) < most, sendNext(now: now, fleet: &fleet) {}
        case .polls(let next):
            guard next <= now else { return }
            var left = Int(Self.pollBatch * budget)
            while left > 0, busy(fleet) < workers, sendNext(now: now, fleet: &fleet) { left -= 1 }
            law = .polls(next: now + Self.pollInterval)
        }
    }

    /// Workers that carry a request.
    private func busy(_ fleet: borrowing Fleet) -> Int { fleet.batchInFlight + rejections.count }

    /// Sends the next message, if there is one and the gate lets it through.
    private mutating func sendNext(now: Instant, fleet: inout Fleet) -> Bool {
        guard let id = fleet.takeBatch(now: now) else { return false }
        let verdict = gate.apply(GateSubject(id: UInt64(id), labels: Self.labels), now: now)
        guard case .proceed = verdict else {
            fleet.putBack(id)
            return false
        }
        if gatewayIsFull {
            rejections.append(Rejection(due: now + roundTrip, request: id, sentAt: now))
        } else {
            sentAt[id] = now
            fleet.send(id, to: fleet.leastLoaded(byRealtime: false), now: now)
        }
        return true
    }
}

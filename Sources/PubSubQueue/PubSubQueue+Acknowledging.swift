import Basics
import Delivery
import MessageQueues
import Synchronization

/// Acknowledging, extending and handing back: calls about acknowledgement ids, many ids in each.
extension PubSubQueue {
    /// An id that goes back to the broker.
    struct Return: Hashable, Sendable {
        let ackID: String
        let seconds: Int32
    }

    /// A call for each pause, side by side.
    static func handBack(_ returns: [Return], _ calls: AcknowledgementCalls) async -> [Result<Void, any Error>] {
        await withTaskGroup(of: Void.self) { group in
            for (seconds, part) in Dictionary(grouping: returns, by: \.seconds) {
                group.addTask {
                    // What fails here runs out by itself.
                    _ = await calls.perform(
                        .setDeadline(seconds: seconds, timeout: .seconds(30)), part.map(\.ackID))
                }
            }
        }
        return returns.map { _ in .success(()) }
    }

    /// Hands deliveries back; returns when the broker has been told, or could not be.
    func handBack(_ handBack: DeliveryLedger.HandBack) async {
        guard !handBack.ackIDs.isEmpty else { return }
        state.withLock { $0.metrics.nacked += handBack.ackIDs.count }
        await withTaskGroup(of: Void.self) { group in
            for id in handBack.ackIDs {
                group.addTask {
                    try? await self.returner.submit(
                        Return(ackID: id, seconds: handBack.seconds), bytes: id.utf8.count + 4)
                }
            }
        }
    }

    /// Acknowledges a message whose result is safe, by whatever ids it has or gets meanwhile. False if all its
    /// deliveries had run out; then it comes again, and is acknowledged when it comes here.
    func acknowledge(_ lease: Lease) async -> Bool {
        let clock = configuration.clock
        let patience = clock.steady() + configuration.ackDeadline
        var pause = TimeSpan.milliseconds(50)
        defer {
            settlements.notify()
            credit.notify()
        }
        while true {
            let ids = state.withLock { $0.ledger.ackIDs(of: lease) }
            var outcomes: [(id: String, outcome: Acknowledgement)] = []
            for id in ids {
                let outcome = try? await acknowledger.submit(id, bytes: id.utf8.count + 4)
                outcomes.append((id, outcome ?? .failed))
            }
            let (progress, isClosed) = state.withLock { state in
                let progress = state.ledger.acknowledged(lease, outcomes)
                switch progress {
                case .removed: state.metrics.acked += 1
                case .lost: state.metrics.ackFailures += 1
                case .again: break
                }
                return (progress, state.phase == .closed)
            }
            switch progress {
            case .removed:
                noteOrder()
                return true
            case .lost:
                noteOrder()
                return false
            case .again: break
            }
            guard outcomes.contains(where: { $0.outcome == .failed }) else { continue }
            if isClosed || clock.steady() > patience {
                state.withLock { state in
                    state.ledger.giveUpAcknowledging(lease)
                    state.metrics.ackFailures += 1
                }
                noteOrder()
                return true
            }
            try? await clock.sleep(for: pause)
            pause = min(pause * 2, .seconds(2))
        }
    }

    /// The end of a message may have freed the next of its ordering key.
    func noteOrder() {
        if state.withLock({ $0.ledger.isOrdered }) { readiness.notify() }
    }

    /// Keeps alive what is out, until the queue is closed.
    func keepAlive() async {
        let clock = configuration.clock
        let interval = min(.milliseconds(200), configuration.ackDeadline * 0.1)
        while !Task.isCancelled {
            try? await clock.sleep(for: interval)
            let tick = state.withLock { state in
                guard state.phase < .closed else { return DeliveryLedger.Tick() }
                let tick = state.ledger.tick(now: clock.steady())
                state.metrics.ackFailures += tick.lapsed
                return tick
            }
            if tick.hasNewStock { readiness.notify() }
            handBackAside(tick.handBack)
            await extend(tick.extend)
        }
    }

    /// Hands deliveries back without waiting for it: the heartbeat has others to keep alive.
    private func handBackAside(_ ids: [String]) {
        guard !ids.isEmpty else { return }
        Task { await handBack(DeliveryLedger.HandBack(ackIDs: ids)) }
    }

    /// Extends these deliveries, and notes which of them are lost.
    func extend(_ ids: [String]) async {
        guard !ids.isEmpty else { return }
        let now = configuration.clock.steady()
        let verdicts = await prolong(ids)
        let lost = verdicts.filter { $0.outcome == .lost }.map(\.id)
        let handBack = state.withLock { state in
            state.ledger.extended(
                verdicts.filter { $0.outcome == .confirmed }.map(\.id), until: now + configuration.ackDeadline)
            // One that was acknowledged meanwhile is no failure.
            state.metrics.ackFailures += lost.count { state.ledger.leasesByAckID[$0] != nil }
            return state.ledger.lost(lost)
        }
        handBackAside(handBack)
    }

    /// Extends these deliveries, and returns those that had run out already.
    func lostAmong(_ ids: [String]) async -> Set<String> {
        let lost = await prolong(ids).filter { $0.outcome == .lost }.map(\.id)
        state.withLock { $0.metrics.ackFailures += lost.count }
        return Set(lost)
    }

    /// Sets the ack deadlines of deliveries anew, in as few calls as they fit into.
    private func prolong(_ ids: [String]) async -> [(id: String, outcome: Acknowledgement)] {
        let seconds = DeliveryLedger.seconds(configuration.ackDeadline)
        let timeout = configuration.ackDeadline * (1.0 / 4)
        var plan = BatchPlan(limits: .acknowledgements)
        for id in ids { plan.add(bytes: id.utf8.count + 4, now: .zero) }
        var verdicts: [(id: String, outcome: Acknowledgement)] = []
        while let count = plan.next(now: .distantFuture) {
            plan.finished()
            let part = Array(ids[verdicts.count..<verdicts.count + count])
            let outcomes = await calls.perform(.setDeadline(seconds: seconds, timeout: timeout), part)
            for (id, outcome) in zip(part, outcomes) { verdicts.append((id, outcome)) }
        }
        return verdicts
    }
}

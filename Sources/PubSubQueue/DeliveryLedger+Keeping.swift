import Basics
import Delivery

/// What the passing of time asks for: ack deadlines to extend, leases that the processor has let go.
extension DeliveryLedger {
    struct Tick: Hashable {
        /// Acknowledgement ids whose deadline is to be extended.
        var extend: [String] = []
        /// Acknowledgement ids to hand back.
        var handBack: [String] = []
        /// Messages that the processor let go.
        var lapsed = 0
        /// Whether there are messages in stock that were not before.
        var hasNewStock = false
    }

    /// Looks at all that is out. To be called several times within half an ack deadline.
    mutating func tick(now: Instant) -> Tick {
        var tick = Tick()
        var isDue = false
        for (lease, entry) in entries {
            // It may have gone with the one before it.
            guard entries[lease] != nil else { continue }
            switch entry.stage {
            case .held(let end) where end <= now:
                tick.handBack += forget(lease, isOver: false)
                tick.lapsed += 1
                continue
            case .resting(let end) where end <= now:
                if let message = entry.message {
                    entries[lease]?.stage = .stocked
                    stock.insert(message)
                    tick.hasNewStock = true
                }
            case .stocked, .behind, .resting:
                // It could not be extended in time, and will come again: here, or elsewhere by now.
                guard entry.deadline <= now else { break }
                tick.handBack += forget(lease, isOver: false)
                continue
            case .held, .settling, .discarding: break
            }
            if !entry.ackIDs.isEmpty, entry.deadline - now < ackDeadline * 0.5 { isDue = true }
        }
        guard isDue else { return tick }
        // Those that would be due soon go along, in the same calls.
        for entry in entries.values where entry.deadline - now < ackDeadline * 0.75 { tick.extend += entry.ackIDs }
        return tick
    }

    /// The deadlines of these deliveries now lie at `deadline`.
    mutating func extended(_ ackIDs: [String], until deadline: Instant) {
        for id in ackIDs {
            guard let lease = leasesByAckID[id], let known = entries[lease]?.deadline else { continue }
            entries[lease]?.deadline = max(known, deadline)
        }
    }

    /// These deliveries are over; returns acknowledgement ids to hand back, of messages behind a lost one.
    mutating func lost(_ ackIDs: [String]) -> [String] {
        var handBack: [String] = []
        for id in ackIDs {
            guard let lease = leasesByAckID.removeValue(forKey: id), var entry = entries[lease] else { continue }
            entry.ackIDs.removeAll { $0 == id }
            entries[lease] = entry
            // What somebody works on is kept, so that it does not begin a second time when it comes again.
            if entry.ackIDs.isEmpty, entry.stage.isIdle { handBack += forget(lease, isOver: false) }
        }
        return handBack
    }

    /// Forgets what nobody works on, or everything; returns the acknowledgement ids to hand back.
    mutating func handBackAll(includingHeld: Bool) -> [String] {
        var ackIDs: [String] = []
        for (lease, entry) in entries where includingHeld || entry.stage.isIdle {
            ackIDs += entry.isPublished ? [] : forget(lease, isOver: false)
        }
        return ackIDs
    }
}

import Admission
import Basics
import Pool
import Prediction
import Routing

/// How flows that get far more than the others are kept from them.
extension PoolScheduler {
    /// Takes the endpoints off the list where a request of such a flow would delay the others too much. `table` is about
    /// the request.
    mutating func isolate(_ entry: HeldRequest, now: Instant) {
        guard isolation != nil, isAboveShare(entry, now: now) else { return }
        let part = room.othersPart(priority: entry.request.priority, now: now)
        for index in endpoints.indices where table.isCandidate[index] {
            table.isCandidate[index] =
                isolation?.mayStart(
                    at: index, contextTokens: entry.demand.meanContextTokens,
                    model: endpoints[index].capacity.stepTime, othersPart: part, now: now) ?? true
        }
    }

    private mutating func isAboveShare(_ entry: HeldRequest, now: Instant) -> Bool {
        entry.workClass == .realtime
            && room.isAboveShare(flow: entry.request.flow, priority: entry.request.priority, now: now)
    }

    /// Counts a request that has just been placed against its flow's allowance, if that is above its share.
    mutating func noteIsolation(at place: Dictionary<UInt64, HeldRequest>.Index, now: Instant) {
        let entry = held.values[place]
        guard isolation != nil, let placement = entry.placement, isAboveShare(entry, now: now) else {
            held.values[place].contextAboveShare = nil
            return
        }
        let index = placement.endpoint.index
        let context = entry.demand.meanContextTokens
        held.values[place].contextAboveShare = context
        isolation?.started(
            at: index, contextTokens: context,
            prefillMilliseconds: endpoints[index].capacity.stepTime.perPrefillTokenMilliseconds
                * Double(entry.demand.uncachedPromptTokens),
            ttftMilliseconds: placement.predictedTTFTMilliseconds)
    }
}

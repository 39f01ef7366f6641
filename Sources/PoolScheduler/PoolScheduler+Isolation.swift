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
        guard isAboveShare(entry, now: now) else { return }
        let part = room.othersPart(priority: entry.request.priority, now: now)
        for index in endpoints.indices where table.isCandidate[index] {
            let prefill = prefillMilliseconds(table.uncachedTokens(of: entry.routing, at: index), at: index)
            let queue = Double(table.predictedTTFTMilliseconds[index]) - prefill
            let model = endpoints[index].capacity.stepTime
            table.isCandidate[index] =
                isolation?.mayStart(
                    at: index, contextTokens: entry.demand.meanContextTokens, queueMilliseconds: queue, model: model,
                    othersPart: part, now: now) ?? true
        }
    }

    /// Counts a request that has just been placed as one above its flow's share, if it is.
    mutating func noteIsolation(at place: Dictionary<UInt64, HeldRequest>.Index, now: Instant) {
        let entry = held.values[place]
        guard let placement = entry.placement, isAboveShare(entry, now: now) else {
            held.values[place].contextAboveShare = nil
            return
        }
        let index = placement.endpoint.index
        let context = entry.demand.meanContextTokens
        let prefill = prefillMilliseconds(entry.demand.uncachedPromptTokens, at: index)
        held.values[place].contextAboveShare = context
        isolation?.started(
            at: index, contextTokens: context, prefillMilliseconds: prefill,
            ttftMilliseconds: placement.predictedTTFTMilliseconds)
    }

    /// Notes the time to first token of a real-time request that was not above its flow's share.
    mutating func noteOthersAnswer(_ entry: HeldRequest, at index: Int, ttftMilliseconds: Double) {
        guard isolation != nil, entry.workClass == .realtime, entry.contextAboveShare == nil else { return }
        let prefill = prefillMilliseconds(entry.demand.uncachedPromptTokens, at: index)
        isolation?.othersAnswered(ttftMilliseconds: ttftMilliseconds, prefillMilliseconds: prefill)
    }

    private mutating func isAboveShare(_ entry: HeldRequest, now: Instant) -> Bool {
        isolation != nil && entry.workClass == .realtime
            && room.isAboveShare(flow: entry.request.flow, priority: entry.request.priority, now: now)
    }

    private func prefillMilliseconds(_ tokens: Int, at index: Int) -> Double {
        endpoints[index].capacity.stepTime.perPrefillTokenMilliseconds * Double(tokens)
    }
}

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
        let standing = standing(of: entry, now: now)
        guard standing != .free else { return }
        let part = room.othersPart(priority: entry.request.priority, now: now)
        for index in endpoints.indices where table.isCandidate[index] {
            let prefill = prefillMilliseconds(table.uncachedTokens(of: entry.routing, at: index), at: index)
            let queue = Double(table.predictedTTFTMilliseconds[index]) - prefill
            let model = endpoints[index].capacity.stepTime
            table.isCandidate[index] =
                isolation?.mayStart(
                    at: index, standing: standing, contextTokens: entry.demand.meanContextTokens,
                    queueMilliseconds: queue, model: model, othersPart: part, now: now) ?? true
        }
    }

    /// Counts a request that has just been placed as one of a flow that is kept back, if it is.
    mutating func noteIsolation(at place: Dictionary<UInt64, HeldRequest>.Index, now: Instant) {
        let entry = held.values[place]
        guard isolation != nil, let placement = entry.placement else { return }
        let index = placement.endpoint.index
        let prefill = prefillMilliseconds(entry.demand.uncachedPromptTokens, at: index)
        isolation?.promptStarted(at: index, prefillMilliseconds: prefill, now: now)
        guard standing(of: entry, now: now) != .free else {
            held.values[place].contextKeptBack = nil
            return
        }
        let context = entry.demand.meanContextTokens
        held.values[place].contextKeptBack = context
        isolation?.started(
            at: index, contextTokens: context, prefillMilliseconds: prefill,
            ttftMilliseconds: placement.predictedTTFTMilliseconds, now: now)
    }

    /// Notes the time to first token of a real-time request of a flow that is not kept back.
    mutating func noteOthersAnswer(_ entry: HeldRequest, at index: Int, ttftMilliseconds: Double) {
        guard isolation != nil, entry.workClass == .realtime, entry.contextKeptBack == nil else { return }
        let prefill = prefillMilliseconds(entry.demand.uncachedPromptTokens, at: index)
        isolation?.othersAnswered(ttftMilliseconds: ttftMilliseconds, prefillMilliseconds: prefill)
    }

    private mutating func standing(of entry: HeldRequest, now: Instant) -> FlowStanding {
        guard isolation != nil, entry.workClass == .realtime else { return .free }
        return room.standing(ofFlow: entry.request.flow, priority: entry.request.priority, now: now)
    }

    private func prefillMilliseconds(_ tokens: Int, at index: Int) -> Double {
        endpoints[index].capacity.stepTime.perPrefillTokenMilliseconds * Double(tokens)
    }
}

import Basics
import Harvest
import Pool
import Prediction

/// What answers tell about the speed of their endpoints.
extension PoolScheduler {
    /// With fewer samples fitted, what is believed of an endpoint's speed is mostly its prior.
    private static let samplesOfKnownPace = 16

    /// Books a first token; for answers that stream also those of the prompts that came before theirs.
    mutating func noteFirstToken(at place: Dictionary<UInt64, HeldRequest>.Index, _ placement: Placement, now: Instant)
    {
        let index = placement.endpoint.index
        let entry = held.values[place]
        book(firstTokenAt: place, on: index, isSeen: true, now: now)
        guard entry.request.streams else { return }
        for id in ledgers[index].removeOvertaken(startedBy: placement.started) {
            guard let other = held.index(forKey: id), isWithoutToken(at: other, on: index) else { continue }
            book(firstTokenAt: other, on: index, isSeen: false, now: now)
        }
    }

    /// Books the first tokens that must be out by now at answers in one piece.
    mutating func assumeFirstTokens(on index: Int, now: Instant) {
        for id in ledgers[index].removeAssumed(now: now, isSilent: { Self.isSilent(held[$0], on: index) }) {
            guard let place = held.index(forKey: id), isWithoutToken(at: place, on: index) else { continue }
            book(firstTokenAt: place, on: index, isSeen: false, now: now)
        }
    }

    private func isWithoutToken(at place: Dictionary<UInt64, HeldRequest>.Index, on index: Int) -> Bool {
        guard let placement = held.values[place].placement else { return false }
        return placement.firstToken == nil && placement.endpoint.index == index
    }

    private mutating func book(
        firstTokenAt place: Dictionary<UInt64, HeldRequest>.Index, on index: Int, isSeen: Bool, now: Instant
    ) {
        let entry = held.values[place]
        let model = endpoints[index].capacity.stepTime
        endpoints[index].load.firstToken(entry.demand)
        ledgers[index].history.began(entry.demand, entry.workClass, model, now: now)
        held.values[place].placement?.firstToken = now
        predictFromFirstToken(at: place, isSeen: isSeen, now: now)
        guard entry.request.streams else { return }
        let reading = ledgers[index].history.reading(model, now: now)
        held.values[place].placement?.atFirstToken = reading
        held.values[place].placement?.lastHeard = reading
        held.values[place].placement?.tokensHeard = 1
    }

    /// Learns from what a request has done since it was last heard of.
    mutating func learnSteps(
        at place: Dictionary<UInt64, HeldRequest>.Index, _ placement: Placement, outputTokens: Int, now: Instant
    ) {
        let steps = min(max(0, outputTokens), Self.promptTokenLimit) - placement.tokensHeard
        guard held.values[place].request.isOneSequence, Double(steps) >= StepTimeLearner.fewestSteps else { return }
        let index = placement.endpoint.index
        let reading = ledgers[index].history.reading(endpoints[index].capacity.stepTime, now: now)
        let load = endpoints[index].load
        let foreign = endpoints[index].foreignLoad.requests(now: now)
        let foreignContext = load.requests > 0 ? foreign * (load.contextTokens / load.requests) : 0
        if let sample = LoadHistory.sample(
            from: placement.lastHeard, to: reading, steps: steps, foreignRequests: foreign,
            foreignContextTokens: foreignContext)
        {
            ledgers[index].learner.observe(sample)
            believe(ledgers[index].learner.model, of: index)
        }
        held.values[place].placement?.lastHeard = reading
        held.values[place].placement?.tokensHeard = outputTokens
    }

    /// Learns from a complete answer.
    mutating func noteFinish(
        at place: Dictionary<UInt64, HeldRequest>.Index, _ placement: Placement, _ answer: AnswerFacts, now: Instant
    ) {
        guard let outputTokens = answer.outputTokens else { return }
        if placement.firstToken == nil {
            book(firstTokenAt: place, on: placement.endpoint.index, isSeen: false, now: now)
        }
        learnSteps(at: place, placement, outputTokens: outputTokens, now: now)
        reportOutcome(of: held.values[place], outputTokens: outputTokens, now: now)
    }

    /// Tells the slow loop how a real-time request fared.
    private mutating func reportOutcome(of entry: HeldRequest, outputTokens: Int, now: Instant) {
        guard entry.workClass == .realtime, entry.request.streams, let placement = entry.placement,
            let first = placement.firstToken, let atFirst = placement.atFirstToken
        else { return }
        let index = placement.endpoint.index
        let end = ledgers[index].history.reading(endpoints[index].capacity.stepTime, now: now)
        let steps = Double(max(1, min(max(0, outputTokens), Self.promptTokenLimit) - 1))
        ledgers[index].harvest.realtimeFinished(
            RealtimeOutcome(
                ttftMilliseconds: (first - placement.started).milliseconds,
                ttftOfBatchMilliseconds: atFirst.sheddableMilliseconds - placement.atStart.sheddableMilliseconds,
                tpotMilliseconds: outputTokens > 1 ? (now - first).milliseconds / steps : nil,
                tpotOfBatchMilliseconds: (end.sheddableMilliseconds - atFirst.sheddableMilliseconds) / steps,
                outputTokens: outputTokens))
    }

    /// Another engine may be behind the address now.
    mutating func forgetSpeed(of index: Int) {
        ledgers[index].learner.restart(prior: ledgers[index].configuredStepTime)
        believe(ledgers[index].configuredStepTime, of: index)
    }

    /// The belief holds for all that looks at the endpoint's capacity, routing too.
    private mutating func believe(_ model: StepTimeModel, of index: Int) {
        endpoints[index].capacity.stepTime = model
        ledgers[index].harvest.isPaceKnown = ledgers[index].learner.fittedSamples >= Self.samplesOfKnownPace
        ledgers[index].harvest.requestsOfKnownPace = ledgers[index].learner.mostDecodes
        ledgers[index].harvest.speedFactor = ledgers[index].learner.speedFactor
    }
}

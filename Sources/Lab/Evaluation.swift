import Basics
import EngineModel
import Harvest
import Pool

/// Turns a world that has run into a result.
struct Evaluation {
    let setup: WorldSetup
    let limits: HarvestConfiguration
    let policy: Policy
    let world: FinishedWorld

    func result(wallSeconds: Double) -> PolicyResult {
        let realtime = world.fleet.requests[..<world.fleet.realtimeCount]
        let ttft = Percentiles(realtime.lazy.filter { $0.state == .finished }.map(\.ttftMilliseconds))
        let tpot = Percentiles(realtime.lazy.filter { $0.state == .finished }.compactMap(\.tpotMilliseconds))
        let good = realtime.count(where: isGood)
        return PolicyResult(
            policy: policy,
            realtime: .init(
                requests: realtime.count, good: Double(good) / Double(max(realtime.count, 1)),
                rejected: world.fleet.realtimeRejected, ttft: .init(ttft), tpot: .init(tpot)),
            batch: batch, drain: drain, surge: surge, gate: gate, virtualSeconds: world.end.seconds,
            wallSeconds: wallSeconds,
            plots: plots(ttft: ttft, tpot: tpot))
    }

    private func isGood(_ request: LabRequest) -> Bool {
        request.state == .finished && request.ttftMilliseconds <= limits.ttftLimitMilliseconds
            && (request.tpotMilliseconds ?? 0) <= limits.tpotLimitMilliseconds
    }

    private var batchRequests: ArraySlice<LabRequest> { world.fleet.requests[world.fleet.realtimeCount...] }

    private var isPush: Bool {
        if case .push = setup.supply { true } else { false }
    }

    private var wastedTokens: Int { max(0, world.fleet.computedTokens - world.fleet.usefulTokens) }

    private var batch: PolicyResult.Batch {
        let traceSeconds = max(setup.trace.duration.seconds, 1e-9)
        var inTime = (requests: 0, input: 0, output: 0)
        var late = 0
        for request in batchRequests {
            if request.state == .finished, request.finished <= world.traceEnd {
                inTime.requests += 1
                inTime.input += Int(request.promptTokens)
                inTime.output += Int(request.outputTokens)
            }
            if let window = setup.completionWindow {
                let missed = request.state == .finished && request.finished > request.arrival + window
                if missed || request.state == .rejected { late += 1 }
            }
        }
        let books = isPush ? FinishedWorld.Books(world.fleet) : world.atTraceEnd
        return .init(
            submitted: books.submitted, served: books.served, dropped: books.dropped, late: late,
            requestsPerSecond: Double(inTime.requests) / traceSeconds,
            inputTokensPerSecond: Double(inTime.input) / traceSeconds,
            outputTokensPerSecond: Double(inTime.output) / traceSeconds,
            wastedTokens: wastedTokens, attempts: books.sends)
    }

    private var drain: PolicyResult.Drain? {
        guard isPush, world.fleet.batchFinished > 0 else { return nil }
        return .init(
            makespanSeconds: world.fleet.lastBatchFinish.seconds,
            workBoundSeconds: WorkBound(stepTime: setup.engineConfiguration.stepTime, replicas: setup.replicas)
                .drainSeconds(
                    trace: setup.trace,
                    batch: batchRequests.lazy.filter { $0.state == .finished }.map {
                        ($0.promptTokens, $0.outputTokens)
                    }))
    }

    private var surge: PolicyResult.SurgeControl? {
        guard let watch = world.fleet.stepWatch else { return nil }
        let batchTokens = batchRequests.reduce(0) { sum, request in
            request.state == .finished ? sum + Int(request.promptTokens + request.outputTokens) : sum
        }
        return .init(
            overLimitSeconds: watch.longestAboveSeconds, limitMilliseconds: watch.limitMilliseconds,
            worstStepMilliseconds: watch.worstStepMilliseconds,
            wasteShare: Double(wastedTokens) / Double(max(1, batchTokens + wastedTokens)))
    }

    private var gate: PolicyResult.GateControl? {
        world.fleet.gateWatch.map { watch in
            .init(
                signal: watch.signal.name, threshold: watch.threshold, meanSaturation: watch.saturation.mean,
                p99Saturation: watch.saturation.value(at: 0.99), peakSaturation: watch.saturation.peak,
                peakOvershoot: watch.ownLevel.peakExcess, meanOvershoot: watch.ownLevel.meanExcess,
                shareBeyond: watch.ownLevel.shareAbove)
        }
    }

    private func plots(ttft: Percentiles, tpot: Percentiles) -> PolicyPlots {
        let timeline = world.fleet.timeline
        let bins = max(1, Int((setup.trace.duration.seconds / timeline.binSeconds).rounded()))
        var arrivals = Array(repeating: 0.0, count: bins)
        var ttftOfBin = Array(repeating: [Double](), count: bins)
        var tpotOfBin = ttftOfBin
        for request in world.fleet.requests[..<world.fleet.realtimeCount] {
            let bin = min(bins - 1, Int(request.arrival.seconds / timeline.binSeconds))
            arrivals[bin] += 1 / timeline.binSeconds
            guard request.state == .finished else { continue }
            ttftOfBin[bin].append(request.ttftMilliseconds)
            if let value = request.tpotMilliseconds { tpotOfBin[bin].append(value) }
        }
        return PolicyPlots(
            binSeconds: timeline.binSeconds, arrivals: arrivals, realtimeInFlight: timeline.realtimeInFlight,
            batchInFlight: timeline.batchInFlight, ttft95: ttftOfBin.map { Percentiles($0).value(at: 0.95) },
            tpot95: tpotOfBin.map { Percentiles($0).value(at: 0.95) },
            ttftCurve: PolicyPlots.quantiles.map { ttft.value(at: $0) ?? 0 },
            tpotCurve: PolicyPlots.quantiles.map { tpot.value(at: $0) ?? 0 })
    }
}

import Basics
import EngineModel
import Prediction

/// How loaded the prediction world is: the four columns of the experiment in shared reference `scheduling.md` 4.6.
public enum PredictionLoad: String, CaseIterable, Sendable {
    /// Time to first token 39 ms at the median and 324 ms at p90 in 4.6.
    case light
    /// 64 and 739 ms.
    case median
    /// 267 ms and 5.2 s.
    case heavy
    /// 1.16 and 10.6 s.
    case nearSaturation = "near-saturation"

    /// Mean arrivals over the pool, per second.
    public var requestsPerSecond: Double {
        switch self {
        case .light: 8
        case .median: 28
        case .heavy: 42
        case .nearSaturation: 50
        }
    }

    /// How many requests a run has: as in 4.6, fewer where the queues grow.
    public var requests: Int {
        switch self {
        case .light, .median: 20_000
        case .heavy, .nearSaturation: 12_000
        }
    }
}

/// The world in which predictions are measured: eight engines, bursty mixed traffic, a router that knows its own counters
/// exactly and prefix hits as well as a router can (shared reference `scheduling.md` 4.6).
///
/// Evaluation is prequential: every prediction is made before its outcome is learned. The first thousand requests do not
/// count, as batch models have nothing to predict with until then.
public struct PredictionWorld {
    private struct InFlight {
        var request: PredictionRequest
        var replica: Int
        var uncachedTokens: Int
        var contextTokens: Int
        var features: LatencyFeatures
        var predictedMilliseconds: Double
        var firstToken = Instant.zero
        var outputFeatures = LatencyFeatures()
        var outputPredictedMilliseconds = 0.0
        var laterTokens = 0
        var lastToken = Instant.zero
        var longestGap = TimeSpan.zero
    }

    private static let replicas = 8
    private static let warmUp = 1000
    /// The scheduler hears of a streaming answer about this often.
    private static let tokensPerReport = 16
    /// How often a gateway reads metrics where nobody says otherwise; 4.6 has them 50 ms old.
    private static let scrapeInterval = TimeSpan.milliseconds(500)
    /// Half the usual answer: what a request adds to the context on average.
    private static let meanAddedContext = 90
    /// Outcomes in the rolling error after a swap.
    private static let rollingOutcomes = 200

    private var physics: PredictionPhysics
    private var predictor: LatencyPredictor
    private var pendingPrefillTokens = Array(repeating: 0, count: replicas)
    private var decodingRequests = Array(repeating: 0, count: replicas)
    private var awaitingRequests = Array(repeating: 0, count: replicas)
    private var contextTokens = Array(repeating: 0, count: replicas)
    private var isKnown = Array(
        repeating: Array(repeating: false, count: PredictionTraffic.prefixes), count: replicas)
    private var inFlight: [UInt64: InFlight] = [:]
    private var ttft: [PredictionOutcome] = []
    private var tpot: [PredictionOutcome] = []
    private var expectedHits = 0
    private var staleHits = 0

    private init(seed: UInt64, stepBudgetTokens: Int) {
        physics = PredictionPhysics(replicas: Self.replicas, seed: seed, stepBudgetTokens: stepBudgetTokens)
        predictor = LatencyPredictor(endpointClasses: Array(repeating: 0, count: Self.replicas), prior: nil)
    }

    /// Measures the predictor at one load.
    ///
    /// - Parameters:
    ///   - requests: how many; nil for the usual number.
    ///   - swapsTo: the engine preset that all engines become when half of the traffic has arrived; nil for no change.
    ///   - bar: what the rolling error is to come back under then.
    ///   - stepBudgetTokens: tokens per step of the engines, which the predictor is not told.
    /// - Throws: `LabError.unknownEngine` for an unknown preset.
    public static func run(
        load: PredictionLoad, seed: UInt64, requests: Int? = nil, swapsTo preset: String? = nil, bar: Double = 0.12,
        stepBudgetTokens: Int = 2048
    ) throws(LabError) -> PredictionFindings {
        var swap: PredictionPhysics.Law?
        if let preset {
            guard let engine = EngineConfiguration.preset(named: preset) else { throw .unknownEngine(preset) }
            // Attention costs what it did, in proportion to the other work on a prompt token.
            let reference = PredictionPhysics.Law.reference
            let share = reference.perAttentionMilliseconds / reference.step.perPrefillTokenMilliseconds
            swap = PredictionPhysics.Law(
                step: engine.stepTime,
                perAttentionMilliseconds: share * engine.stepTime.perPrefillTokenMilliseconds)
        }
        var world = PredictionWorld(seed: seed, stepBudgetTokens: stepBudgetTokens)
        let swappedAt = world.run(
            requestsPerSecond: load.requestsPerSecond, requests: requests ?? load.requests, seed: seed, swap: swap)
        return PredictionFindings(
            load: load.rawValue, requestsPerSecond: load.requestsPerSecond, seed: seed,
            ttft: world.ttft.score(afterWarmUp: warmUp), tpot: world.tpot.score(afterWarmUp: warmUp),
            staleShare: Double(world.staleHits) / Double(max(1, world.expectedHits)),
            preemptions: world.physics.preemptions, swap: swappedAt.map { world.swap(at: $0, bar: bar) })
    }

    /// Runs until everything has been answered; returns when the engines changed.
    private mutating func run(
        requestsPerSecond: Double, requests: Int, seed: UInt64, swap: PredictionPhysics.Law?
    ) -> Instant? {
        var traffic = PredictionTraffic(
            requestsPerSecond: requestsPerSecond, blockTokens: PredictionPhysics.blockTokens, seed: seed)
        var sent = 0
        var nextScrape = Instant.zero
        var swappedAt: Instant?
        var next: PredictionRequest? = requests > 0 ? traffic.next() : nil
        while true {
            let end = physics.nextStepEnd
            if let event = [next?.arrival, end?.at].compactMap({ $0 }).min(), event > nextScrape {
                scrape(now: nextScrape)
                nextScrape = nextScrape + Self.scrapeInterval
                continue
            }
            if let request = next, end.map({ request.arrival < $0.at }) ?? true {
                if let swap, sent == requests / 2 {
                    physics.law = swap
                    swappedAt = request.arrival
                }
                submit(request, id: UInt64(sent))
                sent += 1
                next = sent < requests ? traffic.next() : nil
            } else if let end {
                finishStep(end.replica, now: end.at)
            } else {
                return swappedAt
            }
        }
    }

    private func expectedCachedTokens(_ request: PredictionRequest, at replica: Int) -> Int {
        guard let prefix = request.prefix, isKnown[replica][prefix] else { return 0 }
        return request.prefixTokens
    }

    /// The router of 4.6: least uncached prompt tokens, or anywhere.
    private func place(_ request: PredictionRequest, id: UInt64) -> Int {
        if let place = request.place { return min(Int(place * Double(Self.replicas)), Self.replicas - 1) }
        var best = (cost: Int.max, replica: 0)
        for offset in 0..<Self.replicas {
            let replica = (offset + Int(id % UInt64(Self.replicas))) % Self.replicas
            let cost =
                pendingPrefillTokens[replica] + request.promptTokens - expectedCachedTokens(request, at: replica)
            if cost < best.cost { best = (cost, replica) }
        }
        return best.replica
    }

    private mutating func features(
        _ replica: Int, promptTokens: Int, cachedTokens: Int, now: Instant
    ) -> LatencyFeatures {
        predictor.features(
            endpoint: replica, promptTokens: promptTokens, cachedPromptTokens: cachedTokens,
            pendingPrefillTokens: pendingPrefillTokens[replica], decodingRequests: decodingRequests[replica],
            awaitingRequests: awaitingRequests[replica], contextTokens: contextTokens[replica], now: now)
    }

    /// Reads the metrics of the engines, as a gateway does now and then.
    private mutating func scrape(now: Instant) {
        for replica in 0..<Self.replicas {
            predictor.reported(
                endpoint: replica, kvUsage: physics.kvUsage(replica), kvTokens: PredictionPhysics.kvTokens,
                contextTokens: contextTokens[replica], now: now)
        }
    }

    private mutating func submit(_ request: PredictionRequest, id: UInt64) {
        let now = request.arrival
        let replica = place(request, id: id)
        let cached = expectedCachedTokens(request, at: replica)
        if cached > 0 {
            expectedHits += 1
            if request.isStale { staleHits += 1 }
        }
        let features = features(replica, promptTokens: request.promptTokens, cachedTokens: cached, now: now)
        let flight = InFlight(
            request: request, replica: replica, uncachedTokens: request.promptTokens - cached,
            contextTokens: request.promptTokens + Self.meanAddedContext, features: features,
            predictedMilliseconds: predictor.ttftMilliseconds(endpoint: replica, features))
        predictor.sent(id, endpoint: replica, features: features, now: now)
        pendingPrefillTokens[replica] += flight.uncachedTokens
        awaitingRequests[replica] += 1
        contextTokens[replica] += flight.contextTokens
        inFlight[id] = flight
        physics.submit(request, id: id, cachedTokens: request.isStale ? 0 : cached, to: replica, now: now)
    }

    private mutating func finishStep(_ replica: Int, now: Instant) {
        for event in physics.finishStep(replica, now: now) {
            switch event {
            case .firstToken(let id): firstToken(id, now: now)
            case .token(let id):
                guard var flight = inFlight[id] else { continue }
                flight.laterTokens += 1
                flight.longestGap = max(flight.longestGap, now - flight.lastToken)
                flight.lastToken = now
                if flight.laterTokens.isMultiple(of: Self.tokensPerReport) {
                    // The first token is the one before the later ones.
                    predictor.progressed(
                        id, endpoint: replica, outputTokens: flight.laterTokens + 1,
                        longestGap: flight.longestGap, decodingRequests: decodingRequests[replica],
                        contextTokens: contextTokens[replica], now: now)
                    flight.longestGap = .zero
                }
                inFlight[id] = flight
            case .finished(let id, _, _, let outputTokens): finished(id, outputTokens: outputTokens, now: now)
            case .admitted, .preempted: break
            }
        }
    }

    private mutating func firstToken(_ id: UInt64, now: Instant) {
        guard var flight = inFlight[id] else { return }
        let replica = flight.replica
        let sent = flight.request.arrival
        pendingPrefillTokens[replica] -= flight.uncachedTokens
        awaitingRequests[replica] -= 1
        let outcome = PredictionOutcome(
            made: sent, known: now, predictedMilliseconds: flight.predictedMilliseconds,
            p90Milliseconds: flight.predictedMilliseconds * Double(flight.features.ttftP90Factor),
            milliseconds: (now - sent).milliseconds)
        ttft.append(outcome)
        predictor.observeFirstToken(
            id, endpoint: replica, features: flight.features, predictedMilliseconds: flight.predictedMilliseconds,
            milliseconds: outcome.milliseconds, now: now)
        flight.firstToken = now
        flight.lastToken = now
        flight.outputFeatures = features(replica, promptTokens: 1, cachedTokens: 0, now: now)
        flight.outputPredictedMilliseconds = predictor.tpotMilliseconds(
            endpoint: replica, flight.outputFeatures)
        decodingRequests[replica] += 1
        if let prefix = flight.request.prefix, !flight.request.isStale { isKnown[replica][prefix] = true }
        inFlight[id] = flight
    }

    private mutating func finished(_ id: UInt64, outputTokens: Int, now: Instant) {
        guard let flight = inFlight.removeValue(forKey: id) else { return }
        decodingRequests[flight.replica] -= 1
        contextTokens[flight.replica] -= flight.contextTokens
        guard outputTokens > 1 else { return }
        let outcome = PredictionOutcome(
            made: flight.firstToken, known: now, predictedMilliseconds: flight.outputPredictedMilliseconds,
            p90Milliseconds: flight.outputPredictedMilliseconds * Double(flight.outputFeatures.tpotP90Factor),
            milliseconds: (now - flight.firstToken).milliseconds / Double(outputTokens - 1))
        tpot.append(outcome)
        predictor.observeOutput(
            endpoint: flight.replica, features: flight.outputFeatures,
            predictedMilliseconds: flight.outputPredictedMilliseconds, tpotMilliseconds: outcome.milliseconds,
            outputTokens: outputTokens, now: now)
    }

    private func swap(at swapped: Instant, bar: Double) -> PredictionFindings.Swap {
        func error(from: Double, to: Double) -> Double {
            ttft.filter { $0.made >= swapped + .seconds(from) && $0.made < swapped + .seconds(to) }
                .meanAbsolutePercentageError
        }
        // Only what was sent after the change tells about it.
        let after = ttft.filter { $0.made >= swapped }
        var recovery: Double?
        for end in after.indices where end + 1 >= Self.rollingOutcomes {
            let rolling = Array(after[(end + 1 - Self.rollingOutcomes)...end])
            guard rolling.meanAbsolutePercentageError <= bar else { continue }
            recovery = (after[end].known - swapped).seconds
            break
        }
        return PredictionFindings.Swap(
            bar: bar, before: error(from: -60, to: 0), atOnce: error(from: 0, to: 10),
            secondMinute: error(from: 60, to: 120), recoverySeconds: recovery)
    }
}

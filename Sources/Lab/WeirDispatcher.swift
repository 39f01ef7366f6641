import Admission
import Basics
import EngineModel
import Harvest
import Pool
import PoolScheduler

/// The scheduler that ships, with the processor's habits around it: a bounded number of messages is offered, and one
/// that is called back is offered again at once, before those that have not run.
struct WeirDispatcher: Dispatcher {
    private static let tickInterval = TimeSpan.milliseconds(50)
    /// Messages that the processor holds at the scheduler at once.
    private static let offered = 512
    /// How often the gateway looks at the length of an answer in progress, in tokens.
    private static let progressInterval = 32
    private static let scrapeInterval = TimeSpan.seconds(1)
    /// What any endpoint is believed to be before it has shown its pace, whatever engine the lab runs: round figures between
    /// those of an 8B and of a 70B model (`workloads.md` A.5), the constants of no preset.
    private static let prior = StepTimeModel(
        baseMilliseconds: 10, perDecodeMilliseconds: 0.03, perContextTokenMilliseconds: 5e-5,
        perPrefillTokenMilliseconds: 0.03)
    /// vLLM's default bound on running requests, as the gateway would assume it.
    private static let concurrency = 256
    private(set) var scheduler: PoolScheduler
    private var nextScrape = Instant.zero
    private(set) var nextWake: Instant? = .zero
    private let limitsAreLengths: Bool

    init(
        replicas: Int, admission: AdmissionConfiguration = .init(), harvest: HarvestConfiguration, hidesLengths: Bool,
        priorFactor: Double = 1
    ) {
        let prior = Self.prior.scaled(by: priorFactor)
        let endpoints = (0..<replicas).map { index in
            Endpoint(
                name: "replica-\(index)",
                capacity: EndpointCapacity(
                    stepTime: prior, kvTokens: nil, maxConcurrentRequests: Self.concurrency))
        }
        scheduler = PoolScheduler(
            configuration: PoolConfiguration(name: "lab", endpoints: endpoints, admission: admission, harvest: harvest),
            now: .zero)
        limitsAreLengths = !hidesLengths
    }

    mutating func begin(now: Instant, fleet: inout Fleet) { offer(now: now, fleet: &fleet) }

    mutating func realtimeArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        let request = fleet.requests[id]
        act(
            scheduler.submit(
                PoolRequest(
                    id: UInt64(id), priority: fleet.priority(id), promptTokens: Int(request.promptTokens),
                    maxOutputTokens: fleet.visibleMaxTokens(id), runsToLimit: limitsAreLengths,
                    flow: fleet.flow(id), promptBlocks: fleet.promptBlocks(id)),
                now: now), now: now, fleet: &fleet)
    }

    mutating func messageArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        fleet.enqueue(id)
        offer(now: now, fleet: &fleet)
    }

    mutating func happened(_ event: FleetEvent, now: Instant, fleet: inout Fleet) {
        switch event {
        case .firstToken(let id):
            // The answers to messages come in one piece: nobody sees their first token.
            if fleet.requests[id].workClass == .realtime { scheduler.firstToken(UInt64(id), now: now) }
        case .progressed(let id, let tokens):
            if tokens % Self.progressInterval == 0, fleet.requests[id].workClass == .realtime {
                scheduler.progressed(UInt64(id), outputTokens: tokens, now: now)
            }
        case .finished(let id):
            act(scheduler.finished(UInt64(id), fleet.answerFacts(id), now: now), now: now, fleet: &fleet)
            offer(now: now, fleet: &fleet)
        case .refused(let id):
            act(scheduler.cancelled(UInt64(id), now: now), now: now, fleet: &fleet)
        }
    }

    mutating func wake(now: Instant, fleet: inout Fleet) {
        if nextScrape <= now { scrape(now: now, fleet: &fleet) }
        act(scheduler.tick(now: now), now: now, fleet: &fleet)
        offer(now: now, fleet: &fleet)
        nextWake = now + Self.tickInterval
    }

    private mutating func scrape(now: Instant, fleet: inout Fleet) {
        nextScrape = now + Self.scrapeInterval
        for index in fleet.engines.indices {
            let engine = fleet.engines[index]
            let metrics = ScrapedMetrics(
                waiting: engine.load.waiting, running: engine.load.running, kvUsage: engine.load.kvUsage,
                kvBlocks: engine.configuration.kvBlocks, blockSizeTokens: engine.configuration.blockSizeTokens)
            act(scheduler.scraped(EndpointID(index), metrics, now: now), now: now, fleet: &fleet)
        }
    }

    private mutating func offer(now: Instant, fleet: inout Fleet) {
        while scheduler.waitingSheddable < Self.offered, let id = fleet.takeBatch(now: now) {
            let request = fleet.requests[id]
            act(
                scheduler.submit(
                    PoolRequest(
                        id: UInt64(id), priority: -1, promptTokens: Int(request.promptTokens),
                        maxOutputTokens: fleet.visibleMaxTokens(id), runsToLimit: limitsAreLengths,
                        deadline: fleet.completionWindow.map { request.arrival + $0 }, isMessage: true, streams: false),
                    now: now), now: now, fleet: &fleet)
        }
    }

    private mutating func act(_ actions: [SchedulerAction], now: Instant, fleet: inout Fleet) {
        for action in actions {
            switch action {
            case .start(let id, let endpoint): fleet.send(Int(id), to: endpoint.index, now: now)
            case .reject(let id, _): fleet.reject(Int(id), now: now)
            case .callBack(let id, _): if fleet.abort(Int(id), now: now) { fleet.putBack(Int(id)) }
            }
        }
    }
}

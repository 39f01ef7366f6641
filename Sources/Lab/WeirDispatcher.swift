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
    private(set) var scheduler: PoolScheduler
    private(set) var nextWake: Instant? = .zero
    private let limitsAreLengths: Bool

    init(engine: EngineConfiguration, replicas: Int, harvest: HarvestConfiguration, hidesLengths: Bool) {
        let endpoints = (0..<replicas).map { index in
            Endpoint(
                name: "replica-\(index)",
                capacity: EndpointCapacity(
                    stepTime: engine.stepTime, kvTokens: engine.kvTokens, maxConcurrentRequests: engine.maxSequences))
        }
        scheduler = PoolScheduler(
            configuration: PoolConfiguration(name: "lab", endpoints: endpoints, harvest: harvest), now: .zero)
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
            if tokens % Self.progressInterval == 0 {
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
        act(scheduler.tick(now: now), now: now, fleet: &fleet)
        offer(now: now, fleet: &fleet)
        nextWake = now + Self.tickInterval
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
            case .reject(let id, _): fleet.reject(Int(id))
            case .callBack(let id, _): if fleet.abort(Int(id), now: now) { fleet.putBack(Int(id)) }
            }
        }
    }
}

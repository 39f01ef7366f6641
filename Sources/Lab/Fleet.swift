import Basics
import DequeModule
import EngineModel
import Pool

/// The simulated pool: replicas, requests on their way to them, the batch supply, and what has become of every request.
///
/// Dispatchers act on it; the world moves its time.
struct Fleet {
    private struct Delivery {
        let due: Instant
        let request: Int
        let replica: Int
        let attempt: Int32
    }

    private(set) var engines: [Engine]
    private(set) var realtimeOnReplica: [Int]
    private(set) var batchOnReplica: [Int]
    private var stepEnds: [Instant?]
    private(set) var requests: [LabRequest] = []
    private(set) var supply: BatchSupply
    private(set) var realtimeInFlight = 0
    private(set) var batchInFlight = 0
    private(set) var batchDropped = 0
    private(set) var batchFinished = 0
    private(set) var realtimeFinished = 0
    private(set) var realtimeRejected = 0
    private(set) var batchSends = 0
    private(set) var timeline: Timeline
    /// Tokens that engines computed for anybody, lost work included.
    private(set) var computedTokens = 0
    /// Tokens that had to be computed for the requests that finished.
    private(set) var usefulTokens = 0
    private(set) var stepWatch: StepWatch?
    private(set) var gateWatch: GateWatch?
    /// When the last batch request finished.
    private(set) var lastBatchFinish = Instant.zero
    let hidesLengths: Bool
    let completionWindow: TimeSpan?
    private let apiOverhead: TimeSpan
    let trace: [TraceRequest]
    private var transit: Deque<Delivery> = []
    private var events: [EngineEvent] = []

    init(setup: WorldSetup, timeline: Timeline, stepWatch: StepWatch?) {
        let engineConfiguration = setup.engineConfiguration
        engines = (0..<setup.replicas).map { index in
            Engine(
                configuration: engineConfiguration, seed: setup.seed &+ UInt64(index) &* 7919,
                emitsEveryToken: setup.hidesLengths || setup.reportsProgress)
        }
        stepEnds = Array(repeating: nil, count: setup.replicas)
        realtimeOnReplica = Array(repeating: 0, count: setup.replicas)
        batchOnReplica = realtimeOnReplica
        supply = BatchSupply(kind: setup.supply, job: setup.job)
        hidesLengths = setup.hidesLengths
        completionWindow = setup.completionWindow
        apiOverhead = .milliseconds(engineConfiguration.apiMilliseconds)
        trace = setup.trace.requests
        self.timeline = timeline
        self.stepWatch = stepWatch
        gateWatch = setup.gate.map { GateWatch(signal: $0.signal, threshold: $0.threshold) }
        requests.reserveCapacity(trace.count * 2)
        for request in trace {
            requests.append(
                LabRequest(
                    .realtime, promptTokens: request.promptTokens, outputTokens: request.outputTokens,
                    arrival: request.arrival))
        }
    }

    /// Real-time requests of the trace: the first so many ids.
    var realtimeCount: Int { trace.count }

    /// Batch requests that were ever taken from the supply, those never sent included.
    var batchSubmitted: Int { requests.count - trace.count }

    // MARK: What dispatchers do

    /// The limit on the answer's length that the gateway sees.
    func visibleMaxTokens(_ id: Int) -> Int { Int(requests[id].outputTokens) * (hidesLengths ? 3 : 1) }

    /// Takes the next batch request: one that waits in the queue, or a new line of a standing supply.
    mutating func takeBatch(now: Instant) -> Int? {
        if let id = supply.takeQueued() { return id }
        guard supply.kind == .endless, !supply.isClosed else { return nil }
        return newBatchRequest(now: now)
    }

    /// Puts a batch request at the head of the queue.
    mutating func putBack(_ id: Int) { supply.putBack(id) }

    /// Puts a pushed message at the end of the queue.
    mutating func enqueue(_ id: Int) { supply.append(id) }

    /// Sends a request to a replica, which it reaches after the cost of the HTTP layer.
    ///
    /// - Parameter skipsAPI: for work that the engine fetches by itself.
    mutating func send(_ id: Int, to replica: Int, now: Instant, skipsAPI: Bool = false) {
        note(now)
        requests[id].state = .inFlight
        requests[id].replica = Int32(replica)
        requests[id].attempts += 1
        requests[id].tokensOut = 0
        count(id, by: 1)
        if requests[id].workClass == .sheddable { batchSends += 1 }
        if skipsAPI {
            _ = deliver(id, to: replica, now: now)
        } else {
            transit.append(
                Delivery(
                    due: now + apiOverhead, request: id, replica: replica, attempt: requests[id].attempts))
        }
    }

    /// Cancels a request at its replica.
    ///
    /// - Returns: false if its answer was complete already.
    mutating func abort(_ id: Int, now: Instant) -> Bool {
        guard requests[id].state == .inFlight else { return false }
        note(now)
        engines[Int(requests[id].replica)].abort(UInt64(id))
        count(id, by: -1)
        requests[id].state = .waiting
        return true
    }

    /// Turns a request away for good.
    mutating func reject(_ id: Int, now: Instant) {
        requests[id].state = .rejected
        requests[id].waitEnded = requests[id].waitEnded ?? now
        if requests[id].workClass == .realtime { realtimeRejected += 1 } else { batchDropped += 1 }
    }

    /// The replica with the fewest real-time requests in flight, or the fewest in all; ties go by the other number.
    func leastLoaded(byRealtime: Bool) -> Int {
        engines.indices.min { left, right in
            let all = (left: requestsOn(left), right: requestsOn(right))
            let realtime = (left: realtimeOnReplica[left], right: realtimeOnReplica[right])
            return byRealtime
                ? (realtime.left, all.left) < (realtime.right, all.right)
                : (all.left, realtime.left) < (all.right, realtime.right)
        } ?? 0
    }

    private func requestsOn(_ replica: Int) -> Int { realtimeOnReplica[replica] + batchOnReplica[replica] }

    // MARK: What the world does

    /// The next time something happens in the pool by itself.
    var nextEvent: Instant? {
        var next = transit.first?.due
        for case let end? in stepEnds where next.map({ end < $0 }) ?? true { next = end }
        return next
    }

    /// Makes a batch request of the next line.
    mutating func newBatchRequest(now: Instant) -> Int {
        let length = supply.nextLength()
        requests.append(
            LabRequest(
                .sheddable, promptTokens: length.promptTokens, outputTokens: length.outputTokens, arrival: now))
        return requests.count - 1
    }

    /// Ends an endless supply.
    mutating func closeSupply() { supply.close() }

    /// Hands over what has reached its replica by `now`, and reports what a replica refused.
    mutating func deliverDue(now: Instant, report: (FleetEvent, inout Fleet) -> Void) {
        while let first = transit.first, first.due <= now {
            transit.removeFirst()
            let request = requests[first.request]
            guard request.state == .inFlight, request.attempts == first.attempt else { continue }
            if !deliver(first.request, to: first.replica, now: now) { report(.refused(first.request), &self) }
        }
    }

    /// Ends the steps that are due, and reports what they brought, in order.
    mutating func finishDueSteps(now: Instant, report: (FleetEvent, inout Fleet) -> Void) {
        for index in engines.indices where stepEnds[index].map({ $0 <= now }) ?? false {
            stepEnds[index] = nil
            computedTokens += engines[index].step.tokens
            engines[index].finishStep(now: now, into: &events)
            guard !events.isEmpty else { continue }
            note(now)
            // All is booked before anybody reacts: a request that has just finished can no longer be called back.
            let happened = bookEvents(now: now)
            for event in happened { report(event, &self) }
        }
    }

    /// Books how full the pool is from now on, where a gate is watched.
    mutating func watchLevels(now: Instant) {
        guard let signal = gateWatch?.signal else { return }
        let saturation = GateSignal.saturation.level(of: self)
        let own = signal.level(of: self)
        gateWatch?.observe(saturation: saturation, own: own, now: now)
    }

    /// Begins a step on every replica that has work and computes nothing.
    mutating func beginSteps(now: Instant) {
        for index in engines.indices where stepEnds[index] == nil {
            guard let span = engines[index].beginStep(now: now) else { continue }
            stepEnds[index] = now + span
            stepWatch?.observe(
                engines[index].step, replica: index, from: now, to: now + span,
                carriesBatch: batchOnReplica[index] > 0)
        }
    }

    /// Closes the books at the end of a run.
    mutating func close(now: Instant) { note(now) }

    // MARK: Books

    /// False if the replica refuses the request for good because it could never hold it.
    private mutating func deliver(_ id: Int, to replica: Int, now: Instant) -> Bool {
        requests[id].delivered = now
        let request = requests[id]
        let isBatch = request.workClass == .sheddable
        let hashes = id < trace.count ? trace[id].promptBlockHashes : []
        let fits = engines[replica].submit(
            EngineRequest(
                id: UInt64(id), promptTokens: Int(request.promptTokens), outputTokens: Int(request.outputTokens),
                priority: isBatch ? 1 : 0, isBatch: isBatch, promptBlockHashes: hashes), now: now)
        if !fits {
            note(now)
            count(id, by: -1)
            reject(id, now: now)
        }
        return fits
    }

    private mutating func bookEvents(now: Instant) -> [FleetEvent] {
        var fresh: [EngineEvent] = []
        swap(&fresh, &events)
        let happened = fresh.compactMap { book($0, now: now) }
        fresh.removeAll(keepingCapacity: true)
        swap(&fresh, &events)
        return happened
    }

    private mutating func book(_ event: EngineEvent, now: Instant) -> FleetEvent? {
        switch event {
        case .firstToken(let id):
            requests[Int(id)].firstToken = now
            requests[Int(id)].tokensOut = 1
            return .firstToken(Int(id))
        case .token(let id):
            requests[Int(id)].tokensOut += 1
            return .progressed(Int(id), Int(requests[Int(id)].tokensOut))
        case .finished(let id, let promptTokens, let cachedTokens, let outputTokens):
            let index = Int(id)
            requests[index].finished = now
            requests[index].cachedTokens = Int32(clamping: cachedTokens)
            requests[index].state = .finished
            count(index, by: -1)
            usefulTokens += promptTokens - cachedTokens + outputTokens - 1
            if requests[index].workClass == .realtime {
                realtimeFinished += 1
            } else {
                batchFinished += 1
                lastBatchFinish = now
            }
            return .finished(index)
        case .admitted(let id, let waited):
            // Of one that comes again after a preemption the first time counts.
            let request = requests[Int(id)]
            requests[Int(id)].waitEnded = request.waitEnded ?? request.delivered + waited
            return nil
        case .preempted:
            return nil
        }
    }

    private mutating func count(_ id: Int, by change: Int) {
        let replica = Int(requests[id].replica)
        if requests[id].workClass == .realtime {
            realtimeOnReplica[replica] += change
            realtimeInFlight += change
        } else {
            batchOnReplica[replica] += change
            batchInFlight += change
        }
    }

    private mutating func note(_ now: Instant) {
        timeline.advance(to: now, realtimeInFlight: realtimeInFlight, batchInFlight: batchInFlight)
    }
}

/// What happened to a request in the pool, as the gateway sees it.
enum FleetEvent {
    case firstToken(Int)
    /// So many tokens are out.
    case progressed(Int, Int)
    case finished(Int)
    /// The replica refused it with an error.
    case refused(Int)
}

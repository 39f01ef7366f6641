import Admission
import Basics
import Delivery
import Harvest
import InferenceAPI
import Pool
import PoolScheduler

// What `Gateway`, `PoolShell` and the dispatcher of `Composition` do around `PoolScheduler`.
extension World {
    private static let tick = TimeSpan.milliseconds(50)
    private static let sheddable = -1

    func makeScheduler() -> PoolScheduler {
        let step = StepTimeModel(
            baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
            perPrefillTokenMilliseconds: 0.0202)
        return PoolScheduler(
            configuration: PoolConfiguration(
                name: "pool",
                endpoints: endpoints.map { endpoint in
                    Endpoint(
                        name: endpoint.name,
                        capacity: EndpointCapacity(
                            stepTime: step, kvTokens: 40_000, maxConcurrentRequests: profile.concurrency),
                        isUp: endpoint.isUp)
                },
                admission: AdmissionConfiguration(maxRequestsPerBand: 40, timeToLive: .seconds(5))),
            now: now.steady)
    }

    // MARK: Requests

    /// The processor offers a message: a task of its own carries it to the scheduler.
    func offer(_ leased: LeasedMessage, _ process: Process) {
        let id = newRequest()
        log.note(now, 8, leased.lease.sequence, Int64(id))
        process.requests[id] = GatewayRequest(leased: leased)
        process.offers[leased.lease] = id
        checkOffer(leased, process)
        put(.submit(life: process.life, request: id), after: generator.latency(.milliseconds(0.1)))
    }

    func submit(_ id: UInt64) {
        guard let process, let request = process.requests[id], let leased = request.leased else { return }
        if request.isWithdrawn { return end(id, .withdrawn, process) }
        process.requests[id]?.phase = .waiting
        let message = leased.message
        let pooled = PoolRequest(
            id: id, priority: mutation == .offersAsRealtime ? 0 : Self.sheddable,
            promptTokens: message.payload.count, maxOutputTokens: 64,
            deadline: now.steady + (message.deadline - now.wall), isMessage: true, streams: false)
        keepTicking(process)
        apply(process.scheduler.submit(pooled, now: now.steady), process)
    }

    func withdraw(_ id: UInt64) {
        guard let process, let request = process.requests[id], request.phase != .over else { return }
        guard request.phase != .coming else {
            process.requests[id]?.isWithdrawn = true
            return
        }
        end(id, .withdrawn, process)
        if mutation != .leaksReservations { apply(process.scheduler.cancelled(id, now: now.steady), process) }
    }

    /// A request is over, as far as the gateway is concerned; the processor will hear of it.
    private func end(_ id: UInt64, _ outcome: AttemptOutcome, _ process: Process) {
        guard var request = process.requests[id], request.phase != .over else { return }
        request.phase = .over
        process.running.remove(id)
        guard !request.isRealtime else {
            process.requests[id] = nil
            return
        }
        if outcome == .evicted { counts.evictions += 1 }
        let at = max(request.heardUntil, now.steady + generator.latency(.milliseconds(0.1)))
        request.heardUntil = at
        process.requests[id] = request
        agenda.put(.ended(life: process.life, request: id, outcome), at: at)
    }

    private func newRequest() -> UInt64 {
        lastRequest += 1
        return lastRequest
    }

    // MARK: The scheduler's actions

    func tickScheduler() {
        guard let process else { return }
        apply(process.scheduler.tick(now: now.steady), process)
        guard process.scheduler.requestCount > 0 else {
            process.isTicking = false
            return
        }
        put(.tickScheduler(life: process.life), after: Self.tick)
    }

    private func keepTicking(_ process: Process) {
        guard !process.isTicking else { return }
        process.isTicking = true
        put(.tickScheduler(life: process.life), after: Self.tick)
    }

    func apply(_ actions: [SchedulerAction], _ process: Process) {
        for action in actions {
            switch action {
            case .start(let id, let endpoint): start(id, on: endpoint.index, process)
            case .reject(let id, let rejection):
                log.note(now, 10, Int64(id))
                end(id, Self.outcome(of: rejection), process)
            case .callBack(let id, _):
                log.note(now, 11, Int64(id))
                if process.requests[id]?.isRealtime == true { violate(.realtimeFirst, "real-time \(id) called back") }
                end(id, .evicted, process)
            }
        }
    }

    private func start(_ id: UInt64, on endpoint: Int, _ process: Process) {
        guard var request = process.requests[id], request.phase == .waiting else { return }
        log.note(now, 9, Int64(id), Int64(endpoint))
        request.phase = .running
        request.run += 1
        request.endpoint = endpoint
        request.plan = plan(for: request, on: endpoint)
        process.running.insert(id)
        if let leased = request.leased {
            checkStart(leased, request: id, process)
            let at = max(request.heardUntil, now.steady + generator.latency(.milliseconds(0.05)))
            request.heardUntil = at
            agenda.put(.started(life: process.life, request: id), at: at)
        } else {
            put(
                .firstToken(life: process.life, request: id, run: request.run),
                after: request.plan.duration * 0.3)
        }
        process.requests[id] = request
        if request.plan != .hangs {
            put(.runEnds(life: process.life, request: id, run: request.run), after: request.plan.duration)
        }
    }

    /// What the gateway's refusal means for a message (`GatewayDispatcher`).
    private static func outcome(of rejection: Rejection) -> AttemptOutcome {
        switch rejection.cause {
        case .queueFull, .expired, .infeasible: .rejected(.capacity, reason: "full", retryAfter: rejection.retryAfter)
        case .noEndpoints: .rejected(.unavailable, reason: "no endpoints", retryAfter: rejection.retryAfter)
        case .shuttingDown: .rejected(.stopping, reason: "stopping", retryAfter: rejection.retryAfter)
        case .endpointsFailed: .failed(.connectionLost, endpoint: nil)
        }
    }

    // MARK: Endpoints

    func firstToken(_ id: UInt64, _ run: Int) {
        guard let process, process.requests[id]?.phase == .running, process.requests[id]?.run == run else { return }
        process.scheduler.firstToken(id, now: now.steady)
    }

    func runEnds(_ id: UInt64, _ run: Int) {
        guard let process, let request = process.requests[id], request.phase == .running, request.run == run else {
            return
        }
        let name = endpoints[request.endpoint].name
        switch request.plan {
        case .answer(let status, let retryAfter, let dropReason, _):
            let response = AttemptResponse(
                statusCode: status,
                body: MessageTruth.answer(to: request.leased?.message.payload ?? [], status: status),
                contentType: "text/plain", retryAfter: retryAfter, dropReason: dropReason, endpoint: name,
                usage: status < 400 ? TokenUsage(promptTokens: 10, completionTokens: 20) : nil)
            end(id, .answered(response), process)
            apply(
                process.scheduler.finished(id, AnswerFacts(outputTokens: status < 400 ? 20 : nil), now: now.steady),
                process)
        case .connectFails:
            process.running.remove(id)
            process.requests[id]?.phase = .waiting
            apply(process.scheduler.failedBeforeAnswer(id, now: now.steady), process)
        case .breaks:
            end(id, .failed(.connectionLost, endpoint: name), process)
            apply(process.scheduler.cancelled(id, now: now.steady), process)
        case .tooLong:
            end(id, .failed(.answerTooLong, endpoint: nil), process)
            apply(process.scheduler.cancelled(id, now: now.steady), process)
        case .timesOut:
            end(id, .failed(.timedOut, endpoint: nil), process)
            apply(process.scheduler.cancelled(id, now: now.steady), process)
        case .hangs: break
        }
    }

    /// An endpoint dies, with all that it was at, or comes back; the gateway notices a little later.
    func turn(_ endpoint: Int) {
        guard !isCalm else { return }
        endpoints[endpoint].isUp.toggle()
        log.line(now) { "\(self.endpoints[endpoint].name) \(self.endpoints[endpoint].isUp ? "is up" : "is down")" }
        if let process {
            if !endpoints[endpoint].isUp {
                for id in process.running.sorted() where process.requests[id]?.endpoint == endpoint {
                    guard let run = process.requests[id]?.run else { continue }
                    process.requests[id]?.plan = .breaks(after: .zero)
                    put(
                        .runEnds(life: process.life, request: id, run: run),
                        after: generator.latency(.milliseconds(1)))
                }
            }
            put(
                .noticeHealth(life: process.life, endpoint: endpoint),
                after: generator.seconds(0.01, 1.5))
        }
        if let interval = profile.turnInterval {
            put(.turn(endpoint: endpoint), after: interval * (0.1 + 1.9 * generator.unit()))
        }
    }

    func noticeHealth(of endpoint: Int) {
        guard let process else { return }
        let isUp = endpoints[endpoint].isUp
        guard process.scheduler.endpoints[endpoint].isUp != isUp else { return }
        keepTicking(process)
        apply(process.scheduler.endpointChanged(EndpointID(endpoint), isUp: isUp, now: now.steady), process)
    }

    // MARK: Real-time traffic

    func submitRealtime() {
        guard !isCalm else { return }
        let rate = isPeak ? profile.realtimeRate : profile.realtimeRate / 10
        put(.realtime, after: .seconds(-naturalLogarithm(1 - generator.unit()) / rate))
        guard let process, process.frozenUntil <= now.steady else { return }
        counts.realtime += 1
        let id = newRequest()
        process.requests[id] = GatewayRequest(leased: nil, phase: .waiting)
        keepTicking(process)
        let pooled = PoolRequest(
            id: id, priority: generator.number(0...2), promptTokens: generator.number(50...4000), maxOutputTokens: 100)
        apply(process.scheduler.submit(pooled, now: now.steady), process)
        if generator.chance(0.05) {
            put(.clientLeaves(life: process.life, request: id), after: generator.seconds(0, 3))
        }
    }

    func clientLeaves(_ id: UInt64) {
        guard let process, let request = process.requests[id], request.phase != .over else { return }
        end(id, .withdrawn, process)
        apply(process.scheduler.cancelled(id, now: now.steady), process)
    }

    // MARK: Checks

    /// Whether a message was started although a real-time request waits.
    func checkPrecedence(_ process: Process) {
        if process.scheduler.queueDepths.contains(where: { $0.priority >= 0 && $0.requests > 0 }) {
            violate(.realtimeFirst, "a message was started while a real-time request waited")
        }
    }

    func checkReservations() {
        guard let process else { return }
        let reserved = process.scheduler.endpoints.reduce(0) { $0 + $1.load.requests }
        if reserved != process.running.count {
            violate(.noLeak, "\(process.running.count) requests run, and room is reserved for \(reserved)")
        }
    }
}

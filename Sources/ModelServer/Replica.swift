import Basics
import EngineModel
import InferenceAPI
import NIOCore

/// One simulated server: an engine, its clock and the requests in it.
///
/// Confined to one event loop, on which its connections live too, so that nothing here is shared between threads.
final class Replica {
    /// Steps that end late are caught up with, but not further than this much real time back.
    private static let longestCatchUp = TimeSpan.milliseconds(20)

    /// What happened to the requests so far.
    struct Counts {
        var received = 0
        var finished = 0
        var aborted = 0
        var refused = 0
        var faulted = 0
    }

    /// What becomes of a request that was read.
    enum Reception {
        case accepted(InferenceJob)
        case refused(ServerError)
        case hung
    }

    let configuration: ModelServerConfiguration
    var faults: FaultPlan
    private(set) var counts = Counts()
    private(set) var connections: [ObjectIdentifier: ConnectionHandler] = [:]

    private let loop: NIOIsolatedEventLoop
    private let started = NIODeadline.now()
    private var engine: Engine
    private var metrics: ReplicaMetrics
    private var generator: SeededGenerator
    private var jobs: [UInt64: InferenceJob] = [:]
    private var nextID: UInt64 = 0
    private var stepBegan = Instant.zero
    private var stepEnd: Instant?
    private var events: [EngineEvent] = []

    /// Creates a replica on the event loop that it will live on.
    init(configuration: ModelServerConfiguration, number: Int, loop: any EventLoop) {
        self.configuration = configuration
        self.loop = loop.assumeIsolated()
        faults = configuration.faults
        let seed = configuration.seed &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15
        generator = SeededGenerator(seed: seed)
        engine = Engine(configuration: configuration.engine, seed: seed, emitsEveryToken: true)
        metrics = ReplicaMetrics(
            model: configuration.models.first ?? "", engine: configuration.engine,
            maxModelTokens: configuration.maxModelTokens)
    }

    var load: EngineLoad { engine.load }

    var metricsText: String { metrics.text(load: engine.load) }

    /// The engine's clock: real time since the start, times the speedup.
    private var now: Instant {
        Instant(nanoseconds: (NIODeadline.now() - started).nanoseconds.scaled(by: configuration.speedup))
    }

    func opened(_ connection: ConnectionHandler) { connections[ObjectIdentifier(connection)] = connection }

    func closed(_ connection: ConnectionHandler) { connections[ObjectIdentifier(connection)] = nil }

    // MARK: Requests

    /// Takes a request whose body has been read.
    func receive(
        _ facts: RequestBodyFacts, hashes: [UInt64], isChat: Bool, created: Int64, from connection: ConnectionHandler
    ) -> Reception {
        counts.received += 1
        let limit: Int
        switch admissibleOutput(facts) {
        case .success(let tokens): limit = tokens
        case .failure(let refusal):
            counts.refused += 1
            return .refused(refusal.error)
        }
        let fate = faults.fate(using: &generator)
        switch fate {
        case .rejected, .failed:
            counts.faulted += 1
            return .refused(fate == .failed ? .injected : .rejected(faults))
        case .hung:
            counts.faulted += 1
            return .hung
        case .cut: counts.faulted += 1
        case .served: break
        }
        guard configuration.mode == .instant || jobs.count - engine.load.running < configuration.maxWaitingRequests
        else {
            counts.refused += 1
            return .refused(.queueFull)
        }
        nextID += 1
        let natural = facts.ignoreEOS ? limit : naturalOutputTokens()
        let outputTokens = min(limit, natural)
        let job = InferenceJob(
            id: nextID, facts: facts, outputTokens: outputTokens, endsByItself: natural < limit,
            cutAfterTokens: fate == .cut ? Int.random(in: 1...outputTokens, using: &generator) : nil,
            writer: CompletionWriter(
                isChat: isChat, id: generator.next() >> 16, created: created, model: facts.model ?? "",
                textSeed: generator.next()),
            arrived: now, connection: connection)
        jobs[job.id] = job
        let request = EngineRequest(
            id: job.id, promptTokens: job.promptTokens, outputTokens: outputTokens, priority: facts.priority ?? 0,
            isBatch: (facts.priority ?? 0) > 0,
            promptBlockHashes: Array(hashes.prefix(job.promptTokens / configuration.engine.blockSizeTokens)))
        let overhead = configuration.mode == .instant ? 0 : configuration.engine.apiMilliseconds / configuration.speedup
        let wait = TimeSpan.milliseconds(overhead + Double(faults.delayMilliseconds))
        // Even without a wait the answer comes after this call, when the connection knows what it is waiting for.
        job.submission = loop.scheduleTask(in: .nanoseconds(wait.nanoseconds)) { [weak self] in
            guard let self else { return }
            job.submission = nil
            if configuration.mode == .instant { answerInstantly(job) } else { submit(request) }
        }
        return .accepted(job)
    }

    /// Drops a request whose client has left.
    func cancel(_ job: InferenceJob) {
        guard forget(job) else { return }
        counts.aborted += 1
        metrics.aborted()
        engine.abort(job.id)
        beginStep(notBefore: now)
    }

    private struct Refusal: Error { var error: ServerError }

    /// The most tokens that the request may generate.
    private func admissibleOutput(_ facts: RequestBodyFacts) -> Result<Int, Refusal> {
        func refuse(_ error: ServerError) -> Result<Int, Refusal> { .failure(Refusal(error: error)) }
        guard let model = facts.model else { return refuse(.badRequest("The field 'model' is required.")) }
        guard configuration.models.contains(model) else { return refuse(.unknownModel(model)) }
        guard facts.choices ?? 1 == 1 else { return refuse(.badRequest("Only n = 1 is simulated.")) }
        let promptTokens = facts.estimatedPromptTokens
        guard promptTokens > 0 else { return refuse(.badRequest("The prompt is empty.")) }
        let capacity = min(configuration.maxModelTokens, configuration.engine.kvTokens)
        guard promptTokens < capacity else {
            return refuse(
                .badRequest(
                    "This model's maximum context length is \(capacity) tokens, the prompt has \(promptTokens)."))
        }
        let room = capacity - promptTokens
        guard let requested = facts.maxOutputTokens else { return .success(room) }
        guard requested >= 1 else { return refuse(.badRequest("max_tokens must be at least 1, got \(requested).")) }
        guard requested <= room else {
            return refuse(
                .badRequest(
                    "max_tokens is too large: \(requested). The prompt leaves \(room) of \(capacity) tokens."))
        }
        return .success(requested)
    }

    /// A length at which a model may stop by itself: lognormal with the median and the 90th percentile of the outputs
    /// in the Azure conversation trace (`workloads.md` B.2: 129 and 424 tokens).
    private func naturalOutputTokens() -> Int {
        let sigma = naturalLogarithm(424.0 / 129.0) / 1.2816
        return min(max(Int(129 * exponential(sigma * standardNormal(using: &generator))), 1), 8192)
    }

    /// False if the job was over already.
    private func forget(_ job: InferenceJob) -> Bool {
        guard jobs.removeValue(forKey: job.id) != nil else { return false }
        job.submission?.cancel()
        job.submission = nil
        job.connection = nil
        return true
    }

    // MARK: Steps

    private func submit(_ request: EngineRequest) {
        engine.submit(request, now: now)
        beginStep(notBefore: now)
    }

    private func beginStep(notBefore earliest: Instant) {
        guard stepEnd == nil, let span = engine.beginStep(now: earliest) else { return }
        stepBegan = earliest
        let end = earliest + span
        stepEnd = end
        let due = started + .nanoseconds(end.nanoseconds.scaled(by: 1 / configuration.speedup))
        loop.scheduleTask(deadline: due) { [weak self] in self?.endStep(at: end) }
    }

    private func endStep(at end: Instant) {
        stepEnd = nil
        engine.finishStep(now: end, into: &events)
        // What an event sets off may reach back here, so the list is taken away first.
        var current: [EngineEvent] = []
        swap(&current, &events)
        for event in current {
            switch event {
            case .admitted(let id, _):
                if let job = jobs[id], job.admitted == nil { job.admitted = max(stepBegan, job.arrived) }
            case .firstToken(let id), .token(let id):
                if let job = jobs[id] { produceToken(of: job, now: max(end, job.arrived)) }
            case .finished(let id, _, let cachedTokens, _):
                if let job = jobs[id] { finish(job, cachedTokens: cachedTokens, now: max(end, job.arrived)) }
            case .preempted:
                break
            }
        }
        current.removeAll(keepingCapacity: true)
        swap(&current, &events)
        beginStep(notBefore: max(end, now - Self.longestCatchUp * configuration.speedup))
    }

    private func produceToken(of job: InferenceJob, now: Instant) {
        if let last = job.lastToken {
            metrics.laterToken(after: now - last)
        } else {
            job.firstToken = now
            metrics.firstToken(after: now - job.arrived)
        }
        job.lastToken = now
        job.generatedTokens += 1
        guard let connection = job.connection else { return }
        if job.generatedTokens == job.cutAfterTokens {
            _ = forget(job)
            engine.abort(job.id)
            connection.breakOff()
        } else if job.isStreaming {
            connection.sendToken(of: job)
        }
    }

    private func finish(_ job: InferenceJob, cachedTokens: Int, now: Instant) {
        guard let connection = job.connection, forget(job) else { return }
        counts.finished += 1
        metrics.finished(job, now: now)
        connection.complete(job, usage: job.usage(cachedTokens: cachedTokens))
    }

    private func answerInstantly(_ job: InferenceJob) {
        guard let connection = job.connection, forget(job) else { return }
        if job.cutAfterTokens != nil {
            connection.breakOff()
            return
        }
        counts.finished += 1
        metrics.firstToken(after: now - job.arrived)
        metrics.finished(job, now: now)
        metrics.answeredInstantly(job)
        connection.completeAtOnce(job)
    }
}

extension Int64 {
    fileprivate func scaled(by factor: Double) -> Int64 { (TimeSpan(nanoseconds: self) * factor).nanoseconds }
}

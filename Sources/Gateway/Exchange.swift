import Admission
import Basics
import InferenceAPI
import NIOCore
import NIOHTTP1
import Pool
import PoolScheduler
import Routing
import Synchronization

/// Carries out what `ExchangeStateMachine` decides for one request, on one event loop.
final class Exchange {
    /// A refused request's body is read to its end if it is no longer than this, so that its connection can be kept.
    private static let discardLimitBytes = 64 << 10
    /// Output events between two reports of progress to the scheduler.
    private static let eventsPerReport = 32

    let id: UInt64
    let request: ExchangeRequest
    private let loop: LoopContext
    private var core: GatewayCore { loop.core }
    private var sink: (any ExchangeSink)?
    private var machine: ExchangeStateMachine
    private let started: Instant

    // The request's body.
    private var scanner = RequestBodyScanner(hashesPrompt: true)
    private var held = HeldBody()
    private var budgetTaken = 0
    private var facts = RequestBodyFacts()
    private var requestBytes = 0
    private var lastBodyByte: Instant
    private var model: String? { facts.model }
    private var estimatedPromptTokens = 0

    /// By how many bytes the body has become longer on its way.
    private var bodyGrowth = 0
    /// The only endpoints that it may go to.
    private var allowedEndpoints: [EndpointID]?
    /// The model that it goes to, and the LoRA adapter if that is one.
    private var targetModel = ""
    private var adapter: String?

    // Its place.
    private var pool: PoolShell?
    /// Its place among those of its processor; nil for nearly all requests.
    private var processorPlace: ProcessorPlace?
    private var endpointID: EndpointID?
    private var endpoint: UpstreamEndpoint?
    private var upstream: UpstreamConnection?
    private var placedAt: Instant?
    private var sentAt: Instant?

    // Its answer.
    private var answerHead: HTTPResponseHead?
    private var isEventStream = false
    private var answerScanner = ResponseScanner(.opaque)
    /// The prompt as far as it was read before the request was routed; where that is all of it, the answer continues it.
    private var promptChain = AnswerHasher.none
    private var hasWholePrompt = false
    private var reportedEvents = 0
    private var outputGaps = OutputGaps()
    private var responseBytes = 0
    /// Since when `responseBytes` has stood at `lastSeenResponseBytes`, as far as the time checks have seen.
    private var stalledSince: Instant?
    private var lastSeenResponseBytes = 0
    private var lastAnswerBytes: (UInt8, UInt8) = (0, 0)
    private var firstByteAt: Instant?
    private var error: APIError?
    private var clientHasLeft = false
    private var isCut = false
    private var isOver = false

    init(_ request: ExchangeRequest, loop: LoopContext, sink: any ExchangeSink, isInProcess: Bool = false) {
        id = loop.core.newRequest()
        self.request = request
        self.loop = loop
        self.sink = sink
        self.isInProcess = isInProcess
        machine = ExchangeStateMachine(maxAttempts: loop.core.limits.attempts)
        started = GatewayClock.now()
        lastBodyByte = started
        loop.add(self)
    }

    private let isInProcess: Bool

    /// Tokens as the endpoint counts them, as far as it has said.
    var usage: TokenUsage? { answerScanner.usage }
    /// Whether the answer, or an event of it, says that it failed.
    var answerHasError: Bool { answerScanner.hasError }
    /// The endpoint that was tried last.
    var endpointName: String? { endpoint?.name }
    /// Whether any part of it has gone out to an endpoint.
    var wasSent: Bool { sentAt != nil }

    // MARK: From the client

    func bodyArrived(_ piece: ByteBuffer) {
        let bytes = piece.readableBytes
        requestBytes += bytes
        guard !machine.hasEnded else { return }
        lastBodyByte = GatewayClock.now()
        if let refusal = request.refusal {
            if requestBytes > Self.discardLimitBytes { abandon(.refused(refusal)) }
            return
        }
        guard requestBytes <= core.limits.requestBodyBytes else { return abandon(.bodyTooLarge) }
        switch machine.bodyArrived() {
        case .discard: break
        case .hold: hold(piece, bytes: bytes)
        case .forward:
            releaseHeldBody()
            upstream?.send(piece)
            if upstream?.isWritable == false { sink?.setReading(false) }
        }
    }

    func bodyEnded() {
        guard !machine.hasEnded else { return }
        if let refusal = request.refusal {
            _ = machine.bodyEnded()
            return abandon(.refused(refusal))
        }
        if machine.phase == .receiving { scanner.finish() }
        run(machine.bodyEnded())
        if machine.phase == .receiving { route() }
    }

    /// Answers a request that is refused without reading its body.
    func refuseNow() {
        if let refusal = request.refusal { abandon(.refused(refusal)) }
    }

    /// The client has sent all that it had for now.
    func clientPaused() {
        if !machine.isReplayable { upstream?.flush() }
    }

    func clientLeft() {
        guard !machine.hasEnded else { return }
        clientHasLeft = true
        sink?.answerAbandoned()
        run(machine.clientLeft())
    }

    func clientWritabilityChanged(isWritable: Bool) { upstream?.setReading(isWritable) }

    // MARK: From the gateway

    func abandon(_ failure: ExchangeFailure) { run(machine.abandoned(failure)) }

    func checkTime(now: Instant) {
        let limits = core.limits
        switch machine.phase {
        case .receiving:
            if now - lastBodyByte > limits.bodyTimeout { abandon(.bodyTimeout) }
        case .awaitingAnswer, .answering(hasBegun: false):
            if machine.isBodyComplete {
                if let sentAt, now - max(sentAt, lastBodyByte) > limits.firstByteTimeout { abandon(.firstByteTimeout) }
            } else if now - lastBodyByte > limits.bodyTimeout {
                // If the endpoint takes no more of the body, it is the one that is silent.
                abandon(upstream?.isWritable == false ? .firstByteTimeout : .bodyTimeout)
            }
        case .answering(hasBegun: true):
            // Progress is looked for here, so that the pieces of an answer need not look at the clock.
            if let stalledSince, responseBytes == lastSeenResponseBytes, upstream?.isReading == true {
                if now - stalledSince > limits.upstreamStallTimeout { abandon(.upstreamStalled) }
            } else {
                lastSeenResponseBytes = responseBytes
                stalledSince = now
            }
        case .waiting, .connecting, .ended: break
        }
    }

    // MARK: Body

    private func hold(_ piece: ByteBuffer, bytes: Int) {
        // A backlog of messages leaves half of the budget to real-time requests.
        let reserve = request.isMessage ? core.bodyBudget.limit / 2 : 0
        guard core.bodyBudget.take(bytes, leaving: reserve, orAlone: request.isMessage) else {
            return abandon(.bodyBudgetSpent)
        }
        budgetTaken += bytes
        held.append(piece)
        guard machine.phase == .receiving else { return }
        piece.withUnsafeReadableBytes { scanner.consume($0) }
        if held.bytes >= core.limits.requestBodyWindowBytes, scanner.facts.model != nil { route() }
    }

    private func releaseHeldBody() {
        guard budgetTaken > 0 else { return }
        held.removeAll()
        core.bodyBudget.giveBack(budgetTaken)
        budgetTaken = 0
    }

    private func route() {
        facts = scanner.facts
        hasWholePrompt = machine.isBodyComplete
        estimatedPromptTokens = facts.estimatedPromptTokens
        if !machine.isBodyComplete, let announcedBytes = request.announcedBytes, facts.totalBytes > 0 {
            // The rest of a long body is taken to be like what has been read of it.
            let share = Double(announcedBytes) / Double(facts.totalBytes)
            estimatedPromptTokens = Int(Double(estimatedPromptTokens) * max(1, share))
        }
        if request.path.needsModel, let defect = scanner.malformed {
            return abandon(.refused(.invalidJSON(defect)))
        }
        let target = rewriteTarget
        promptChain = scanner.promptChain(model: target?.model)
        switch core.directory.pool(for: target?.model ?? facts.model) {
        case .pool(let pool, let isAdapter):
            self.pool = pool
            targetModel = target?.model ?? facts.model ?? ""
            if isAdapter { adapter = targetModel }
            if let target { rewrite(to: target, in: pool) }
            processorPlace = request.processor.map { ProcessorPlace($0, pool: pool.number) }
            run(machine.routed())
        case .unknownModel: abandon(.refused(.modelNotFound(target?.model ?? facts.model ?? "")))
        case .notKnownYet: abandon(.refused(.noEndpoints(model: facts.model, retryAfter: .seconds(1))))
        case .noModelNamed:
            abandon(.refused(request.hasBody ? .missingModel : .notFound(path: request.head.uri)))
        }
    }

    /// The model that it goes to in place of the one that it names.
    private var rewriteTarget: ModelRewrite.Target? {
        guard let model = facts.model else { return nil }
        if let named = request.modelRewrite { return ModelRewrite.Target(model: named) }
        return core.rewrites[model]?.target(for: request.session ?? request.requestID)
    }

    private func rewrite(to target: ModelRewrite.Target, in pool: PoolShell) {
        if !target.endpointLabels.isEmpty { allowedEndpoints = pool.endpoints(labelled: target.endpointLabels) }
        guard target.model != facts.model, let range = facts.modelRange else { return }
        var name: [UInt8] = []
        JSONText.appendString(target.model, to: &name)
        held.replace(range, with: name)
        bodyGrowth = name.count - range.count
    }

    /// How long it may wait for a place: the shorter of what the caller and the pool say.
    private var timeToLive: TimeSpan {
        let limit = pool?.settings.admission.timeToLive ?? .zero
        return request.timeToLive.map { min($0, limit) } ?? limit
    }

    /// `/v1/completions` takes lists of prompts, and any body may ask for several choices.
    private var isOneSequence: Bool {
        (request.path == .chatCompletions || request.path == .responses) && facts.choices ?? 1 == 1
    }

    /// Asks for the prompt's tokens first, where that tells more about what endpoints have cached than its text does.
    private func submit() {
        guard let pool,
            PromptTokenizer.isWanted(
                request, facts: facts, body: held, hasWholeBody: machine.isBodyComplete, pool: pool)
        else { return submit(tokens: nil) }
        PromptTokenizer.ask(
            id: id, model: targetModel, body: held, pool: pool, loop: loop
        ) { [self] tokens in
            if machine.phase == .waiting { submit(tokens: tokens) }
        }
    }

    private func submit(tokens: TokenizedPrompt?) {
        if let tokens { estimatedPromptTokens = tokens.tokens }
        let limit = request.path == .embeddings || !request.hasBody ? 1 : facts.outputTokenLimit
        let outputLimit = limit.map { min($0, 1 << 24) }
        let poolRequest = PoolRequest(
            id: id, priority: request.priority, model: targetModel, promptTokens: estimatedPromptTokens,
            maxOutputTokens: outputLimit, runsToLimit: facts.ignoreEOS && outputLimit != nil, bytes: held.bytes,
            timeToLive: timeToLive,
            deadline: request.deadline, isMessage: request.isMessage, streams: facts.stream,
            isOneSequence: isOneSequence, flow: request.fairnessID ?? "",
            promptBlocks: promptChain.prompt, tokenBlocks: tokens?.blocks ?? .unknown,
            ttftLimitMilliseconds: request.ttftLimitMilliseconds, tpotLimitMilliseconds: request.tpotLimitMilliseconds,
            adapter: adapter, session: request.session, allowedEndpoints: allowedEndpoints,
            isExplained: request.isExplained, routingHeaders: pool?.headersRead(of: request.head) ?? [:])
        if request.isExplained, let pool { core.decisions.note(request.requestID, .init(pool: pool, id: id)) }
        pool?.submit(poolRequest, from: NIOLoopBound(self, eventLoop: loop.eventLoop))
    }

    // MARK: Performing

    private func run(_ actions: [ExchangeStateMachine.Action]) {
        for action in actions { perform(action) }
        if machine.hasEnded { conclude() }
    }

    private func perform(_ action: ExchangeStateMachine.Action) {
        switch action {
        case .submit: submit()
        case .withdraw: pool?.withdraw(id)
        case .reportFailedBeforeAnswer: pool?.failedBeforeAnswer(id)
        case .reportUnreachable:
            if let pool, let endpointID {
                core.endpointIsDown(endpointID, pool: pool, reason: "no connection could be opened")
            }
        case .reportFinished: reportFinished()
        case .connect(let mayReuse): connect(mayReuse: mayReuse)
        case .sendRequest: sendRequest()
        case .finishRequest:
            upstream?.finishRequest()
            upstream?.flush()
        case .closeUpstream:
            upstream?.close()
            upstream = nil
        case .pauseClient: sink?.setReading(false)
        case .resumeClient:
            lastBodyByte = GatewayClock.now()
            if upstream?.isWritable == true { sink?.setReading(true) }
        case .beginAnswer: beginAnswer()
        case .endAnswer: sink?.answerEnded()
        case .fail(let failure): sink?.answerFailed(failure, note(failure), requestID: request.requestID)
        case .cut(let failure):
            isCut = true
            let boundary = lastAnswerBytes.1 == UInt8(ascii: "\n") && lastAnswerBytes.0 == UInt8(ascii: "\n")
            sink?.answerCut(failure, note(failure), isEventStream: isEventStream, atEventBoundary: boundary)
        }
    }

    private func note(_ failure: ExchangeFailure) -> APIError {
        let apiError = failure.apiError(limits: core.limits, model: model, timeToLive: timeToLive)
        error = apiError
        return apiError
    }

    private func connect(mayReuse: Bool) {
        guard let endpoint else { return }
        if mayReuse, let connection = loop.upstreams.takeIdle(to: endpoint) {
            upstream = connection
            return run(machine.connected(isReused: true))
        }
        loop.upstreams.connect(to: endpoint) { [self] connection in
            guard machine.phase == .connecting else {
                if let connection { loop.upstreams.putBack(connection) }
                return
            }
            guard let connection else { return run(machine.connectFailed()) }
            upstream = connection
            run(machine.connected(isReused: false))
        }
    }

    private func sendRequest() {
        guard let upstream, let endpoint else { return }
        let framing: BodyFraming =
            if machine.isBodyComplete {
                request.hasBody ? .length(held.bytes) : .none
            } else {
                request.announcedBytes.map { .length($0 + bodyGrowth) } ?? .chunked
            }
        let head = MessageHeaders.upstreamHead(
            of: request.head, endpoint: endpoint.name, requestID: request.requestID, isTrusted: request.isTrusted,
            framing: framing)
        upstream.begin(head, isChunked: framing == .chunked, for: self)
        for piece in held.pieces { upstream.send(piece) }
        if machine.isBodyComplete { upstream.finishRequest() }
        sentAt = GatewayClock.now()
        upstream.flush()
    }

    private func beginAnswer() {
        releaseHeldBody()
        firstByteAt = GatewayClock.now()
        pool?.firstToken(id)
        guard var answerHead, let endpoint else { return }
        if let pool, let endpointID, !pool.answerHeaders.isEmpty {
            for (name, value) in pool.answerHeaders[endpointID.index] {
                answerHead.headers.replaceOrAdd(name: name, value: value)
            }
        }
        sink?.answerBegan(
            AnswerHead(
                head: answerHead, requestID: request.requestID, isEventStream: isEventStream, endpoint: endpoint.name))
    }

    private func reportFinished() {
        guard let answerHead, answerHead.status.code < 400 else { return pool?.withdraw(id) ?? () }
        let counted = answerScanner.usage?.completionTokens
        let events = answerScanner.outputEvents
        let usage = answerScanner.usage
        pool?.finished(
            id,
            AnswerFacts(
                promptTokens: usage.flatMap { $0.promptTokens > 0 ? $0.promptTokens : nil },
                cachedPromptTokens: answerScanner.reportsCachedTokens ? usage?.cachedPromptTokens : nil,
                outputTokens: counted ?? (events > 0 ? events : nil), blocks: answerScanner.blocks))
    }

    /// The request is over: lets go of everything and tells the observer. Happens once.
    private func conclude() {
        guard !isOver else { return }
        isOver = true
        processorPlace?.end()
        releaseHeldBody()
        let sinkWasTold = error != nil || !clientHasLeft
        sink = nil
        loop.remove(self)
        core.requestEnded(record(status: sinkWasTold ? nil : 499))
    }

    private func record(status: Int?) -> RequestRecord {
        let answered = answerHead.map { Int($0.status.code) }
        let hasBegun = firstByteAt != nil
        return RequestRecord(
            requestID: request.requestID, method: request.head.method.rawValue,
            path: request.head.uri.utf8.count <= 256 ? request.head.uri : String(request.head.uri.prefix(256)),
            model: model,
            status: hasBegun ? answered ?? 0 : status ?? error?.status ?? answered ?? 0,
            pool: pool?.settings.name, endpoint: endpoint?.name, priority: request.priority,
            workClass: WorkClass(priority: request.priority), fairnessID: request.fairnessID, isStreamed: isEventStream,
            isInProcess: isInProcess, started: started, placedAfter: placedAt.map { $0 - started },
            firstByteAfter: firstByteAt.map { $0 - started }, endedAfter: GatewayClock.now() - started,
            usage: answerScanner.usage, outputEvents: answerScanner.outputEvents,
            estimatedPromptTokens: estimatedPromptTokens, attempts: machine.attempts, requestBytes: requestBytes,
            responseBytes: responseBytes, error: error, clientLeft: clientHasLeft, isCut: isCut)
    }
}

// MARK: - From the scheduler

extension Exchange: SchedulerClient {
    func placed(on endpointID: EndpointID) {
        guard machine.phase == .waiting else { return }
        self.endpointID = endpointID
        endpoint = pool?.endpoints[endpointID.index]
        placedAt = GatewayClock.now()
        processorPlace?.start()
        request.started?()
        run(machine.placed())
    }

    func dismissed(_ failure: ExchangeFailure) { run(machine.dismissed(failure)) }
}

// MARK: - From the endpoint

extension Exchange: UpstreamReceiver {
    func upstreamAnswered(_ head: HTTPResponseHead) {
        answerHead = head
        let contentType = head.headers.first(name: HeaderName.contentType)
        let form = ResponseScanner.Body(
            contentType: contentType, contentEncoding: head.headers.first(name: "content-encoding"))
        // A compressed stream does not count as one: nothing can be read in it, and no event be added to it.
        isEventStream = form == .eventStream
        answerScanner = ResponseScanner(form, continuing: hasWholePrompt ? promptChain : .none)
        machine.answerArrived()
    }

    func upstreamSentBody(_ piece: ByteBuffer) {
        let step = machine.answerBodyArrived()
        guard step != .discard else { return }
        if step == .begin { beginAnswer() }
        responseBytes += piece.readableBytes
        piece.withUnsafeReadableBytes { bytes in
            answerScanner.consume(bytes)
            for byte in bytes.suffix(2) { lastAnswerBytes = (lastAnswerBytes.1, byte) }
        }
        outputGaps.arrived(events: answerScanner.outputEvents, now: GatewayClock.now())
        if answerScanner.outputEvents - reportedEvents >= Self.eventsPerReport {
            reportedEvents = answerScanner.outputEvents
            pool?.progressed(id, outputTokens: reportedEvents, longestGap: outputGaps.take())
        }
        sink?.answerBody(piece)
        // The client may not have taken the answer before this one yet.
        if sink?.isWritable == false { upstream?.setReading(false) }
    }

    func upstreamPaused() { sink?.answerFlush() }

    func upstreamEnded() {
        upstream = nil
        run(machine.answerEnded())
    }

    func upstreamLost() {
        upstream = nil
        run(machine.upstreamLost())
    }

    func upstreamWritabilityChanged(isWritable: Bool) {
        guard !machine.isBodyComplete else { return }
        if isWritable { lastBodyByte = GatewayClock.now() }
        sink?.setReading(isWritable)
    }
}

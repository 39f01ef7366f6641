public import Basics

/// A continuous-batching model server without its sockets and its model: it decides what each step computes and how
/// long the step takes.
///
/// The rules are those of vLLM V1 (`workloads.md` A.5). A driver owns the clock:
///
///     engine.submit(request, now: now)
///     while let span = engine.beginStep(now: now) {
///         now = now + span                       // jump in virtual time, sleep in real time
///         engine.finishStep(now: now, into: &events)
///     }
///
/// Requests may be submitted and aborted while a step is under way; they take part from the next one.
/// The same configuration, seed and calls give the same steps.
public struct Engine: Sendable {
    /// The settings it was created with.
    public let configuration: EngineConfiguration
    /// The step under way, or else the last one.
    public internal(set) var step = StepContents()
    /// Whether a step has begun and not yet finished.
    public internal(set) var isStepping = false

    let emitsEveryToken: Bool
    var slots: [Slot] = []
    var hashes: [[UInt64]] = []
    var sharedBlocks: [[Int32]] = []
    var freeSlots: [Int32] = []
    /// Slots of requests that left during a step: a step must not see them in new hands.
    var retiredSlots: [Int32] = []
    /// Slots in the running batch, in running order.
    var running: [Int32] = []
    var waiting = WaitingQueue()
    /// Batch work waits apart from the rest in an engine with `BatchFill`.
    var waitingBatch = WaitingQueue()
    var blocks: BlockPool
    var counters = EngineLoad()
    var pendingEvents: [EngineEvent] = []
    var longestRequestTokens = 0
    private var slotOfRequest: [UInt64: Int32] = [:]
    private var nextSequence: UInt64 = 0
    private var stepBegan = Instant.zero
    private var generator: SeededGenerator

    /// Creates an idle engine.
    ///
    /// - Parameters:
    ///   - seed: of the noise on step times; without noise it changes nothing.
    ///   - emitsEveryToken: whether each token after the first is reported as an event of its own.
    public init(configuration: EngineConfiguration, seed: UInt64 = 1, emitsEveryToken: Bool = false) {
        self.configuration = configuration
        self.emitsEveryToken = emitsEveryToken
        blocks = BlockPool(capacity: max(configuration.kvBlocks, 0))
        generator = SeededGenerator(seed: seed)
    }

    /// Takes a request; it waits at least until the next step begins.
    ///
    /// - Returns: false, and nothing happens, if the request could never finish because prompt and output together
    ///   exceed the KV cache, or if a request of this id is in the engine already.
    @discardableResult
    public mutating func submit(_ request: EngineRequest, now: Instant) -> Bool {
        let promptTokens = max(request.promptTokens, 1)
        let outputTokens = max(request.outputTokens, 1)
        let (totalTokens, overflow) = promptTokens.addingReportingOverflow(outputTokens)
        guard !overflow, totalTokens <= configuration.kvTokens, slotOfRequest[request.id] == nil else { return false }
        longestRequestTokens = max(longestRequestTokens, totalTokens)
        let slot = Slot(
            id: request.id, sequence: nextSequence,
            rank: configuration.policy == .priority ? request.priority : 0, isBatch: request.isBatch,
            promptTokens: promptTokens, outputTokens: outputTokens, submitted: now)
        nextSequence += 1
        let index: Int32
        if let free = freeSlots.popLast() {
            index = free
            slots[Int(index)] = slot
        } else {
            index = Int32(slots.count)
            slots.append(slot)
            hashes.append([])
            sharedBlocks.append([])
        }
        if configuration.prefixCaching { hashes[Int(index)] = request.promptBlockHashes }
        slotOfRequest[request.id] = index
        enqueue(index)
        return true
    }

    /// Takes a request out, waiting or running, and frees its KV blocks at once.
    ///
    /// A step under way keeps its length, since the device computes it anyhow; the request has no further events.
    /// - Returns: whether the request was in the engine.
    @discardableResult
    public mutating func abort(_ id: UInt64) -> Bool {
        guard let index = slotOfRequest[id] else { return false }
        if slots[Int(index)].state == .running {
            running.removeAll { $0 == index }
            releaseBlocks(of: Int(index))
        } else {
            forgetWaiting(index)
        }
        pendingEvents.removeAll { event in
            switch event {
            case .admitted(id, _), .preempted(id): true
            default: false
            }
        }
        retire(index)
        return true
    }

    /// Forms the next batch.
    ///
    /// - Returns: how long the step takes; nil if there is nothing to compute.
    public mutating func beginStep(now: Instant) -> TimeSpan? {
        precondition(!isStepping, "a step is already under way")
        guard !running.isEmpty || waiting.count > 0 || waitingBatch.count > 0 else { return nil }
        formBatch(now: now)
        guard step.tokens > 0 else { return nil }
        isStepping = true
        stepBegan = now
        var milliseconds = configuration.stepTime.stepMilliseconds(
            decodes: step.decodes, contextTokens: step.contextTokens, prefillTokens: step.prefillTokens)
        if configuration.stepNoiseSigma > 0 {
            milliseconds *= exponential(configuration.stepNoiseSigma * standardNormal(using: &generator))
        }
        return .milliseconds(milliseconds)
    }

    /// Ends the step: every request whose known tokens are all computed gets one more token.
    public mutating func finishStep(now: Instant, into events: inout [EngineEvent]) {
        precondition(isStepping, "no step is under way")
        isStepping = false
        counters.busy = counters.busy + (now - stepBegan)
        if !pendingEvents.isEmpty {
            events.append(contentsOf: pendingEvents)
            pendingEvents.removeAll(keepingCapacity: true)
        }
        var kept = 0
        for position in running.indices {
            let index = running[position]
            if advance(Int(index), into: &events) {
                releaseBlocks(of: Int(index))
                retire(index)
            } else {
                running[kept] = index
                kept += 1
            }
        }
        running.removeLast(running.count - kept)
        freeSlots.append(contentsOf: retiredSlots)
        retiredSlots.removeAll(keepingCapacity: true)
    }

    /// What the engine carries now, and its counters.
    public var load: EngineLoad {
        var load = counters
        load.running = running.count
        load.waiting = waiting.count + waitingBatch.count
        load.kvBlocksUsed = blocks.used
        load.kvUsage = blocks.capacity == 0 ? 0 : Double(blocks.used) / Double(blocks.capacity)
        return load
    }

    /// Whether the engine holds no request at all.
    public var isIdle: Bool { running.isEmpty && waiting.count == 0 && waitingBatch.count == 0 }

    /// Books the step's work on one running request; true if it has generated its last token.
    private mutating func advance(_ index: Int, into events: inout [EngineEvent]) -> Bool {
        let scheduled = slots[index].scheduledTokens
        guard scheduled > 0 else { return false }
        slots[index].scheduledTokens = 0
        slots[index].computedTokens += scheduled
        guard slots[index].remainingTokens == 0 else { return false }
        slots[index].generatedTokens += 1
        counters.generationTokens += 1
        if slots[index].generatedTokens == 1 {
            counters.promptTokens += slots[index].promptTokens
            events.append(.firstToken(id: slots[index].id))
        } else if emitsEveryToken {
            events.append(.token(id: slots[index].id))
        }
        guard slots[index].generatedTokens == slots[index].outputTokens else { return false }
        events.append(
            .finished(
                id: slots[index].id, promptTokens: slots[index].promptTokens,
                cachedTokens: max(slots[index].cachedTokens, 0), outputTokens: slots[index].outputTokens))
        return true
    }

    private mutating func retire(_ index: Int32) {
        slotOfRequest[slots[Int(index)].id] = nil
        slots[Int(index)].state = .vacant
        hashes[Int(index)] = []
        if isStepping { retiredSlots.append(index) } else { freeSlots.append(index) }
    }
}

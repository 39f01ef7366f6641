import Basics

/// One row of the comparison between the engine model and measurements on real hardware.
public struct CalibrationRow: Hashable, Sendable {
    /// What was seen at one offered rate.
    public struct Observation: Hashable, Sendable {
        /// Requests completed per second.
        public var requestsPerSecond: Double
        /// Mean time per output token after the first, in milliseconds.
        public var millisecondsPerToken: Double
        /// Mean time to first token, in milliseconds.
        public var timeToFirstTokenMilliseconds: Double

        /// Creates an observation.
        public init(requestsPerSecond: Double, millisecondsPerToken: Double, timeToFirstTokenMilliseconds: Double) {
            self.requestsPerSecond = requestsPerSecond
            self.millisecondsPerToken = millisecondsPerToken
            self.timeToFirstTokenMilliseconds = timeToFirstTokenMilliseconds
        }
    }

    /// The server's settings.
    public var label: String
    /// Requests per second that the client wanted to send.
    public var offeredPerSecond: Double
    /// Measured on an H100.
    public var measured: Observation
    /// What the engine model makes of the same load.
    public var modelled: Observation

    /// Bounds on the relative errors.
    ///
    /// The source exempts the knee (offered rate equal to capacity) from the bound on the time to first token. None of
    /// the eight rows lies there: the nearest is 92.2 offered at a capacity of 103.1. So no row is exempt.
    public static let bounds = Observation(
        requestsPerSecond: 0.03, millisecondsPerToken: 0.07, timeToFirstTokenMilliseconds: 0.25)

    /// Relative errors of the model, signed: 0.02 means 2 % too high.
    public var errors: Observation {
        Observation(
            requestsPerSecond: modelled.requestsPerSecond / measured.requestsPerSecond - 1,
            millisecondsPerToken: modelled.millisecondsPerToken / measured.millisecondsPerToken - 1,
            timeToFirstTokenMilliseconds: modelled.timeToFirstTokenMilliseconds
                / measured.timeToFirstTokenMilliseconds - 1)
    }

    /// Whether all three errors are within `bounds`.
    public var isWithinBounds: Bool {
        abs(errors.requestsPerSecond) <= Self.bounds.requestsPerSecond
            && abs(errors.millisecondsPerToken) <= Self.bounds.millisecondsPerToken
            && abs(errors.timeToFirstTokenMilliseconds) <= Self.bounds.timeToFirstTokenMilliseconds
    }
}

/// Replays the eight anchor measurements: Llama-3.1-8B (bf16), vLLM 0.11.0, one H100-80GB, 204 tokens in and 64 out,
/// a constant rate for 60 s from a client with 440 slots (`workloads.md` A.5).
///
/// The preset's constants are fitted to this replay, not to single steps: see `docs/decisions/0002-engine-constants.md`.
public func calibrate() -> [CalibrationRow] {
    anchors.map { anchor in
        CalibrationRow(
            label: anchor.label, offeredPerSecond: anchor.offeredPerSecond, measured: anchor.measured,
            modelled: replay(anchor))
    }
}

private struct Anchor {
    var label: String
    var offeredPerSecond: Double
    var maxSequences: Int
    /// Prefix caching and chunked prefill, on or off together.
    var reusesPrompts: Bool
    var measured: CalibrationRow.Observation

    init(
        _ label: String, offered: Double, sequences: Int, reusesPrompts: Bool = false, served: Double,
        perToken: Double, firstToken: Double
    ) {
        self.label = label
        offeredPerSecond = offered
        maxSequences = sequences
        self.reusesPrompts = reusesPrompts
        measured = .init(
            requestsPerSecond: served, millisecondsPerToken: perToken, timeToFirstTokenMilliseconds: firstToken)
    }
}

/// The measured rows, in the order of the source.
private let anchors = [
    Anchor("seqs 128", offered: 1, sequences: 128, served: 1.0, perToken: 7.13, firstToken: 31),
    Anchor("seqs 128", offered: 31.4, sequences: 128, served: 31.2, perToken: 8.20, firstToken: 30),
    Anchor("seqs 128", offered: 61.8, sequences: 128, served: 61.2, perToken: 10.23, firstToken: 35),
    Anchor("seqs 128", offered: 92.2, sequences: 128, served: 91.4, perToken: 15.41, firstToken: 51),
    Anchor("seqs 128, saturated", offered: 183, sequences: 128, served: 103.1, perToken: 19.04, firstToken: 2943),
    Anchor("seqs 192, saturated", offered: 223, sequences: 192, served: 113.7, perToken: 25.34, firstToken: 2201),
    Anchor(
        "prefix cache, chunking", offered: 127.8, sequences: 128, reusesPrompts: true, served: 126.5, perToken: 10.06,
        firstToken: 32),
    Anchor(
        "prefix cache, chunking, saturated", offered: 254, sequences: 128, reusesPrompts: true, served: 173.0,
        perToken: 11.50, firstToken: 1735),
]

private let promptTokens = 204
private let outputTokens = 64
private let clientSlots = 440
private let stageSeconds = 60.0

/// Runs one stage in virtual time, from an idle engine to the last answer, and observes it from the client's side.
private func replay(_ anchor: Anchor) -> CalibrationRow.Observation {
    guard var configuration = EngineConfiguration.preset(named: "llama-8b-h100") else {
        preconditionFailure("the anchors' preset exists")
    }
    configuration.maxSequences = anchor.maxSequences
    configuration.maxBatchedTokens = 8192  // vLLM's default for an API server on an H100
    configuration.prefixCaching = anchor.reusesPrompts
    configuration.chunkedPrefill = anchor.reusesPrompts
    var client = ConstantRateClient(
        ratePerSecond: anchor.offeredPerSecond, seconds: stageSeconds, slots: clientSlots)
    var engine = Engine(configuration: configuration)
    let overhead = TimeSpan.milliseconds(configuration.apiMilliseconds)
    // The prompts are equal but for their last block, which is not full.
    let hashes = (0..<UInt64(promptTokens / configuration.blockSizeTokens)).map { $0 + 1 }
    var events: [EngineEvent] = []
    var stepEnd: Instant?
    var now = Instant.zero
    while !client.isDone {
        let arrival = client.nextSend.map { $0 + overhead } ?? .distantFuture
        if let finish = stepEnd, finish <= arrival {
            now = finish
            engine.finishStep(now: now, into: &events)
            client.observe(events, now: now)
            events.removeAll(keepingCapacity: true)
            stepEnd = nil
        } else {
            now = arrival
            let id = client.send()
            engine.submit(
                EngineRequest(
                    id: id, promptTokens: promptTokens, outputTokens: outputTokens, promptBlockHashes: hashes),
                now: now)
        }
        if stepEnd == nil, let span = engine.beginStep(now: now) { stepEnd = now + span }
    }
    return client.observation
}

/// A load generator that sends at a constant rate while it has a slot free, else as soon as one is.
private struct ConstantRateClient {
    private let interval: TimeSpan
    private let slots: Int
    private let requests: Int
    private var inFlight = 0
    private var scheduled = Instant.zero
    private var slotFree = Instant.zero
    private var sentAt: [Instant] = []
    private var firstTokenAt: [Instant] = []
    private var firstTokenTotal = 0.0
    private var decodeTotal = 0.0
    private var completed = 0
    private var lastCompletion = Instant.zero

    init(ratePerSecond: Double, seconds: Double, slots: Int) {
        interval = .seconds(1 / ratePerSecond)
        requests = Int(ratePerSecond * seconds)
        self.slots = slots
    }

    /// When it sends next; nil while all slots are taken, and when all is sent.
    var nextSend: Instant? { inFlight < slots && sentAt.count < requests ? max(scheduled, slotFree) : nil }

    /// Whether everything is sent and answered.
    var isDone: Bool { completed == requests }

    /// Sends, at `nextSend`.
    mutating func send() -> UInt64 {
        sentAt.append(max(scheduled, slotFree))
        firstTokenAt.append(.zero)
        scheduled = scheduled + interval
        inFlight += 1
        return UInt64(sentAt.count - 1)
    }

    mutating func observe(_ events: [EngineEvent], now: Instant) {
        for event in events {
            switch event {
            case .firstToken(let id):
                firstTokenAt[Int(id)] = now
            case .finished(let id, _, _, let outputTokens):
                if inFlight == slots { slotFree = now }
                inFlight -= 1
                let (sent, first) = (sentAt[Int(id)], firstTokenAt[Int(id)])
                completed += 1
                lastCompletion = now
                firstTokenTotal += (first - sent).milliseconds
                decodeTotal += (now - first).milliseconds / Double(outputTokens - 1)
            case .admitted, .token, .preempted:
                break
            }
        }
    }

    var observation: CalibrationRow.Observation {
        .init(
            requestsPerSecond: Double(completed) / lastCompletion.seconds,
            millisecondsPerToken: decodeTotal / Double(max(completed, 1)),
            timeToFirstTokenMilliseconds: firstTokenTotal / Double(max(completed, 1)))
    }
}

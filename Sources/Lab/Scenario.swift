import Basics

/// A question to the lab, with the policies that answer it by default.
public struct Scenario: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        case pushStory
        case colocate
        case stepSurge
        case clumps
        case gates
        case prefix
        case herd
        case fairness
        case prediction
        case calibrate
    }

    /// What it is called.
    public let name: String
    /// What it shows, in one sentence.
    public let summary: String
    let kind: Kind
    let defaultPolicies: [Policy]
    /// Model servers that make sense where nobody asks for a number.
    public let defaultReplicas: Int

    private init(
        name: String, summary: String, kind: Kind, defaultPolicies: [Policy], defaultReplicas: Int = 1
    ) {
        self.name = name
        self.summary = summary
        self.kind = kind
        self.defaultPolicies = defaultPolicies
        self.defaultReplicas = defaultReplicas
    }

    /// All scenarios.
    public static let all = [
        Scenario(
            name: "push-story",
            summary: "20,000 messages are pushed at once beside real-time traffic: who is dropped, and who pays?",
            kind: .pushStory, defaultPolicies: [.onlineOnly, .direct, .weir(enginePriority: false)]),
        Scenario(
            name: "colocate",
            summary: "An endless offline job beside real-time traffic: how much is harvested, and at whose expense?",
            kind: .colocate,
            defaultPolicies: [
                .onlineOnly, .ungated(workers: 64), .enginePriority(workers: 64), .budgetGate(maxConcurrency: 100),
                .weir(enginePriority: false), .oracle(stepMilliseconds: 30),
            ]),
        Scenario(
            name: "step-surge",
            summary: "Real-time traffic triples for 30 s on a pool full of batch work: how fast does batch give way?",
            kind: .stepSurge,
            defaultPolicies: [
                .onlineOnly, .liveCap(requests: 80), .weir(enginePriority: false), .oracle(stepMilliseconds: 30),
            ]),
        Scenario(
            name: "clumps",
            summary: "Code completion arrives in clumps beside an endless offline job: does batch get out of the way?",
            kind: .clumps,
            defaultPolicies: [
                .onlineOnly, .ungated(workers: 64), .liveCap(requests: 40), .liveCap(requests: 80),
                .weir(enginePriority: false), .oracle(stepMilliseconds: 25),
            ]),
        Scenario(
            name: "gates",
            summary: "Each dispatch gate beside an endless offline job: how far beyond its threshold does the pool go?",
            kind: .gates,
            defaultPolicies: [.onlineOnly, .weir(enginePriority: false)]
                + [
                    GatePolicy(.constant), GatePolicy(.saturation, every: 1), GatePolicy(.saturation, every: 15),
                    GatePolicy(.saturation, every: 15, polls: true), GatePolicy(.budget, every: 15),
                    GatePolicy(.query, every: 1), GatePolicy(.query, every: 15), GatePolicy(.scrape, every: 1),
                    GatePolicy(.redis, every: 1), GatePolicy(.redis, every: 15), GatePolicy(.localMax),
                    GatePolicy(.composite, every: 15), GatePolicy(.composite, every: 15, polls: true),
                    GatePolicy(.aimd),
                ].map { .gate($0) }),
        Scenario(
            name: "prefix",
            summary:
                "Prompts that share beginnings, at rising load: whose router finds the caches and keeps the balance?",
            kind: .prefix,
            defaultPolicies: RoutingPolicy.allCases.map { .routed($0) } + [.weir(enginePriority: false)],
            defaultReplicas: 4),
        Scenario(
            name: "herd",
            summary:
                "800 requests arrive at one instant: are they spread, or do they all follow the same stale metric?",
            kind: .herd,
            defaultPolicies: [.routed(.roundRobin), .routed(.llmd322), .weir(enginePriority: false)],
            defaultReplicas: 8),
        Scenario(
            name: "fairness",
            summary: "One tenant sends ten times as much as each of the others, and a low band waits: who pays?",
            kind: .fairness, defaultPolicies: [.routed(.leastRequests), .weir(enginePriority: false)],
            defaultReplicas: 2),
        Scenario(
            name: "prediction",
            summary:
                "Latencies are predicted before they are known, at rising load and after a change of engines: how well?",
            kind: .prediction, defaultPolicies: [], defaultReplicas: 8),
        Scenario(
            name: "calibrate",
            summary: "The engine model beside eight measurements on an H100: can its figures be believed?",
            kind: .calibrate, defaultPolicies: []),
    ]

    /// The scenario of this name.
    public static func named(_ name: String) throws(LabError) -> Scenario {
        guard let scenario = all.first(where: { $0.name == name }) else { throw .unknownScenario(name) }
        return scenario
    }
}

/// The surges of `gates`: every so often generated traffic comes at three times its pace for a while.
enum RecurringSurge {
    private static let interval = TimeSpan.seconds(300)
    private static let length = TimeSpan.seconds(30)
    private static let factor = 3.0
    private static let total = TimeSpan.seconds(1800)

    static func applied(to trace: Trace) -> Trace {
        var trace = trace
        var begin = Instant.zero + interval
        while begin + length <= Instant.zero + total {
            trace = trace.surging(from: begin, to: begin + length * factor, factor: factor)
            begin = begin + interval
        }
        return trace.cut(to: total)
    }
}

/// The surge of `step-surge`: steady traffic, then a stretch at three times its pace, then steady again.
enum Surge {
    static let begin = Instant(seconds: 300)
    static let length = TimeSpan.seconds(30)
    static let factor = 3.0
    static let total = TimeSpan.seconds(630)
    /// The share of the TPOT limit beyond which the decode part of a step counts as too long.
    static let stepShare = 0.45
    /// How long after the surge the steps are still watched.
    static let aftermath = TimeSpan.seconds(30)
}

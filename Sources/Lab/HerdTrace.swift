import Basics

/// The traffic of `herd`: light conversations, so that no two replicas look alike, and then a burst at one instant.
struct HerdTrace {
    static let burstRequests = 800
    private static let quiet = TimeSpan.seconds(30)
    private static let backgroundPerReplica = 0.5
    private static let promptTokens = 1024
    private static let outputTokens = 128

    let trace: Trace
    /// The ids of the burst's requests.
    let burst: Range<Int>

    init(isMixed: Bool, replicas: Int, seed: UInt64) {
        let background = Trace.generatedConversation(
            seed: seed, duration: Self.quiet, requestsPerSecond: Self.backgroundPerReplica * Double(replicas))
        var lengths = Trace.generatedConversation(
            seed: seed &+ 1, duration: .seconds(Double(Self.burstRequests)), requestsPerSecond: 2
        ).requests.prefix(Self.burstRequests).map { (prompt: $0.promptTokens, output: $0.outputTokens) }
        if !isMixed { lengths = lengths.map { _ in (Self.promptTokens, Self.outputTokens) } }
        let requests = lengths.map { length in
            TraceRequest(
                arrival: .zero + Self.quiet, promptTokens: length.prompt, outputTokens: length.output)
        }
        trace = Trace(name: "conversation and a burst (generated)", requests: background.requests + requests)
        burst = (trace.requests.count - requests.count)..<trace.requests.count
    }
}

import InferenceAPI
import PoolScheduler

/// What a gateway can tell of a request: the text of its prompt, and what its answer said.
extension Fleet {
    /// Tokens per block of the hashes in traces.
    private static let traceBlockTokens = 16
    /// Tokens per block as the gateway hashes prompts: 256 bytes of text at the usual four bytes per token.
    static let gatewayBlockTokens = 64

    /// The tenant of a request; batch work has none.
    func flow(_ id: Int) -> String { id < realtimeCount ? trace[id].flow : "" }

    /// The band of a real-time request.
    func priority(_ id: Int) -> Int { id < realtimeCount ? trace[id].priority : -1 }

    /// The chain of a prompt's blocks.
    ///
    /// - Parameter tokensPerBlock: a multiple of 16; each hash of the trace covers all before it, so every nth is enough.
    func promptBlocks(_ id: Int, tokensPerBlock: Int = gatewayBlockTokens) -> PromptBlocks {
        guard id < realtimeCount, !trace[id].promptBlockHashes.isEmpty else { return .unknown }
        let hashes = trace[id].promptBlockHashes
        let step = tokensPerBlock / Self.traceBlockTokens
        return PromptBlocks(
            hashes: stride(from: step - 1, to: hashes.count, by: step).map { hashes[$0] },
            unitsPerBlock: tokensPerBlock, units: trace[id].promptTokens)
    }

    /// What the usage object of a complete answer says.
    func answerFacts(_ id: Int) -> AnswerFacts {
        let request = requests[id]
        return AnswerFacts(
            promptTokens: Int(request.promptTokens), cachedPromptTokens: Int(request.cachedTokens),
            outputTokens: Int(request.outputTokens))
    }
}

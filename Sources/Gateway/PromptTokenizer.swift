import Basics
import InferenceAPI
import NIOCore

/// A prompt as tokens.
struct TokenizedPrompt {
    /// The chain of its blocks, as endpoints that publish their caches are matched.
    var blocks: PromptBlocks
    /// Its length.
    var tokens: Int { blocks.units }
}

/// Asks an endpoint of the pool for the tokens of a prompt.
enum PromptTokenizer {
    /// Whether the tokens of a request are worth asking for: an endpoint publishes its cache, the prompt is text, all of it
    /// is here, and it is not so short that no block is full.
    static func isWanted(
        _ request: ExchangeRequest, facts: RequestBodyFacts, body: HeldBody, hasWholeBody: Bool, pool: PoolShell
    ) -> Bool {
        guard request.path == .chatCompletions || request.path == .completions, !request.isMessage,
            request.priority >= 0, hasWholeBody, body.bytes <= pool.settings.tokenizer.maximumBytes
        else { return false }
        // Salt and pictures are part of what engines tell blocks apart by, and ids are not text.
        guard !facts.hasCacheSalt, facts.mediaItems == 0, facts.promptTokenIDs == 0 else { return false }
        return pool.publishes
    }

    /// Asks; `completion` is called once, on the loop, with nil if there is no answer in time.
    ///
    /// - Parameter id: spreads the work over the endpoints that are up.
    static func ask(
        id: UInt64, model: String, body: HeldBody, pool: PoolShell, loop: LoopContext,
        completion: @escaping (TokenizedPrompt?) -> Void
    ) {
        guard let endpoint = pool.tokenizingEndpoint(for: id) else { return completion(nil) }
        let settings = pool.settings.tokenizer
        ControlCall.post(
            body.pieces, to: settings.path, of: endpoint, over: loop.upstreams, timeout: settings.timeout,
            on: loop.eventLoop
        ) { outcome in
            switch outcome {
            case .answered(status: 200, let answer):
                let tokens = answer.withUnsafeReadableBytes { TokenizerAnswer.tokens(in: $0) }
                completion(pool.tokenized(tokens, model: model))
            case .answered(let status, _):
                // A path that is not there, or not for us, will not be there for the next one either.
                let isOwnFault = (400..<500).contains(status) && ![401, 403, 404, 405, 429].contains(status)
                pool.notTokenized(isOwnFault: isOwnFault)
                completion(nil)
            case .unreachable, .failed:
                pool.notTokenized(isOwnFault: false)
                completion(nil)
            }
        }
    }
}

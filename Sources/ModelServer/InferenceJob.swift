import Basics
import InferenceAPI
import NIOCore

/// One completion request on its way through a replica. Lives on the replica's event loop only.
final class InferenceJob {
    let id: UInt64
    let isStreaming: Bool
    let includesUsage: Bool
    let promptTokens: Int
    let outputTokens: Int
    let maxTokens: Int?
    /// Whether the model stops before the limit.
    let endsByItself: Bool
    /// The connection breaks after so many tokens.
    let cutAfterTokens: Int?
    let writer: CompletionWriter
    let arrived: Instant

    /// Who gets the answer; nil once the job is over.
    var connection: ConnectionHandler?
    /// The task that hands the job to the engine when the time outside it is over.
    var submission: Scheduled<Void>?
    var admitted: Instant?
    var firstToken: Instant?
    var lastToken: Instant?
    var generatedTokens = 0

    init(
        id: UInt64, facts: RequestBodyFacts, outputTokens: Int, endsByItself: Bool, cutAfterTokens: Int?,
        writer: CompletionWriter, arrived: Instant, connection: ConnectionHandler
    ) {
        self.id = id
        isStreaming = facts.stream
        includesUsage = facts.includeUsage
        promptTokens = max(facts.estimatedPromptTokens, 1)
        maxTokens = facts.maxOutputTokens
        self.outputTokens = outputTokens
        self.endsByItself = endsByItself
        self.cutAfterTokens = cutAfterTokens
        self.writer = writer
        self.arrived = arrived
        self.connection = connection
    }

    var finishReason: StaticString { endsByItself ? "stop" : "length" }

    func usage(cachedTokens: Int) -> TokenUsage {
        TokenUsage(promptTokens: promptTokens, completionTokens: outputTokens, cachedPromptTokens: cachedTokens)
    }
}

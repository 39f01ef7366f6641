/// Where an engine publishes its KV events.
public struct KVEventSource: Hashable, Sendable {
    /// A host name or an address.
    public var host: String
    /// The port of its PUB socket.
    public var port: Int
    /// The port of its replay (ROUTER) socket; nil if it has none, which makes every missed event cost all that is known.
    public var replayPort: Int?
    /// Only messages whose topic begins with this are asked for. Engines that were not told a topic publish under the empty
    /// one, which only the empty filter fits.
    public var topicFilter: String
    /// The name that stands at the root of the chains of prompts that name no LoRA adapter. Requests' chains
    /// (`PromptBlocks.init(tokens:tokensPerBlock:model:cacheSalt:)`) must be made with the same name.
    public var model: String

    /// Creates a source; the defaults are the ecosystem's (shared reference `scheduling.md` 2.2).
    public init(host: String, port: Int = 5557, replayPort: Int? = nil, topicFilter: String = "kv@", model: String) {
        self.host = host
        self.port = port
        self.replayPort = replayPort
        self.topicFilter = topicFilter
        self.model = model
    }

    /// The source of one of the engine's data-parallel ranks: each has ports of its own, the first rank's plus its number.
    /// Ranks have caches of their own, so each wants an endpoint of its own in an index.
    public func rank(_ rank: Int) -> KVEventSource {
        var source = self
        source.port += rank
        source.replayPort = replayPort.map { $0 + rank }
        return source
    }
}

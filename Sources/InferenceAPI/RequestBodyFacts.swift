/// What Weir needs to know of a request body, gathered by `RequestBodyScanner`.
public struct RequestBodyFacts: Hashable, Sendable {
    /// The requested model, unescaped; nil when it is missing, empty or not a string.
    public var model: String?
    /// The byte range of the model's JSON string in the body, quotes included, for splicing in another name.
    public var modelRange: Range<Int>?
    /// `stream`: whether the client wants server-sent events.
    public var stream = false
    /// `stream_options.include_usage`: whether the last event should carry token counts.
    public var includeUsage = false
    /// The limit on generated tokens: `max_completion_tokens`, else `max_tokens`, else `max_output_tokens`.
    ///
    /// Negative and non-integer values count as absent (reference gaie-protocol.md 4.2).
    public var maxOutputTokens: Int?
    /// `priority` as vLLM reads it.
    public var priority: Int?
    /// `n`: how many choices to generate; nil when missing or not positive.
    public var choices: Int?
    /// `ignore_eos`: generate up to the limit whatever the model says.
    public var ignoreEOS = false
    /// UTF-8 bytes of text inside `prompt`, `messages`, `input`, `instructions`, `system` and `tools`, unescaped.
    ///
    /// Media (see `mediaItems`) is left out; in `tools` the keys count too, since engines render the schema as text.
    public var promptBytes = 0
    /// Token ids given in place of text: `prompt` or `input` as an array of integers or of such arrays.
    public var promptTokenIDs = 0
    /// Images, audio and files in `messages` or `input`: strings under `url`, `image_url`, `data` and their like.
    public var mediaItems = 0
    /// `cache_salt` is a string: the prompt's blocks are not shared with prompts of another salt.
    public var hasCacheSalt = false
    /// Bytes of the body seen so far.
    public var totalBytes = 0

    /// Creates the facts of an empty body.
    public init() {}

    /// Bytes of text that make about one token: English prose has 4.2 to 4.8 with current vocabularies, code fewer.
    public static let bytesPerToken = 4
    /// Tokens assumed for one image, sound or file: a 336-pixel image in 14-pixel patches (LLaVA-1.5) has 24 x 24.
    public static let tokensPerMediaItem = 576

    /// The expected length of the prompt in tokens: token ids exactly, text at `bytesPerToken`, media at a flat rate.
    public var estimatedPromptTokens: Int {
        let text = (promptBytes + Self.bytesPerToken - 1) / Self.bytesPerToken
        return promptTokenIDs + text + mediaItems * Self.tokensPerMediaItem
    }

    /// The limit on generated tokens of all choices together; nil if the body names none.
    public var outputTokenLimit: Int? {
        maxOutputTokens.map { tokens in
            let product = tokens.multipliedReportingOverflow(by: choices ?? 1)
            return product.overflow ? .max : product.partialValue
        }
    }
}

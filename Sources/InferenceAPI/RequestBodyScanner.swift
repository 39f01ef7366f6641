/// Reads a request body once, in the pieces in which it arrives, and keeps only the facts that decide its way.
///
/// Pieces may be cut anywhere: inside a number, an escape or a UTF-8 sequence. Nothing is decoded into a tree and no
/// text is copied but keys and the model's name, so memory is bounded whatever the body holds. A key that occurs twice
/// counts as its last occurrence, as in the JSON readers of the model servers.
public struct RequestBodyScanner: Sendable {
    private var tokenizer = JSONTokenizer()
    private var visitor: RequestBodyVisitor
    private var totalBytes = 0

    /// Creates a scanner at the beginning of a body.
    ///
    /// - Parameter hashesPrompt: whether the prompt is hashed block by block as it passes, for `promptChain`.
    public init(hashesPrompt: Bool = false) { visitor = RequestBodyVisitor(hashesPrompt: hashesPrompt) }

    /// Reads the next bytes of the body.
    public mutating func consume(_ bytes: UnsafeRawBufferPointer) {
        totalBytes &+= bytes.count
        tokenizer.consume(bytes, visitor: &visitor)
        if visitor.modelIsTooLong { tokenizer.reject(.modelTooLong) }
    }

    /// Declares the body over: one that stops short is malformed from here on.
    public mutating func finish() { tokenizer.finish() }

    /// Whether the top-level object has closed.
    public var isComplete: Bool { tokenizer.isComplete }

    /// What is wrong with the body so far, if anything.
    public var malformed: JSONDefect? { tokenizer.defect }

    /// What the bytes so far say; of a string that has not ended, what there is of it.
    public var facts: RequestBodyFacts {
        var facts = visitor.facts(openStringBytes: tokenizer.openStringBytes)
        facts.totalBytes = totalBytes
        return facts
    }

    /// The prompt as a chain of hashed blocks, and what continues it by the answer; empty if the scanner was not asked to
    /// hash or the body is malformed. Ask once, when the body has ended: the chain is computed here.
    public var promptChain: AnswerHasher { promptChain(model: nil) }

    /// `promptChain` for the case that the request goes to another model than it names; nil for the one that it names.
    public func promptChain(model: String?) -> AnswerHasher {
        malformed == nil ? visitor.promptChain(model: model) : .none
    }

    /// The prompt as a chain of hashed blocks: `promptChain.prompt`.
    public var promptBlocks: PromptBlocks { promptChain.prompt }
}

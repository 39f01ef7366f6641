/// Continues the chain of a prompt by the text that is generated for it, as the next turn will send it back: as
/// a message of the role `assistant`, or, after a plain prompt, as more text.
///
/// The end of the answer is left open, so the last block counts only when the text fills it.
public struct AnswerHasher: Sendable {
    /// The prompt's own chain.
    public let prompt: PromptBlocks

    private var hash: UInt64
    private var splitter = BlockSplitter()
    private var role: UInt64?
    private var canContinue = false
    private var added: [UInt64] = []
    private var addedBytes = 0

    /// A chain that nothing continues.
    public static let none = AnswerHasher(prompt: .unknown, hash: 0)

    /// Creates a chain that an answer does not continue, because its text is not what the next prompt holds.
    init(prompt: PromptBlocks, hash: UInt64) {
        self.prompt = prompt
        self.hash = hash
    }

    /// Creates a chain that goes on within the block of which `rest` has the beginning.
    init(prompt: PromptBlocks, hash: UInt64, rest: BlockSplitter, isChat: Bool) {
        self.prompt = prompt
        self.hash = hash
        splitter = rest
        if isChat { role = Array("assistant".utf8).withUnsafeBytes(BlockHash.hash) }
        canContinue = true
    }

    /// Whether text can be appended.
    var isOpen: Bool { canContinue }

    /// Appends generated text.
    mutating func append(_ run: UnsafeRawBufferPointer) {
        guard canContinue else { return }
        addedBytes &+= run.count
        guard prompt.hashes.count &+ added.count < PromptHasher.blockLimit else { return }
        splitter.append(run) { block in
            hash = BlockHash.mix(hash, role.map { BlockHash.mix(block, $0) } ?? block)
            added.append(hash)
        }
    }

    /// Gives up what was appended: the engine's cache holds it behind text that will not come back.
    mutating func abandon() {
        canContinue = false
        added = []
        addedBytes = 0
    }

    /// The chain of the prompt and of what was appended.
    public var blocks: PromptBlocks {
        if addedBytes == 0 { return prompt }
        let room = max(0, PromptHasher.blockLimit - prompt.hashes.count)
        return PromptBlocks(
            hashes: prompt.hashes + added.prefix(room), unitsPerBlock: prompt.unitsPerBlock,
            units: prompt.units + addedBytes)
    }
}

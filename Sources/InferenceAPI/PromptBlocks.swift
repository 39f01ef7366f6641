/// A prompt as a chain of hashes: each covers one block and all blocks before it.
///
/// Two prompts share their first `n` blocks if and only if their first `n` hashes are equal (up to collisions of 64 bits).
/// Blocks are of text (bytes) where no tokenizer is at hand, of tokens where one is; chains of the two kinds have
/// different roots and never meet. A last block that is not full has no hash.
public struct PromptBlocks: Hashable, Sendable {
    /// The chained hashes, from the root on.
    public var hashes: [UInt64]
    /// Bytes or tokens per block.
    public var unitsPerBlock: Int
    /// Bytes or tokens of the whole prompt, the part behind the last full block included.
    public var units: Int

    /// Creates a chain.
    public init(hashes: [UInt64], unitsPerBlock: Int, units: Int) {
        self.hashes = hashes
        self.unitsPerBlock = unitsPerBlock
        self.units = units
    }

    /// Nothing is known of the prompt's text.
    public static let unknown = PromptBlocks(hashes: [], unitsPerBlock: 1, units: 0)

    /// How many of the prompt's `promptTokens` the first `blocks` blocks hold.
    public func tokens(inBlocks blocks: Int, promptTokens: Int) -> Int {
        guard units > 0 else { return 0 }
        let share = Double(blocks) * Double(unitsPerBlock) / Double(units)
        return min(promptTokens, Int(share * Double(promptTokens)))
    }
}

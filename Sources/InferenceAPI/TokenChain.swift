/// A 64-bit hash chained over blocks of token ids: the key of a block is the chain's hash behind it, so it covers the
/// block and all that came before it, and the name of the model (or adapter) in front.
///
/// Both sides compute it: a request's tokens on one, the tokens in an engine's KV events on the other. Engines' own
/// block hashes stay opaque, so their algorithm and seed do not matter (shared reference `scheduling.md` 2.2, "dual key").
///
/// The mixing is our own: multiply and fold for every two tokens (each step is a bijection of the state, so nothing is
/// lost on the way), and the finalizer of SplitMix64 (Steele, Lea and Flood, 2014) behind each block. It does not
/// resist an adversary; a collision costs a wrong guess about a cache, never a wrong answer.
public struct TokenChain: Hashable, Sendable {
    /// The key of the last block, or of the root while there is none.
    public private(set) var hash: UInt64

    /// Chains of text blocks start elsewhere.
    private static let tokenDomain: UInt64 = 0x746F_6B65_6E73_2D31

    /// The root: what every prompt to this model has in common. Where a LoRA adapter answers, its name takes the
    /// model's place.
    public init(model: String) {
        hash = Self.tokenDomain
        absorb(Array(model.utf8))
        finish(count: 0)
    }

    /// Goes on behind a block whose key is known.
    public init(behind hash: UInt64) { self.hash = hash }

    /// Adds one full block.
    ///
    /// - Parameters:
    ///   - tokens: the block's token ids.
    ///   - extras: what else the engine tells this block's content by, in its order: a cache salt as UTF-8 (first block
    ///     only), identities of images.
    public mutating func append(_ tokens: some Collection<UInt32>, extras: [[UInt8]] = []) {
        var count: UInt64 = 0
        var low: UInt64 = 0
        for token in tokens {
            if count & 1 == 0 {
                low = UInt64(token)
            } else {
                mix(low | UInt64(token) << 32)
            }
            count += 1
        }
        if count & 1 == 1 { mix(low) }
        for extra in extras { absorb(extra) }
        finish(count: count &+ UInt64(extras.count) << 32)
    }

    private mutating func absorb(_ bytes: [UInt8]) {
        var word: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            word = word << 8 | UInt64(byte)
            if index & 7 == 7 {
                mix(word)
                word = 0
            }
        }
        mix(word)
        mix(UInt64(bytes.count))
    }

    private mutating func mix(_ word: UInt64) {
        let product = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
        hash = product ^ (product >> 32)
    }

    private mutating func finish(count: UInt64) {
        var word = hash &+ 0x9E37_79B9_7F4A_7C15 &+ count
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        hash = word ^ (word >> 31)
    }
}

extension PromptBlocks {
    /// The chain of a tokenized prompt.
    ///
    /// - Parameters:
    ///   - tokens: the prompt as the engine sees it: chat template applied, special tokens included.
    ///   - tokensPerBlock: the engine's block size; 1 or more.
    ///   - model: the adapter's name if the request is for a LoRA adapter, else the name that the endpoint's event source
    ///     was set up with.
    ///   - cacheSalt: the request's `cache_salt`, which keeps its blocks from being shared with other prompts.
    public init(tokens: [UInt32], tokensPerBlock: Int, model: String, cacheSalt: String? = nil) {
        let size = max(1, tokensPerBlock)
        var chain = TokenChain(model: model)
        var hashes: [UInt64] = []
        hashes.reserveCapacity(tokens.count / size)
        for block in 0..<(tokens.count / size) {
            let extras = block == 0 ? cacheSalt.map { [Array($0.utf8)] } ?? [] : []
            chain.append(tokens[(block * size)..<((block + 1) * size)], extras: extras)
            hashes.append(chain.hash)
        }
        self.init(hashes: hashes, unitsPerBlock: size, units: tokens.count)
    }
}

/// The part of a prompt that one field of a body holds, as hashes of its blocks, not chained yet.
///
/// In `messages` and in the items of `input` the role may come before the content or after it. So that both give the same
/// hashes, the role is written behind the content, and it is also mixed into every block that was filled since the
/// message began.
struct PromptSection: Sendable {
    /// The hashes of the full blocks, at most `PromptHasher.blockLimit`.
    private(set) var hashes: [UInt64] = []
    /// All bytes, those beyond the limit included.
    private(set) var bytes = 0
    /// Whether it is made of token ids, four bytes each, instead of text.
    private(set) var isTokenIDs = false
    /// Whether the first of several prompts has ended; the others are not hashed.
    var isClosed = false
    /// The block that is not full yet.
    private(set) var splitter = BlockSplitter()

    private var hasList = false
    private var messageStart = 0
    private var role: UInt64 = 0

    /// Appends text, or token ids as bytes.
    @inline(__always)
    mutating func append(_ run: UnsafeRawBufferPointer) {
        bytes &+= run.count
        if hashes.count >= PromptHasher.blockLimit { return }
        splitter.append(run) { hashes.append($0) }
    }

    /// Appends up to eight bytes, the lowest first.
    mutating func append(_ word: UInt64, count: Int) {
        var word = word.littleEndian
        withUnsafeBytes(of: &word) { append(UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
    }

    /// Appends a token id.
    @inline(__always)
    mutating func append(tokenID: Int) {
        isTokenIDs = true
        append(UInt64(truncatingIfNeeded: tokenID), count: 4)
    }

    /// Appends a word until it fills `total` bytes.
    mutating func append(repeating word: UInt64, total: Int) {
        for _ in 0..<(total / 8) { append(word, count: 8) }
    }

    /// A list of token ids begins inside the field's list: the first is the prompt, another one is another prompt.
    mutating func beginList() {
        if hasList { isClosed = true }
        hasList = true
    }

    /// A message begins.
    mutating func beginMessage() {
        messageStart = hashes.count
        role = 0
    }

    /// The message's role, as a hash of its name.
    mutating func setRole(_ hash: UInt64) { role = hash }

    /// The message is complete.
    mutating func endMessage() {
        append(PromptHasher.endOfMessage, count: 2)
        append(role, count: 8)
        for index in messageStart..<max(messageStart, min(hashes.count, PromptHasher.blockLimit)) {
            hashes[index] = BlockHash.mix(hashes[index], role)
        }
        messageStart = hashes.count
    }
}

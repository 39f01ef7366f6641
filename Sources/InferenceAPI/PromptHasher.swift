/// Hashes a prompt block by block while its body is scanned, without keeping its text.
///
/// What is hashed is a canonical rendering, not the JSON: strings unescaped, white space and the escaping of characters
/// left out. Its parts come in the order in which engines render them, whatever the body's order: `tools`, `system`,
/// `instructions`, then `prompt`, `input` and `messages`. Each but the last ends with a block of its own, filled with zeros.
/// Behind each string stands a mark (0xFF cannot occur in UTF-8), behind each message its role. What engines do not
/// render is left out of messages: `type`, `id`, `status`, `detail`, `ttl`; so a string of content and the same text as
/// a content part are equal, as they are to a chat template. An image, a sound or a file counts as the digest of
/// its address or data, repeated to the length of text that takes as many tokens (`RequestBodyFacts.tokensPerMediaItem`).
/// Token ids count as four bytes each, a typical token's length of text. Of several prompts only the first is hashed.
///
/// The blocks are chained when the body has ended, from a root made of the model's name (which is also the name of a LoRA
/// adapter) and `cache_salt`, because either may come last.
struct PromptHasher: Sendable {
    /// Bytes of rendered text per block: about 64 tokens.
    static let bytesPerBlock = BlockHash.blockBytes
    /// Blocks hashed per prompt, 2 MiB of text; what follows is not seen.
    static let blockLimit = 8192

    /// The end of a string: 0xFF and what it was.
    static let endOfText: UInt64 = 0x00FF
    static let endOfOther: UInt64 = 0x01FF
    static let endOfMedia: UInt64 = 0x02FF
    static let endOfMessage: UInt64 = 0x03FF
    /// In tools: a key, the begin and the end of a container, and the words.
    static let endOfKey: UInt64 = 0x04FF
    static let opening: UInt64 = 0x05FF
    static let closing: UInt64 = 0x06FF
    static let number: UInt64 = 0x07FF
    static let literal: UInt64 = 0x08FF

    /// Where the bytes of a string go.
    enum Target: UInt8, Sendable {
        case section, media, salt
    }

    /// One section for each field that holds prompt, numbered as by `RequestBodyVisitor`.
    private(set) var sections: InlineArray<6, PromptSection> = .init(repeating: PromptSection())
    /// In the order of rendering: tools, system, instructions, prompt, input, messages.
    private static let order: InlineArray<6, Int> = [5, 4, 3, 0, 2, 1]
    private static let promptSection = 0
    private static let messagesSection = 1

    private var salt = PromptSection()
    private var media = BlockSplitter()
    private var mediaDigest: UInt64 = 0

    /// Appends bytes of a string that lies in `section`.
    @inline(__always)
    mutating func append(_ run: UnsafeRawBufferPointer, to target: Target, section: Int) {
        switch target {
        case .section: sections[section].append(run)
        case .media: media.append(run) { mediaDigest = BlockHash.mix(mediaDigest, $0) }
        case .salt: salt.append(run)
        }
    }

    /// Appends to a section, by `change`.
    @inline(__always)
    mutating func update(_ section: Int, _ change: (inout PromptSection) -> Void) { change(&sections[section]) }

    /// The end of a media string: its digest takes the place of the picture's tokens.
    mutating func endMedia(section: Int) {
        let digest = BlockHash.mix(mediaDigest, media.hashOfRest())
        let total = RequestBodyFacts.tokensPerMediaItem * RequestBodyFacts.bytesPerToken
        sections[section].append(repeating: digest, total: total)
        sections[section].append(Self.endOfMedia, count: 2)
        media = BlockSplitter()
        mediaDigest = 0
    }

    /// Forgets a section because its key occurs again.
    mutating func reset(section: Int) { sections[section] = PromptSection() }

    /// Forgets `cache_salt` because its key occurs again.
    mutating func resetSalt() { salt = PromptSection() }

    /// The name of a role as a hash.
    static func role(_ name: UnsafeRawBufferPointer?) -> UInt64 { name.map(BlockHash.hash) ?? 1 }

    /// The chain over everything, and the state from which a generated answer continues it.
    func chain(model: String?) -> AnswerHasher {
        var name = model ?? ""
        var hash = name.withUTF8 { BlockHash.hash(UnsafeRawBufferPointer($0)) }
        if salt.bytes > 0 {
            for block in salt.hashes { hash = BlockHash.mix(hash, block) }
            hash = BlockHash.mix(hash, salt.splitter.hashOfRest())
        }
        var last: Int?
        var total = 0
        for index in Self.order.indices where sections[Self.order[index]].bytes > 0 {
            last = Self.order[index]
            total &+= sections[Self.order[index]].hashes.count &+ 1
        }
        guard let last else { return AnswerHasher(prompt: .unknown, hash: hash) }
        var hashes: [UInt64] = []
        hashes.reserveCapacity(min(total, Self.blockLimit))
        var units = 0
        for index in Self.order.indices {
            let number = Self.order[index]
            if sections[number].bytes == 0 { continue }
            hash = BlockHash.mix(hash, UInt64(number) &* 2 &+ (sections[number].isTokenIDs ? 1 : 0))
            for block in sections[number].hashes where hashes.count < Self.blockLimit {
                hash = BlockHash.mix(hash, block)
                hashes.append(hash)
            }
            units &+= sections[number].bytes
            if number == last || hashes.count >= Self.blockLimit { continue }
            let restBytes = sections[number].splitter.restBytes
            if restBytes > 0 {
                hash = BlockHash.mix(hash, sections[number].splitter.hashOfRest())
                hashes.append(hash)
                units &+= Self.bytesPerBlock &- restBytes
            }
        }
        let prompt = PromptBlocks(hashes: hashes, unitsPerBlock: Self.bytesPerBlock, units: units)
        let isChat = last == Self.messagesSection
        let isText = last == Self.promptSection && !sections[last].isTokenIDs && !sections[last].isClosed
        guard isChat || isText else { return AnswerHasher(prompt: prompt, hash: hash) }
        return AnswerHasher(prompt: prompt, hash: hash, rest: sections[last].splitter, isChat: isChat)
    }
}

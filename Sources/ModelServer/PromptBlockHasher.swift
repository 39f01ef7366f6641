/// Hashes the prompt of a request in blocks, as the bytes of its body pass by, for the engine's prefix cache.
///
/// The text of `messages` or `prompt` counts, keys do not. A block is as many bytes as the tokens of a KV block are
/// expected to take; a token id counts as a whole token. Each hash depends on all the text before it, so that equal
/// hashes mean equal beginnings. The body is checked elsewhere; on invalid JSON the hashes mean nothing.
struct PromptBlockHasher: Sendable {
    private static let bytesPerToken = 4
    private static let depthLimit = 128

    private let bytesPerBlock: Int
    /// Hashes of the full blocks so far.
    private(set) var hashes: [UInt64] = []

    // FNV-1a (Fowler, Noll, Vo), running over the whole prompt, which chains the blocks.
    private var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private var bytesInBlock = 0

    private var depth = 0
    private var objects: UInt128 = 0
    private var expectsKey = false
    private var isInString = false
    private var isKey = false
    private var isEscaped = false
    private var isInNumber = false
    private var isPrompt = false
    private var key: [UInt8] = []

    init(blockSizeTokens: Int) { bytesPerBlock = max(blockSizeTokens, 1) * Self.bytesPerToken }

    mutating func consume(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes {
            if isInString { inString(byte) } else { structure(byte) }
        }
    }

    /// Ends the prompt: a last block that is exactly full counts.
    mutating func finish() {
        if bytesInBlock >= bytesPerBlock { closeBlock() }
    }

    @inline(__always)
    private mutating func inString(_ byte: UInt8) {
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isInString = false
            if isKey, depth == 1 { isPrompt = key == Array("messages".utf8) || key == Array("prompt".utf8) }
            return
        }
        if isKey {
            if depth == 1, key.count <= 8 { key.append(byte) }
        } else if isPrompt {
            mix(byte, weight: 1)
        }
    }

    @inline(__always)
    private mutating func structure(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""):
            isInString = true
            isKey = expectsKey
            expectsKey = false
            key.removeAll(keepingCapacity: true)
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard depth < Self.depthLimit else { return }
            depth += 1
            objects = objects << 1 | (byte == UInt8(ascii: "{") ? 1 : 0)
            expectsKey = byte == UInt8(ascii: "{")
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            isInNumber = false
            guard depth > 0 else { return }
            depth -= 1
            objects >>= 1
        case UInt8(ascii: ","):
            isInNumber = false
            expectsKey = objects & 1 == 1
            if isPrompt { mix(byte, weight: 0) }
        case UInt8(ascii: "0")...UInt8(ascii: "9") where isPrompt && depth > 1:
            mix(byte, weight: isInNumber ? 0 : Self.bytesPerToken)
            isInNumber = true
        default:
            break
        }
    }

    @inline(__always)
    private mutating func mix(_ byte: UInt8, weight: Int) {
        // A full block is closed by the byte after it, so that all digits of a token id belong to one block.
        if weight > 0, bytesInBlock >= bytesPerBlock { closeBlock() }
        hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
        bytesInBlock += weight
    }

    private mutating func closeBlock() {
        hashes.append(hash)
        bytesInBlock -= bytesPerBlock
    }
}

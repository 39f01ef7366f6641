/// The hash under `PromptBlocks`: 64 bits of a block of 256 bytes, and the step that chains blocks.
///
/// Four lanes run side by side over 64 bytes at a time. Each folds two 64-bit words into its state by one full
/// multiplication whose halves are combined with exclusive or (the step of wyhash, Wang Yi, public domain); the second
/// factor is added once more, so that a first word that makes its factor zero does not erase the lane. The lanes are then
/// folded into one. It is fast and well mixed, but no defence against somebody who constructs collisions: those cost
/// a wrong estimate of what is cached, never a wrong answer.
enum BlockHash {
    /// Bytes of a block.
    static let blockBytes = 256

    // The fractional parts of the square roots of 2, 3, 5 and 7 (as in SHA-512), made odd.
    private static let key0: UInt64 = 0x6A09_E667_F3BC_C909
    private static let key1: UInt64 = 0xBB67_AE85_84CA_A73B
    private static let key2: UInt64 = 0x3C6E_F372_FE94_F82B
    private static let key3: UInt64 = 0xA54F_F53A_5F1D_36F1

    /// The hash of the `blockBytes` bytes at `base`.
    static func hash(block base: UnsafeRawPointer) -> UInt64 {
        var lane0 = key1
        var lane1 = key2
        var lane2 = key3
        var lane3 = key0
        var offset = 0
        while offset < blockBytes {
            lane0 = step(lane0, base + offset, key0)
            lane1 = step(lane1, base + offset + 16, key1)
            lane2 = step(lane2, base + offset + 32, key2)
            lane3 = step(lane3, base + offset + 48, key3)
            offset &+= 64
        }
        return mix(mix(lane0, lane1), mix(lane2, lane3))
    }

    /// The hash of `bytes`, of any length: a chain of blocks whose last one is filled with zeros, and the length.
    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var digest = key0
        var offset = 0
        if let base = bytes.baseAddress {
            while bytes.count - offset >= blockBytes {
                digest = mix(digest, hash(block: base + offset))
                offset += blockBytes
            }
        }
        let rest = hashOfPart(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
        return mix(mix(digest, rest), UInt64(truncatingIfNeeded: bytes.count))
    }

    /// The hash of a block that is not full: filled with zeros, and of its length.
    static func hashOfPart(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        withUnsafeTemporaryAllocation(byteCount: blockBytes, alignment: 8) { block in
            block.initializeMemory(as: UInt8.self, repeating: 0)
            block.copyMemory(from: bytes)
            return mix(block.baseAddress.map { hash(block: $0) } ?? 0, UInt64(bytes.count))
        }
    }

    /// Folds two words into one; neither can hide the other.
    @inline(__always)
    static func mix(_ first: UInt64, _ second: UInt64) -> UInt64 {
        let product = (first ^ key0).multipliedFullWidth(by: second ^ key1)
        let rotated = second &<< 32 | second &>> 32
        let folded = product.high ^ product.low ^ first ^ rotated
        return (folded ^ folded &>> 29) &* key2
    }

    @inline(__always)
    private static func step(_ lane: UInt64, _ base: UnsafeRawPointer, _ key: UInt64) -> UInt64 {
        let first = UInt64(littleEndian: base.loadUnaligned(as: UInt64.self)) ^ key
        let second = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) ^ lane
        let product = first.multipliedFullWidth(by: second)
        return (product.high ^ product.low) &+ second
    }
}

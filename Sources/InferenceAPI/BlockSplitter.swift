/// Cuts a stream of bytes that arrives in runs of any length into blocks and hashes them; holds one block at most.
struct BlockSplitter: Sendable {
    /// The bytes of the block that is not full yet; allocated when the first byte arrives.
    private var buffer: [UInt8] = []
    /// How many of them there are.
    private(set) var restBytes = 0

    /// Appends a run, and hands the hash of every block that it fills to `emit`.
    @inline(__always)
    mutating func append(_ run: UnsafeRawBufferPointer, emit: (UInt64) -> Void) {
        guard let base = run.baseAddress, !run.isEmpty else { return }
        let blockBytes = BlockHash.blockBytes
        var position = 0
        if buffer.isEmpty { buffer = [UInt8](repeating: 0, count: blockBytes) }
        if restBytes > 0 || run.count < blockBytes {
            position = min(blockBytes &- restBytes, run.count)
            copy(base, count: position)
            guard restBytes == blockBytes else { return }
            restBytes = 0
            emit(buffer.withUnsafeBytes { $0.baseAddress.map(BlockHash.hash(block:)) ?? 0 })
        }
        while run.count &- position >= blockBytes {
            emit(BlockHash.hash(block: base + position))
            position &+= blockBytes
        }
        copy(base + position, count: run.count &- position)
    }

    /// The hash of the block that is not full, filled with zeros, and of its length.
    func hashOfRest() -> UInt64 {
        buffer.withUnsafeBytes { BlockHash.hashOfPart(UnsafeRawBufferPointer(rebasing: $0[..<restBytes])) }
    }

    @inline(__always)
    private mutating func copy(_ base: UnsafeRawPointer, count: Int) {
        let start = restBytes
        buffer.withUnsafeMutableBytes { bytes in
            // Most short runs are characters that were escaped: one byte.
            if count == 1 {
                bytes[start] = base.load(as: UInt8.self)
            } else if count > 0 {
                bytes.baseAddress?.advanced(by: start).copyMemory(from: base, byteCount: count)
            }
        }
        restBytes = start &+ count
    }
}

/// Finds bytes in raw memory eight at a time (SIMD within a register), which is what makes long strings cheap to skip.
enum ByteSearch {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highBits: UInt64 = 0x8080_8080_8080_8080

    /// The offset of the first byte in `start..<end` that equals `first` or `second`, or `end`.
    @inline(__always)
    static func offset(
        of first: UInt8, or second: UInt8, in base: UnsafeRawPointer, from start: Int, to end: Int
    ) -> Int {
        let firstPattern = UInt64(first) &* ones
        let secondPattern = UInt64(second) &* ones
        var position = start
        while position &+ 8 <= end {
            let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            let found = zeroBytes(word ^ firstPattern) | zeroBytes(word ^ secondPattern)
            if found != 0 { return position &+ found.trailingZeroBitCount &>> 3 }
            position &+= 8
        }
        while position < end {
            let byte = base.load(fromByteOffset: position, as: UInt8.self)
            if byte == first || byte == second { return position }
            position &+= 1
        }
        return end
    }

    /// Whether `bytes` spells `text`.
    @inline(__always)
    static func equals(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        let expected = text.utf8Start
        for index in 0..<bytes.count where bytes[index] != expected[index] { return false }
        return true
    }

    /// Sets the high bit of every zero byte; bits above the lowest one set may be wrong, the lowest never is.
    @inline(__always)
    private static func zeroBytes(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & highBits }
}

import Basics

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#endif

/// Makes correlation ids: 32 hexadecimal digits, 12 of wall-clock milliseconds and 20 random ones, so that ids sort by time.
struct RequestIDMaker {
    private static let digits = Array("0123456789abcdef".utf8)
    private var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func next() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let milliseconds = UInt64(bitPattern: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
        let high = milliseconds << 16 | generator.next() & 0xFFFF
        let low = generator.next()
        return String(unsafeUninitializedCapacity: 32) { buffer in
            for index in 0..<16 {
                let shift = UInt64(60 - 4 * index)
                buffer[index] = Self.digits[Int(high >> shift & 0xF)]
                buffer[16 + index] = Self.digits[Int(low >> shift & 0xF)]
            }
            return 32
        }
    }
}

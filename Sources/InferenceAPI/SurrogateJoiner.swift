/// Joins the UTF-16 units of escapes to scalar values. A half of a pair without the other becomes U+FFFD, as in every
/// Unicode decoder.
struct SurrogateJoiner {
    /// The first half of a pair whose second half has not come, else 0.
    private var high: UInt32 = 0

    /// Takes a unit.
    ///
    /// - Returns: whether U+FFFD must be written for a half before it, and the scalar that is known now.
    @inline(__always)
    mutating func append(_ unit: UInt32) -> (isBroken: Bool, scalar: UInt32?) {
        if 0xDC00...0xDFFF ~= unit, high != 0 {
            let scalar = 0x10000 &+ (high &- 0xD800) &<< 10 &+ (unit &- 0xDC00)
            high = 0
            return (false, scalar)
        }
        let isBroken = flush()
        switch unit {
        case 0xD800...0xDBFF:
            high = unit
            return (isBroken, nil)
        case 0xDC00...0xDFFF: return (isBroken, 0xFFFD)
        default: return (isBroken, unit)
        }
    }

    /// Declares that no second half follows; true if U+FFFD must be written for the first.
    @inline(__always)
    mutating func flush() -> Bool {
        let isBroken = high != 0
        high = 0
        return isBroken
    }
}

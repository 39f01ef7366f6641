/// A set of up to 256 endpoints by number, without memory of its own.
struct EndpointSet: Hashable, Sendable {
    private var word0: UInt64 = 0
    private var word1: UInt64 = 0
    private var word2: UInt64 = 0
    private var word3: UInt64 = 0

    /// All 256.
    static let all: EndpointSet = {
        var all = EndpointSet()
        (all.word0, all.word1, all.word2, all.word3) = (.max, .max, .max, .max)
        return all
    }()

    /// Whether it holds nothing.
    @inline(__always)
    var isEmpty: Bool { word0 | word1 | word2 | word3 == 0 }

    /// Adds an endpoint; true if it was not there.
    mutating func insert(_ endpoint: Int) -> Bool {
        let before = self
        change(endpoint) { $0 |= $1 }
        return self != before
    }

    /// Removes an endpoint; true if it was there.
    mutating func remove(_ endpoint: Int) -> Bool {
        let before = self
        change(endpoint) { $0 &= ~$1 }
        return self != before
    }

    /// Whether an endpoint is in it.
    func contains(_ endpoint: Int) -> Bool {
        var probe = self
        return probe.remove(endpoint)
    }

    /// Those in both.
    @inline(__always)
    func intersection(_ other: EndpointSet) -> EndpointSet {
        var result = self
        result.word0 &= other.word0
        result.word1 &= other.word1
        result.word2 &= other.word2
        result.word3 &= other.word3
        return result
    }

    /// Those that `other` does not have.
    @inline(__always)
    func subtracting(_ other: EndpointSet) -> EndpointSet {
        var result = self
        result.word0 &= ~other.word0
        result.word1 &= ~other.word1
        result.word2 &= ~other.word2
        result.word3 &= ~other.word3
        return result
    }

    /// Visits the members in ascending order.
    @inline(__always)
    func forEach(_ body: (Int) -> Void) {
        Self.visit(word0, from: 0, body)
        Self.visit(word1, from: 64, body)
        Self.visit(word2, from: 128, body)
        Self.visit(word3, from: 192, body)
    }

    @inline(__always)
    private static func visit(_ word: UInt64, from base: Int, _ body: (Int) -> Void) {
        var rest = word
        while rest != 0 {
            body(base &+ rest.trailingZeroBitCount)
            rest &= rest &- 1
        }
    }

    private mutating func change(_ endpoint: Int, _ body: (inout UInt64, UInt64) -> Void) {
        let bit: UInt64 = 1 << UInt64(endpoint & 63)
        switch endpoint >> 6 {
        case 0: body(&word0, bit)
        case 1: body(&word1, bit)
        case 2: body(&word2, bit)
        case 3: body(&word3, bit)
        default: break
        }
    }
}

import NIOCore
import Testing

@testable import Gateway

@Suite("Bodies that are held")
struct HeldBodyTests {
    /// A body in pieces of so many bytes; long ones, so that they are not put together.
    private func body(_ lengths: [Int]) -> (held: HeldBody, bytes: [UInt8]) {
        var held = HeldBody()
        var bytes: [UInt8] = []
        for length in lengths {
            let piece = (0..<length).map { UInt8(truncatingIfNeeded: bytes.count + $0 * 7) }
            bytes += piece
            held.append(ByteBuffer(bytes: piece))
        }
        return (held, bytes)
    }

    private func bytes(of held: HeldBody) -> [UInt8] { held.pieces.flatMap { Array($0.readableBytesView) } }

    @Test(
        "a range is replaced wherever the borders of pieces lie",
        arguments: [
            0..<1, 0..<5000, 10..<20, 4999..<5000, 4999..<5001, 5000..<5001, 4000..<11_000, 5000..<10_000,
            9_999..<10_000, 14_990..<15_000, 14_999..<15_000, 0..<15_000,
        ])
    func splice(range: Range<Int>) {
        for replacement in [[], Array("x".utf8), Array("a longer name than before".utf8)] {
            var (held, expected) = body([5000, 5000, 5000])
            held.replace(range, with: replacement)
            expected.replaceSubrange(range, with: replacement)
            #expect(bytes(of: held) == expected)
            #expect(held.bytes == expected.count)
            #expect(held.pieces.allSatisfy { $0.readableBytes > 0 })
        }
    }

    @Test("what is appended after a replacement stands behind it")
    func append() {
        var (held, expected) = body([5000, 10])
        held.replace(2..<6, with: [1, 2, 3])
        held.append(ByteBuffer(bytes: [9, 9]))
        expected.replaceSubrange(2..<6, with: [1, 2, 3])
        #expect(bytes(of: held) == expected + [9, 9])
        #expect(held.bytes == expected.count + 2)
    }

    @Test("a range beyond the end changes nothing", arguments: [4..<11, 10..<11, 100..<200])
    func beyond(range: Range<Int>) {
        var (held, expected) = body([10])
        held.replace(range, with: [1])
        #expect(bytes(of: held) == expected && held.bytes == 10)
        expected.removeAll()
        held.removeAll()
        held.replace(0..<1, with: [1])
        #expect(bytes(of: held) == expected && held.bytes == 0)
    }

    @Test("pieces that others hold keep their bytes")
    func copies() {
        let piece = ByteBuffer(string: #"{"model":"a"}"#)
        var held = HeldBody()
        held.append(piece)
        held.replace(9..<12, with: Array(#""bcd""#.utf8))
        #expect(String(buffer: piece) == #"{"model":"a"}"#)
        #expect(String(decoding: bytes(of: held), as: UTF8.self) == #"{"model":"bcd"}"#)
    }
}

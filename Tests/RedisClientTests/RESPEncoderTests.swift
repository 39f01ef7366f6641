import NIOCore
import Testing

@testable import RedisClient

@Suite struct RESPEncoderTests {
    @Test func writesCommandsAsArraysOfStrings() {
        var buffer = ByteBuffer()
        RESPEncoder.write(RedisCommand("SET", ["ключ", .bytes([13, 10, 0]), .integer(-12), 7]), into: &buffer)
        #expect(
            String(buffer: buffer)
                == "*5\r\n$3\r\nSET\r\n$8\r\nключ\r\n$3\r\n\r\n\0\r\n$3\r\n-12\r\n$1\r\n7\r\n")
    }

    @Test(arguments: [
        (1_700_000_000.25, "1700000000.25"), (3, "3"), (-.infinity, "-inf"), (.infinity, "inf"), (0.1, "0.1"),
        (1e300, "1e+300"),
    ])
    func writesNumbersSoThatRedisReadsThemBack(number: Double, text: String) {
        var buffer = ByteBuffer()
        RESPEncoder.write(RedisCommand("X", [.double(number)]), into: &buffer)
        #expect(String(buffer: buffer) == "*2\r\n$1\r\nX\r\n$\(text.utf8.count)\r\n\(text)\r\n")
    }
}

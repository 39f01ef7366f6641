import Basics
import NIOCore
import Testing

@testable import RedisClient

@Suite struct RESPDecoderTests {
    private func decode(_ text: String, maximumBytes: Int = 1 << 20) throws -> [RESPValue] {
        var decoder = RESPDecoder(maximumBytes: maximumBytes)
        decoder.append(ByteBuffer(string: text))
        var values: [RESPValue] = []
        while let value = try decoder.next() { values.append(value) }
        return values
    }

    @Test(arguments: [
        ("+OK\r\n", RESPValue.simple("OK")),
        ("-WRONGTYPE not a list\r\n", .error(RedisServerError(code: "WRONGTYPE", message: "not a list"))),
        ("-something odd\r\n", .error(RedisServerError(code: "ERR", message: "something odd"))),
        (":-9223372036854775808\r\n", .integer(.min)),
        (":+7\r\n", .integer(7)),
        ("$5\r\na\r\nb\0\r\n", .bulk(Array("a\r\nb\0".utf8))),
        ("$0\r\n\r\n", .bulk([])),
        ("$-1\r\n", .null),
        ("*-1\r\n", .null),
        ("_\r\n", .null),
        ("*0\r\n", .array([])),
        ("*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", .array([.integer(1), .array([.bulk([120])])])),
        ("~2\r\n#t\r\n#f\r\n", .set([.boolean(true), .boolean(false)])),
        ("%1\r\n+a\r\n,1.5\r\n", .map([RESPMapEntry(key: .simple("a"), value: .double(1.5))])),
        (",-inf\r\n", .double(-.infinity)),
        ("(34928903284092385094\r\n", .bigNumber("34928903284092385094")),
        ("=7\r\ntxt:abc\r\n", .bulk(Array("abc".utf8))),
        ("!9\r\nERR a\r\nbc\r\n", .error(RedisServerError(code: "ERR", message: "a\r\nbc"))),
        (">2\r\n+invalidate\r\n*1\r\n+k\r\n", .push([.simple("invalidate"), .array([.simple("k")])])),
        ("|1\r\n+ttl\r\n:1\r\n:2\r\n", .integer(2)),
        ("*2\r\n|1\r\n+ttl\r\n:1\r\n:2\r\n|0\r\n:3\r\n", .array([.integer(2), .integer(3)])),
    ])
    func readsEveryTypeOfBothProtocols(text: String, value: RESPValue) throws {
        #expect(try decode(text) == [value])
    }

    @Test(arguments: [
        "?\r\n", "+OK\n", "\r\n", ":\r\n", ":1x\r\n", ":9223372036854775808\r\n", "$-2\r\n", "$1\r\nabc", "*-2\r\n",
        ",x\r\n",
        "#x\r\n", "%-1\r\n", "GET / HTTP/1.1\r\n",
    ])
    func refusesWhatIsNotTheProtocol(text: String) {
        #expect {
            try decode(text)
        } throws: { error in
            if case RESPDecoder.Failure.malformed? = error as? RESPDecoder.Failure { true } else { false }
        }
    }

    @Test(arguments: [
        "$1001\r\n", "*400\r\n", "%200\r\n", "$900\r\n" + String(repeating: "x", count: 900) + "\r\n$900\r\n",
        "*2\r\n$600\r\n" + String(repeating: "x", count: 600) + "\r\n$600\r\n",
        String(repeating: "*1\r\n", count: RESPDecoder.maximumDepth + 1),
    ])
    func stopsAtTheBeginningOfWhatIsTooLong(text: String) throws {
        // The fourth is two values, each short enough.
        if text.hasPrefix("$900") {
            #expect(try decode(text, maximumBytes: 1_000).count == 1)
        } else {
            #expect(throws: RESPDecoder.Failure.tooLong) { try decode(text, maximumBytes: 1_000) }
        }
    }

    @Test func aLineWithoutAnEndIsNotKeptForever() {
        let text = "+" + String(repeating: "x", count: RESPDecoder.maximumLineBytes + 1)
        #expect(throws: RESPDecoder.Failure.malformed("a line without an end")) { try decode(text) }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func readsTheSameHoweverTheBytesAreCut(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let values = (0..<20).map { _ in randomValue(depth: 0, using: &random) }
        var bytes = values.map(encoded).joined()[...]
        var decoder = RESPDecoder(maximumBytes: 1 << 20)
        var read: [RESPValue] = []
        while !bytes.isEmpty {
            let piece = bytes.prefix(Int.random(in: 1...(seed.isMultiple(of: 2) ? 3 : 400), using: &random))
            bytes = bytes.dropFirst(piece.count)
            decoder.append(ByteBuffer(bytes: piece))
            while let value = try decoder.next() { read.append(value) }
        }
        #expect(read == values)
    }

    @Test func anyBytesAreReadOrRefused() {
        var random = SeededGenerator(seed: 7)
        let alphabet = Array("*$+-:>%~|_#,(=!0123456789\r\n\r\n\r\nabc".utf8)
        var refused = 0
        for _ in 0..<2_000 {
            var decoder = RESPDecoder(maximumBytes: 4_096)
            do {
                for _ in 0..<8 {
                    let count = Int.random(in: 1...40, using: &random)
                    decoder.append(
                        ByteBuffer(bytes: (0..<count).map { _ in alphabet.randomElement(using: &random) ?? 0 }))
                    while try decoder.next() != nil {}
                }
            } catch {
                refused += 1
            }
        }
        #expect(refused > 1_000)
    }

    // MARK: Random values

    private func randomValue(depth: Int, using random: inout SeededGenerator) -> RESPValue {
        func several() -> [RESPValue] {
            (0..<Int.random(in: 0...5, using: &random)).map { _ in randomValue(depth: depth + 1, using: &random) }
        }
        switch Int.random(in: 0..<(depth < 4 ? 13 : 9), using: &random) {
        case 0: return .simple("text \(random.next())")
        case 1: return .error(RedisServerError(code: "ERR", message: "no \(random.next())"))
        case 2: return .integer(Int64(bitPattern: random.next()))
        case 3: return .double(random.unit() * 1e6)
        case 4: return .boolean(random.next().isMultiple(of: 2))
        case 5: return .null
        case 6: return .bigNumber("-\(random.next())\(random.next())")
        case 7, 8:
            let count = Int.random(in: 0...600, using: &random)
            return .bulk((0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        case 9: return .array(several())
        case 10: return .set(several())
        case 11: return .push(several())
        default: return .map(several().map { RESPMapEntry(key: .bulk([1, 2]), value: $0) })
        }
    }

    private func encoded(_ value: RESPValue) -> [UInt8] {
        func line(_ text: String) -> [UInt8] { Array((text + "\r\n").utf8) }
        func all(_ sign: String, _ elements: [RESPValue], _ count: Int) -> [UInt8] {
            line("\(sign)\(count)") + elements.flatMap(encoded)
        }
        switch value {
        case .simple(let text): return line("+\(text)")
        case .error(let error): return line("-\(error)")
        case .integer(let number): return line(":\(number)")
        case .double(let number): return line(",\(number)")
        case .boolean(let isTrue): return line(isTrue ? "#t" : "#f")
        case .bigNumber(let digits): return line("(\(digits)")
        case .bulk(let bytes): return line("$\(bytes.count)") + bytes + line("")
        case .null: return line("_")
        case .array(let elements): return all("*", elements, elements.count)
        case .set(let elements): return all("~", elements, elements.count)
        case .push(let elements): return all(">", elements, elements.count)
        case .map(let entries): return all("%", entries.flatMap { [$0.key, $0.value] }, entries.count)
        }
    }
}

import Basics
import Testing

@testable import KVEvents

@Suite struct MessagePackReaderTests {
    @Test(
        arguments: [
            ("00", 0), ("7f", 127), ("cc80", 128), ("cdffff", 65_535), ("ce00010000", 65_536),
            ("cf0000000100000000", 1 << 32),
        ] as [(String, UInt64)])
    func unsignedIntegersOfEveryWidth(_ bytes: String, _ value: UInt64) throws {
        var reader = MessagePackReader(octets(bytes))
        #expect(try reader.unsigned() == value)
        #expect(reader.isAtEnd)
    }

    @Test(
        arguments: [
            ("ff", -1), ("e0", -32), ("d080", -128), ("d18000", -32_768), ("d280000000", -2_147_483_648),
            ("d38000000000000000", Int64.min), ("d07f", 127),
        ] as [(String, Int64)])
    func signedIntegersOfEveryWidth(_ bytes: String, _ value: Int64) throws {
        var reader = MessagePackReader(octets(bytes))
        #expect(Int64(bitPattern: try reader.integerBits()) == value)
        #expect(reader.isAtEnd)
    }

    @Test func otherKinds() throws {
        var reader = MessagePackReader(octets("cb3ff8000000000000ca3fc0000005ffa3616263c40201029203c081a16101"))
        #expect(try reader.number() == 1.5)
        #expect(try reader.number() == 1.5)
        #expect(try reader.number() == 5)
        #expect(try reader.number() == -1)
        #expect(try reader.text() == "abc")
        #expect(Array(try reader.octets()) == [1, 2])
        #expect(try reader.arrayCount() == 2)
        #expect(try !reader.readNil())
        #expect(throws: MessagePackReader.Defect.unexpectedKind) { try reader.text() }
        try reader.skip()
        #expect(try reader.readNil())
        #expect(reader.isMap)
        try reader.skip()
        #expect(reader.isAtEnd)
        #expect(throws: MessagePackReader.Defect.truncated) { try reader.number() }
    }

    @Test(
        arguments: [
            "c0", "c2", "c3", "05", "e5", "a161", "d9026161", "da00026161", "db000000026161", "c40161", "c5000161",
            "c60000000161", "c7010561", "c800010561", "c9000000010561", "d40161", "d5016161", "d60161616161",
            "d7016161616161616161", "d80161616161616161616161616161616161", "ca00000000", "cb0000000000000000", "cc01",
            "cd0001", "ce00000001", "cf0000000000000001", "d001", "d10001", "d200000001", "d30000000000000001",
            "93010203", "dc00020102", "dd000000020102", "820102a16103", "de00010102", "df000000010102",
            "919193a16102c0",
        ])
    func everyKindIsSkippedWholeOrNotAtAll(_ bytes: String) throws {
        let bytes = octets(bytes)
        var reader = MessagePackReader(bytes + [0x01])
        #expect(Array(try reader.skip()) == bytes)
        #expect(try reader.unsigned() == 1)
        for count in 0..<bytes.count {
            var short = MessagePackReader(Array(bytes.prefix(count)))
            #expect(throws: MessagePackReader.Defect.truncated) { try short.skip() }
        }
    }

    @Test func lengthsAreNotBelieved() {
        for head in ["ddffffffff01", "dfffffffff01", "dbffffffff01", "c9ffffffff01", "dcffff", "deffff01"] {
            var reader = MessagePackReader(octets(head))
            #expect(throws: MessagePackReader.Defect.truncated) { try reader.skip() }
        }
        var reader = MessagePackReader([0xC1])
        #expect(throws: MessagePackReader.Defect.unusedByte) { try reader.skip() }
    }

    @Test func depthCostsNothing() throws {
        var reader = MessagePackReader([UInt8](repeating: 0x91, count: 2_000_000) + [0x00])
        #expect(try reader.skip().count == 2_000_001)
    }
}

@Suite struct BatchDecodingTests {
    private func batch(_ bytes: String) throws -> KVEventBatch { try KVEventBatch(messagePack: octets(bytes)) }

    @Test func arraysWithEveryField() throws {
        let batch = try batch(
            "93cb41d954fc40200000939cab426c6f636b53746f7265649201fec0940a0bcd012cce0001117002c0a3475055c09291a673616c742d31c0"
                + "00ae66756c6c5f617474656e74696f6ec094ac426c6f636b52656d6f76656491cfffffffffffffffffa34350550091b0416c6c"
                + "426c6f636b73436c656172656403")
        let stored = StoredBlocks(
            hashes: [1, UInt64(bitPattern: -2)], parent: nil, tokens: [10, 11, 300, 70_000], blockSize: 2,
            extras: [[Array("salt-1".utf8)], []], group: 0)
        let events: [KVEvent] = [
            .stored(stored), .removed(RemovedBlocks(hashes: [.max], tier: .cpu, group: 0)), .cleared,
        ]
        #expect(batch == KVEventBatch(timestampSeconds: 1_700_000_000.5, events: events, dataParallelRank: 3))
    }

    @Test func ofDigestsTheLastEightBytesCount() throws {
        let batch = try batch(
            "92cb00000000000000009197ab426c6f636b53746f72656491c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c"
                + "1d1e1fc4201f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100910501c0a3475055")
        let stored = StoredBlocks(
            hashes: [0x1819_1A1B_1C1D_1E1F], parent: 0x0706_0504_0302_0100, tokens: [5], blockSize: 1)
        #expect(batch == KVEventBatch(timestampSeconds: 0, events: [.stored(stored)]))
    }

    @Test func shorterArraysOfOtherEngines() throws {
        let oldest = try batch(
            "92cb3ff00000000000009296ab426c6f636b53746f7265649107c092010202c092ac426c6f636b52656d6f7665649107")
        let stored = StoredBlocks(hashes: [7], parent: nil, tokens: [1, 2], blockSize: 2)
        #expect(oldest.events == [.stored(stored), .removed(RemovedBlocks(hashes: [7]))])
        let sglang = try batch(
            "92cb3ff00000000000009299ab426c6f636b53746f72656491070692010202c0a3475055c0c094ac426c6f636b52656d6f7665649107aa4350"
                + "555f50494e4e4544c0")
        var child = stored
        child.parent = 6
        #expect(sglang.events == [.stored(child), .removed(RemovedBlocks(hashes: [7], tier: .cpu))])
    }

    @Test func mapsWithTypes() throws {
        let batch = try batch(
            "83a27473cb4000000000000000a66576656e74739389a474797065ab426c6f636b53746f726564ac626c6f636b5f6861736865739109b1706172"
                + "656e745f626c6f636b5f6861736808a9746f6b656e5f6964739101aa626c6f636b5f73697a6501a76c6f72615f696404a66d"
                + "656469756da3637075a96c6f72615f6e616d65a373716caa65787472615f6b6579739193a373716ca3696d6792a269640383"
                + "a474797065ac426c6f636b52656d6f766564ac626c6f636b5f6861736865739109a66d656469756da347505581a474797065"
                + "b0416c6c426c6f636b73436c6561726564b2646174615f706172616c6c656c5f72616e6b01")
        // The adapter's name is in the chain's root already; an extra key that is no string counts by its bytes.
        let stored = StoredBlocks(
            hashes: [9], parent: 8, tokens: [1], blockSize: 1, adapter: "sql", tier: .cpu,
            extras: [[Array("img".utf8), octets("92a2696403")]])
        let events: [KVEvent] = [.stored(stored), .removed(RemovedBlocks(hashes: [9])), .cleared]
        #expect(batch == KVEventBatch(timestampSeconds: 2, events: events, dataParallelRank: 1))
    }

    @Test func whatSaysNothingOfPrefixesIsTold() throws {
        let batch = try batch(
            "92cb3ff0000000000000969cab426c6f636b53746f7265649107c092010202c0a3475055c0c001ae736c6964696e675f77696e646f77cc8097"
                + "ab426c6f636b53746f7265649107c092010202c0a753544f5241474592a34e65770197ab426c6f636b53746f7265649107c0"
                + "9301020302c0a347505597ab426c6f636b53746f7265649107c09192010201c0a347505591b0416c6c426c6f636b73436c65"
                + "61726564")
        #expect(batch.events == [.foreignGroup(1), .cleared])
        // On a disk; of an unknown kind.
        #expect(batch.irrelevantEvents == 2)
        // Three tokens in blocks of two; tokens that are pairs.
        #expect(batch.malformedEvents == 2)
    }

    @Test func damagedBatchesAreErrorsAndNeverMore() {
        let whole = octets(
            "93cb41d954fc40200000939cab426c6f636b53746f7265649201fec0940a0bcd012cce0001117002c0a3475055c09291a673616c742d31c0"
                + "00ae66756c6c5f617474656e74696f6ec094ac426c6f636b52656d6f76656491cfffffffffffffffffa34350550091b0416c6c"
                + "426c6f636b73436c656172656403")
        for count in 0..<whole.count {
            #expect(throws: MessagePackReader.Defect.self) { try KVEventBatch(messagePack: Array(whole.prefix(count))) }
        }
        var random = SeededGenerator(seed: 7)
        var decoded = 0
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if let batch = try? KVEventBatch(messagePack: bytes) {
                decoded += 1
                #expect(batch.events.count + batch.malformedEvents + batch.irrelevantEvents <= whole.count)
            }
            let noise = (0..<Int.random(in: 0..<64, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            _ = try? KVEventBatch(messagePack: noise)
        }
        #expect(decoded > 1000)
    }
}

/// Bytes from their hexadecimal form.
func octets(_ text: String) -> [UInt8] {
    let digits = Array(text.utf8)
    return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
        UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
    }
}

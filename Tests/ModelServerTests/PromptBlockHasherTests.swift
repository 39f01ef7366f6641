import Basics
import Testing

@testable import ModelServer

struct PromptBlockHasherTests {
    private func hashes(_ body: String, piece: Int = .max) -> [UInt64] {
        var hasher = PromptBlockHasher(blockSizeTokens: 16)
        var bytes = Array(body.utf8)[...]
        while !bytes.isEmpty {
            Array(bytes.prefix(piece)).withUnsafeBytes { hasher.consume($0) }
            bytes = bytes.dropFirst(piece)
        }
        hasher.finish()
        return hasher.hashes
    }

    private func prompt(_ text: String) -> String { #"{"model":"a","prompt":"\#(text)"}"# }

    @Test func aBlockIsSixtyFourBytesOfText() {
        for (length, blocks) in [(63, 0), (64, 1), (65, 1), (127, 1), (128, 2), (640, 10)] {
            #expect(hashes(prompt(String(repeating: "x", count: length))).count == blocks)
        }
    }

    @Test func equalBeginningsHaveEqualHashesUpToTheDifference() {
        let beginning = String(repeating: "once upon a time ", count: 20)
        let one = hashes(prompt(beginning + String(repeating: "a", count: 200)))
        let other = hashes(prompt(beginning + String(repeating: "b", count: 200)))
        #expect(one.prefix(5) == other.prefix(5))
        #expect(one.count == other.count)
        #expect(zip(one, other).dropFirst(5).allSatisfy { $0 != $1 }, "each hash depends on all before it")
    }

    @Test func onlyThePromptCounts() {
        let text = String(repeating: "x", count: 200)
        let body = #"{"model":"a","messages":[{"role":"user","content":"\#(text)"}],"temperature":0.5}"#
        let same =
            #"{"user":"somebody else","metadata":{"prompt":"\#(text)"},"model":"b","#
            + #""messages": [ {"role": "user", "content": "\#(text)"} ], "seed": 12345678901234567890}"#
        #expect(hashes(body).count == 3)
        #expect(hashes(same) == hashes(body))
    }

    @Test func sixteenTokenIDsAreABlock() {
        func ids(_ range: Range<Int>) -> String { #"{"prompt":[\#(range.map(String.init).joined(separator: ", "))]}"# }
        #expect(hashes(ids(100..<115)).isEmpty)
        #expect(hashes(ids(100..<116)).count == 1)
        #expect(hashes(ids(1..<1001)).count == 62)
        #expect(hashes(ids(1..<40)).first == hashes(ids(1..<50)).first)
        #expect(hashes(ids(1..<40)).first != hashes(ids(2..<50)).first)
    }

    @Test func itDoesNotMatterHowTheBodyIsCut() {
        let text = #"with \"quotes\", \\ and {brackets] "# + String(repeating: "é", count: 100)
        let body = #"{"messages":[{"role":"system","content":"\#(text)"},{"role":"user","content":"1, 2"}]}"#
        for piece in [1, 2, 3, 7, 50] { #expect(hashes(body, piece: piece) == hashes(body)) }
    }

    @Test func nonsenseDoesNotHarm() {
        var generator = SeededGenerator(seed: 9)
        let alphabet = Array(#"{}[]",:\ab01 "#.utf8)
        for _ in 0..<300 {
            var hasher = PromptBlockHasher(blockSizeTokens: 16)
            let bytes = (0..<400).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
            bytes.withUnsafeBytes { hasher.consume($0) }
            hasher.finish()
            #expect(hasher.hashes.count <= 400 * 4 / 64)
        }
    }
}

import Basics
import Testing

@testable import InferenceAPI

/// The chain of a body's prompt.
func chain(_ body: String, cuts: [Int] = []) -> AnswerHasher { chain(Array(body.utf8), cuts: cuts) }

func chain(_ body: [UInt8], cuts: [Int] = []) -> AnswerHasher {
    var scanner = RequestBodyScanner(hashesPrompt: true)
    forEachPiece(of: body, cuts: cuts) { scanner.consume($0) }
    scanner.finish()
    return scanner.promptChain
}

/// The hashes of a body's prompt.
func hashes(_ body: String, cuts: [Int] = []) -> [UInt64] { chain(body, cuts: cuts).prompt.hashes }

/// How many first blocks two bodies share.
func shared(_ first: String, _ second: String) -> Int {
    zip(hashes(first), hashes(second)).prefix { $0 == $1 }.count
}

/// Text of so many bytes that does not repeat.
func prose(_ bytes: Int, seed: UInt64 = 1) -> String {
    var generator = SeededGenerator(seed: seed)
    let letters = Array("abcdefghijklmnopqrstuvwxyz    ")
    return String((0..<bytes).map { _ in letters.randomElement(using: &generator) ?? " " })
}

@Suite struct PromptChainTests {
    static let text = prose(1000)
    static let plain = #"{"model":"m","messages":[{"role":"user","content":"\#(text)"}]}"#

    /// The construction as documented, written down plainly: the text, the mark of its end, the mark of the message's
    /// end, the hash of the role; blocks mixed with the role; chained from the model's name and the section's number.
    @Test func theChainIsWhatIsDocumented() {
        func hash(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { BlockHash.hash($0) } }
        let role = hash(Array("user".utf8))
        var rendered = Array(Self.text.utf8) + [0xFF, 0x00, 0xFF, 0x03]
        for byte in 0..<8 as Range<UInt64> { rendered.append(UInt8(truncatingIfNeeded: role >> (8 * byte))) }
        var link = BlockHash.mix(hash(Array("m".utf8)), 2)
        var expected: [UInt64] = []
        for start in stride(from: 0, through: rendered.count - 256, by: 256) {
            let block = rendered[start..<(start + 256)].withUnsafeBytes { $0.baseAddress.map(BlockHash.hash(block:)) }
            link = BlockHash.mix(link, BlockHash.mix(block ?? 0, role))
            expected.append(link)
        }
        #expect(expected.count == 3)
        let blocks = chain(Self.plain).prompt
        #expect(blocks == PromptBlocks(hashes: expected, unitsPerBlock: 256, units: 1012))
    }

    @Test func formattingDoesNotMatter() {
        let text = Self.text
        let escaped = text.unicodeScalars.map { $0 == "e" ? "\\u0065" : $0 == "o" ? "\\u006F" : String($0) }.joined()
        let others = [
            " {\n\t\"messages\" : [ { \"content\" :\r\n\"\(text)\", \"role\":\"user\" } ] , \"model\":\"m\" } ",
            #"{"messages":[{"content":"\#(escaped)","role":"\u0075ser"}],"m\u006fdel":"m","temperature":0.5}"#,
            #"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\#(text)"}]}],"n":1}"#,
            #"{"model":"m","messages":[{"role":"user","content":[{"text":"\#(text)","cache_control":{"type":"ephemeral"}}]}]}"#,
            #"{"messages":[{"role":"x","content":"old"}],"messages":[{"role":"user","content":"\#(text)","name":null}],"model":"m"}"#,
        ]
        for other in others { #expect(chain(other).prompt == chain(Self.plain).prompt, "\(other)") }
    }

    @Test(arguments: [
        #"é漢字😀\"\\\/\b\f\n\r\t"#, #"\u00e9\u6f22\u5b57\ud83d\ude00\u0022\u005c\u002f\u0008\u000c\u000a\u000d\u0009"#,
        #"\u00E9漢\u5B57😀\"\u005C/\b\u000C\n\u000d\t"#,
    ])
    func escapesAreTheirCharacters(text: String) {
        func body(_ text: String) -> String { #"{"prompt":"\#(String(repeating: text, count: 60))"}"# }
        let whole = hashes(body(#"é漢字😀\"\\\/\b\f\n\r\t"#))
        #expect(whole.count == 19 * 60 / 256)
        for step in [1, 2, 3, 5, 7, 64] {
            let bytes = body(text).utf8.count
            #expect(hashes(body(text), cuts: Array(stride(from: 1, to: bytes, by: step))) == whole)
        }
    }

    @Test(arguments: [#"\ud83dx"#, #"\ude00x"#, #"\ud83d\nx"#, #"\ud83d\ud83d\ude00"#, #"x\ud83d"#])
    func halvesOfPairsAreReplaced(text: String) {
        let replaced =
            switch text {
            case #"\ud83dx"#, #"\ude00x"#: "\u{FFFD}x"
            case #"\ud83d\nx"#: "\u{FFFD}\\nx"
            case #"x\ud83d"#: "x\u{FFFD}"
            default: "\u{FFFD}😀"
            }
        let rest = prose(600)
        let expected = hashes(#"{"system":"\#(replaced)","prompt":"\#(rest)"}"#)
        let body = #"{"system":"\#(text)","prompt":"\#(rest)"}"#
        #expect(expected.count == 3)
        for cut in 0..<40 { #expect(hashes(body, cuts: [cut]) == expected) }
    }

    @Test func whatDistinguishesPromptsChangesTheChainFromThere() {
        let text = Self.text
        func message(_ role: String, _ content: String) -> String { #"{"role":"\#(role)","content":"\#(content)"}"# }
        func body(_ messages: String..., rest: String = #","model":"m""#) -> String {
            "{\"messages\":[" + messages.joined(separator: ",") + "]" + rest + "}"
        }
        let base = body(message("user", text))
        let differing = [
            body(message("system", text)), body(message("user", text), rest: #","model":"n""#),
            body(message("user", text), rest: ""), body(message("user", "x" + text)),
            body(message("user", text), rest: #","model":"m","cache_salt":"s""#),
            body(message("user", text), rest: #","cache_salt":"t","model":"m""#),
            body(message("user", text), rest: #","model":"m","tools":[{"name":"f"}]"#),
            body(message("user", text), rest: #","model":"m","tools":[{"name":"f","strict":true}]"#),
            body(message("user", text), rest: #","model":"m","tools":[{"name":"f","strict":false}]"#),
            body(message("user", text), rest: #","model":"m","tools":[{"name":"f","minimum":1}]"#),
            body(message("user", text), rest: #","model":"m","tools":[{"name":"f","minimum":2}]"#),
            body(message("user", text), rest: #","model":"m","system":"s""#),
            #"{"model":"m","prompt":"\#(text)"}"#, #"{"model":"m","input":"\#(text)"}"#,
            body(message("user", ""), message("user", text)),
        ]
        let firsts = ([base] + differing).map { hashes($0)[0] }
        #expect(Set(firsts).count == firsts.count)
        // Further on: two messages are not one, and their order counts.
        let two = body(message("user", text), message("assistant", text), message("user", text))
        #expect(shared(two, base) == 3)
        #expect(shared(two, body(message("user", text), message("assistant", text), message("tool", text))) == 7)
        #expect(shared(two, body(message("user", text), message("assistant", text + text))) == 7)
        #expect(shared(two, body(message("user", text), message("assistant", text + "x"))) == 7)
        #expect(shared(two, body(message("user", text + text))) < 4)
    }

    @Test func commonBeginningsAreShared() {
        let tools = #""tools":[{"type":"function","function":{"name":"f","description":"\#(prose(700, seed: 9))"}}]"#
        func body(_ question: String, tools: String, system: String) -> String {
            #"{"messages":[{"role":"user","content":"\#(question)"}],\#(tools),"system":"\#(system)","model":"m"}"#
        }
        let system = prose(1000, seed: 8)
        let first = body(prose(600, seed: 2), tools: tools, system: system)
        let second = body(prose(600, seed: 3), tools: tools, system: system)
        // 3 blocks of tools (the last one not full), 4 of the system prompt (the last one not full).
        #expect(shared(first, second) == 7)
        #expect(chain(first).prompt.hashes.count == 9)
        #expect(chain(first).prompt.units == 7 * 256 + 612)
        let reordered =
            #"{"model":"m",\#(tools),"system":"\#(system)","messages":[{"role":"user","content":"\#(prose(600, seed: 2))"}]}"#
        #expect(hashes(reordered) == hashes(first))
    }

    @Test func mediaDistinguishPrompts() {
        func body(_ key: String, _ url: String) -> String {
            #"{"messages":[{"role":"user","content":[{"type":"\#(key)","\#(key)":{"url":"\#(url)","detail":"low"}},"#
                + #"{"type":"text","text":"\#(prose(500))"}]}]}"#
        }
        let first = body("image_url", "data:image/png;base64," + prose(5000, seed: 4))
        let second = body("image_url", "data:image/png;base64," + prose(4999, seed: 4) + "!")
        #expect(shared(first, second) == 0)
        // An image counts as 576 tokens of four bytes, whatever its size.
        #expect(chain(first).prompt.units == 576 * 4 + 2 + 500 + 2 + 10)
        #expect(hashes(first).count == 11)
        #expect(shared(first, body("image_url", "data:image/png;base64," + prose(5000, seed: 4))) == 11)
    }

    @Test func tokenIDsAreHashedAsSuch() {
        func list(_ ids: Range<Int>) -> String { "[" + ids.map(String.init).joined(separator: ", ") + "]" }
        let ids = list(1000..<1200)
        let blocks = chain(#"{"prompt":\#(ids)}"#).prompt
        #expect(blocks.hashes.count == 3)
        #expect(blocks.units == 800)
        #expect(shared(#"{"prompt":\#(ids)}"#, #"{"prompt":\#(list(1000..<1130))}"#) == 2)
        #expect(shared(#"{"prompt":\#(ids)}"#, #"{"prompt":\#(list(1001..<1200))}"#) == 0)
        for cut in [12, 100, 555] { #expect(hashes(#"{"prompt":\#(ids)}"#, cuts: [cut]) == blocks.hashes) }
        // Text of the same bytes is another prompt.
        let text = (1000..<1200).map { id in
            (0..<4).map {
                "\\u00" + (($0 == 0 ? id & 0xFF : $0 == 1 ? id >> 8 : 0) < 16 ? "0" : "")
                    + String($0 == 0 ? id & 0xFF : $0 == 1 ? id >> 8 : 0, radix: 16)
            }.joined()
        }
        #expect(shared(#"{"prompt":\#(ids)}"#, #"{"prompt":"\#(text.joined())"}"#) == 0)
    }

    @Test func ofSeveralPromptsTheFirstIsHashed() {
        let text = Self.text
        let one = hashes(#"{"prompt":"\#(text)"}"#)
        #expect(one.count == 3)
        #expect(hashes(#"{"prompt":["\#(text)"]}"#) == one)
        #expect(hashes(#"{"prompt":["\#(text)","\#(text)", [1]]}"#) == one)
        #expect(hashes(#"{"input":["\#(text)","more"]}"#) == hashes(#"{"input":"\#(text)"}"#))
        let ids = "[" + (0..<200).map(String.init).joined(separator: ",") + "]"
        #expect(hashes(#"{"prompt":[\#(ids)]}"#) == hashes(#"{"prompt":\#(ids)}"#))
        #expect(hashes(#"{"prompt":[\#(ids),\#(ids)]}"#) == hashes(#"{"prompt":\#(ids)}"#))
    }

    @Test func theNumberOfBlocksIsBounded() {
        let text = prose(3_000_000)
        let body = #"{"system":"\#(prose(1000))","prompt":"\#(text)"}"#
        let blocks = chain(body).prompt
        #expect(blocks.hashes.count == 8192)
        #expect(blocks.units == 1024 + 3_000_000)
        #expect(hashes(body, cuts: Array(stride(from: 1000, to: 3_000_000, by: 99_999))) == blocks.hashes)
    }

    /// What is cached of one model is of no use to another, whatever the request called it.
    @Test func aRewrittenRequestIsHashedAsOneThatNamesItsTarget() {
        func scanned(_ body: String) -> RequestBodyScanner {
            var scanner = RequestBodyScanner(hashesPrompt: true)
            Array(body.utf8).withUnsafeBytes { scanner.consume($0) }
            scanner.finish()
            return scanner
        }
        let text = prose(2000)
        let alias = scanned(#"{"model":"alias","prompt":"\#(text)"}"#)
        let target = scanned(#"{"model":"target","prompt":"\#(text)"}"#)
        #expect(alias.promptChain(model: "target").prompt == target.promptBlocks)
        #expect(alias.promptBlocks.hashes != target.promptBlocks.hashes)
    }

    @Test func nothingIsHashedUnlessAskedForOrOfBadBodies() {
        var scanner = RequestBodyScanner()
        Array(Self.plain.utf8).withUnsafeBytes { scanner.consume($0) }
        #expect(scanner.promptBlocks == .unknown)
        #expect(chain("{}").prompt == .unknown)
        #expect(chain(String(Self.plain.dropLast())).prompt == .unknown)
    }
}

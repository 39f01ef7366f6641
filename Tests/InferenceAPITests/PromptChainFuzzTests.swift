import Basics
import Testing

@testable import InferenceAPI

/// Random documents, valid and damaged, in random pieces: the same chain as in one piece, the same facts as without.
@Suite struct PromptChainFuzzTests {
    /// Long strings in the places that are hashed.
    private static func body(_ random: inout RandomBody) -> String {
        func text(_ random: inout RandomBody) -> String {
            let pieces = (0..<random.below(30)).map { _ in String(random.string().dropFirst().dropLast()) }
            return "\"" + pieces.joined(separator: String(repeating: "ab ", count: random.below(40))) + "\""
        }
        var members = ["\"model\":\(random.string())"]
        let keys = ["messages", "prompt", "input", "system", "tools", "instructions", "cache_salt", "prompt", "tools"]
        for key in keys.shuffled(using: &random.generator) where random.below(2) == 0 {
            let parts = (0..<random.below(4)).map { _ in
                let content = random.pick([
                    text(&random), "[{\"type\":\"text\",\"text\":\(text(&random))},\(random.value(depth: 2))]",
                    "[{\"image_url\":{\"url\":\(text(&random))}}]", "null",
                ])
                return random.pick([
                    "{\"role\":\(random.string()),\"content\":\(content)}",
                    "{\"content\":\(content),\"x\":\(random.value(depth: 2)),\"role\":\"user\"}", text(&random),
                    random.value(depth: 1), "[1,22 ,333]",
                ])
            }
            let value = random.pick([text(&random), "[\(parts.joined(separator: ","))]", random.value(depth: 0)])
            members.append("\"\(key)\":\(random.space())\(value)")
        }
        return "{" + members.shuffled(using: &random.generator).joined(separator: ",") + "}"
    }

    @Test(arguments: 0..<30 as Range<UInt64>)
    func cutsChangeNothing(seed: UInt64) {
        var random = RandomBody(generator: SeededGenerator(seed: seed &+ 7000))
        for round in 0..<30 {
            var body = Array(Self.body(&random).utf8)
            if round % 3 == 2 {
                for _ in 0...random.below(3) {
                    body[random.below(body.count)] = random.pick(Array("{}[]\",:\\0u".utf8) + [0x00, 0xFF, 0xC3])
                }
            }
            let whole = chain(body)
            let plain = scan(body)
            if round % 3 != 2 { #expect(plain.malformed == nil) }
            for pieces in [2, 5, 50] {
                let cuts = (0..<pieces).map { _ in random.below(body.count + 1) }.sorted()
                var scanner = RequestBodyScanner(hashesPrompt: true)
                forEachPiece(of: body, cuts: cuts) { scanner.consume($0) }
                scanner.finish()
                #expect(scanner.promptBlocks == whole.prompt)
                #expect(scanner.facts == plain.facts)
                #expect(scanner.malformed == plain.malformed)
            }
        }
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func damagedAnswersAreBorne(seed: UInt64) {
        var random = RandomBody(generator: SeededGenerator(seed: seed))
        let request = AnswerChainTests.firstTurn
        for _ in 0..<30 {
            let event = #"{"choices":[{"index":0,"delta":{"content":\#(random.string())}},\#(random.value(depth: 1))]}"#
            var bytes = Array(String(repeating: "data: \(event)\n\n", count: 5).utf8)
            for _ in 0...random.below(4) {
                bytes[random.below(bytes.count)] = random.pick(Array("{}[]\",:\\0u\n".utf8) + [0xFF])
            }
            let text = String(decoding: bytes, as: UTF8.self)
            let whole = AnswerChainTests.scan(text, as: .eventStream, after: request)
            let cuts = (0..<9).map { _ in random.below(text.utf8.count + 1) }.sorted()
            let parts = AnswerChainTests.scan(text, as: .eventStream, after: request, cuts: cuts)
            #expect(parts.blocks == whole.blocks)
            #expect(parts.outputEvents == whole.outputEvents)
        }
    }
}

import Basics
import Testing

@testable import InferenceAPI

/// An answer's text continues the prompt's chain so that the next turn's prompt matches through it.
@Suite struct AnswerChainTests {
    static let question = prose(700, seed: 2)
    static let answer = "Größe 😀 \"quoted\"\n" + prose(900, seed: 3)

    static func json(_ text: String) -> String {
        var bytes: [UInt8] = []
        JSONText.appendString(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    static func message(_ role: String, _ text: String) -> String {
        #"{"role":"\#(role)","content":\#(json(text))}"#
    }

    static func chat(_ messages: String...) -> String {
        #"{"model":"m","messages":["# + messages.joined(separator: ",") + "]}"
    }

    static let firstTurn = chat(message("user", question))
    static let secondTurn = chat(
        message("user", question), #"{"content":\#(json(answer)),"refusal":null,"role":"assistant","tool_calls":null}"#,
        message("user", prose(900, seed: 4)))

    /// The events of a streamed answer, in deltas of random length.
    static func stream(_ answer: String, seed: UInt64, delta: (String) -> String) -> String {
        var generator = SeededGenerator(seed: seed)
        var text = #"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"# + "\n\n"
        var rest = answer.unicodeScalars[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...9, using: &generator))
            rest = rest.dropFirst(piece.count)
            text += "data: " + delta(json(String(String.UnicodeScalarView(piece)))) + "\n\n"
        }
        return text + #"data: {"choices":[],"usage":{"prompt_tokens":9,"prompt_tokens_details":null}}"#
            + "\n\ndata: [DONE]\n\n"
    }

    static func scan(
        _ text: String, as body: ResponseScanner.Body, after request: String, cuts: [Int] = []
    ) -> ResponseScanner {
        var scanner = ResponseScanner(body, continuing: chain(request))
        forEachPiece(of: Array(text.utf8), cuts: cuts) { scanner.consume($0) }
        return scanner
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func theNextTurnMatchesThroughTheAnswer(seed: UInt64) {
        let stream = Self.stream(Self.answer, seed: seed) { #"{"choices":[{"index":0,"delta":{"content":\#($0)}}]}"# }
        var generator = SeededGenerator(seed: seed)
        let cuts = (0..<20).map { _ in Int.random(in: 0...stream.utf8.count, using: &generator) }.sorted()
        let blocks = Self.scan(stream, as: .eventStream, after: Self.firstTurn, cuts: cuts).blocks
        let next = chain(Self.secondTurn).prompt
        // 712 bytes of question and marks, and the answer: all full blocks of both.
        let full = (712 + Self.answer.utf8.count) / 256
        #expect(chain(Self.firstTurn).prompt.hashes.count == 2)
        #expect(blocks.hashes.count == full)
        #expect(blocks.units == 712 + Self.answer.utf8.count)
        #expect(blocks.hashes == Array(next.hashes.prefix(full)))
        #expect(next.hashes.count > full)
    }

    @Test func anAnswerInOnePieceIsContinuedToo() {
        let body = #"{"choices":[{"index":0,"message":{"role":"assistant","content":\#(Self.json(Self.answer))}}]}"#
        let blocks = Self.scan(body, as: .json, after: Self.firstTurn, cuts: [70, 99, 500]).blocks
        #expect(blocks.hashes.count == 6)
        #expect(blocks.hashes == Array(hashes(Self.secondTurn).prefix(6)))
    }

    @Test func aCompletionContinuesItsPromptAsText() {
        let body = Self.stream(Self.answer, seed: 1) { #"{"choices":[{"text":\#($0),"index":0}]}"# }
        let blocks = Self.scan(body, as: .eventStream, after: #"{"prompt":"\#(Self.question)"}"#).blocks
        let next = hashes(#"{"prompt":\#(Self.json(Self.question + Self.answer + prose(300)))}"#)
        let full = (700 + Self.answer.utf8.count) / 256
        #expect(blocks.hashes == Array(next.prefix(full)))
        #expect(blocks.hashes.count == full)
    }

    @Test func onlyTheFirstChoiceCounts() {
        let expected = Self.scan(
            Self.stream(Self.answer, seed: 1) { #"{"choices":[{"index":0,"delta":{"content":\#($0)}}]}"# },
            as: .eventStream, after: Self.firstTurn
        ).blocks
        let streams = [
            #"{"choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":TEXT}}]}"#,
            #"{"choices":[{"delta":{"content":TEXT}},{"delta":{"content":"no"}}]}"#,
            #"{"choices":[{"index":0,"delta":{"content":TEXT},"logprobs":{"content":[{"token":"no","index":3}]}}]}"#,
            #"{"choices":[{"index":0,"delta":{"content":TEXT,"refusal":"no","tool_calls":[{"content":"no"}]}}]}"#,
            #"{"content":"no","delta":{"content":"no"},"choices":[{"index":0,"delta":{"content":TEXT}}]}"#,
        ]
        for (number, event) in streams.enumerated() {
            let parts = event.split(separator: "TEXT", omittingEmptySubsequences: false)
            let stream = Self.stream(Self.answer, seed: 2) { String(parts[0]) + $0 + String(parts[1]) }
            #expect(
                Self.scan(stream, as: .eventStream, after: Self.firstTurn).blocks == expected, "stream \(number)")
        }
    }

    @Test(arguments: [
        #"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
        #"{"choices":[{"index":0,"delta":{"reasoning":"hm"}}]}"#,
        #"{"choices":[{"delta":{"content":"x"},"index":1}]}"#,
    ])
    func whatWillNotComeBackEndsTheChain(event: String) {
        let stream =
            "data: \(event)\n\n"
            + Self.stream(Self.answer, seed: 1) { #"{"choices":[{"index":0,"delta":{"content":\#($0)}}]}"# }
        let blocks = Self.scan(stream, as: .eventStream, after: Self.firstTurn).blocks
        #expect(blocks == chain(Self.firstTurn).prompt)
    }

    @Test func promptsThatTextCannotContinueStayAsTheyAre() {
        let stream = Self.stream(Self.answer, seed: 1) { #"{"choices":[{"index":0,"text":\#($0)}]}"# }
        let ids = "[" + (0..<200).map(String.init).joined(separator: ",") + "]"
        for request in ["{}", #"{"prompt":\#(ids)}"#, #"{"prompt":["\#(Self.question)","b"]}"#, "nonsense"] {
            let blocks = Self.scan(stream, as: .eventStream, after: request).blocks
            #expect(blocks == chain(request).prompt, "\(request)")
        }
        #expect(ResponseScanner(.json).blocks == .unknown)
    }

    @Test func theBoundHoldsForPromptAndAnswerTogether() {
        let request = #"{"prompt":"\#(prose(8191 * 256))"}"#
        let stream = Self.stream(prose(3000, seed: 5), seed: 1) { #"{"choices":[{"index":0,"text":\#($0)}]}"# }
        let scanner = Self.scan(stream, as: .eventStream, after: request)
        #expect(scanner.blocks.hashes.count == 8192)
        #expect(scanner.blocks.units == 8191 * 256 + 3000)
    }

    @Test(arguments: [
        (#"{"usage":{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":0}}}"#, true),
        (#"{"usage":{"input_tokens":5,"cache_read_input_tokens":0}}"#, true),
        (#"{"usage":{"prompt_tokens":5,"prompt_tokens_details":null}}"#, false),
        (#"{"usage":{"prompt_tokens":5}}"#, false),
    ])
    func aReportedZeroIsToldFromSilence(body: String, reports: Bool) {
        #expect(scanResponse(body, as: .json).reportsCachedTokens == reports)
    }
}

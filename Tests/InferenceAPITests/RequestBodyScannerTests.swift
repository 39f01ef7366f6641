import Basics
import Testing

@testable import InferenceAPI

@Suite struct RequestBodyScannerTests {
    static let chat = """
        {"model": "llama-\\u0033-\\ud83d\\ude00é", "messages": [{"role":"system","content":"Be brief.\\n"},
        {"role":"user","content":[{"type":"text","text":"Qu'est-ce \\"ça\\"?"},{"type":"image_url",
        "image_url":{"url":"data:image/png;base64,AAAABBBBCCCC"}}]}], "stream":true,
        "stream_options":{"include_usage":true,"x":[1,{"y":null}]}, "max_tokens": 12, "max_completion_tokens" :34,
        "priority":-7,"n":2,"ignore_eos":true,"temperature":0.7e-1,"tools":[{"name":"f"}], "prompt":[[1,22],[333]] }
        """

    @Test func findsTheFactsOfAChatRequest() {
        let scanner = scan(Self.chat)
        #expect(scanner.malformed == nil)
        #expect(scanner.isComplete)
        let facts = scanner.facts
        #expect(facts.model == "llama-3-😀é")
        #expect(facts.stream)
        #expect(facts.includeUsage)
        #expect(facts.maxOutputTokens == 34)
        #expect(facts.priority == -7)
        #expect(facts.choices == 2)
        #expect(facts.ignoreEOS)
        #expect(facts.mediaItems == 1)
        #expect(facts.promptTokenIDs == 3)
        let text = ["system", "Be brief.\n", "user", "text", "Qu'est-ce \"ça\"?", "image_url", "name", "f"]
        #expect(facts.promptBytes == text.map(\.utf8.count).reduce(0, +))
        #expect(facts.totalBytes == Self.chat.utf8.count)
        #expect(facts.estimatedPromptTokens == 3 + (facts.promptBytes + 3) / 4 + 576)
    }

    @Test func aCutAtAnyByteChangesNothing() {
        let whole = scan(Self.chat)
        for cut in 0...Self.chat.utf8.count {
            let parts = scan(Self.chat, cuts: [cut])
            #expect(parts.facts == whole.facts, "cut at \(cut)")
            #expect(parts.malformed == nil, "cut at \(cut)")
        }
        #expect(scan(Self.chat, cuts: Array(1..<Self.chat.utf8.count)).facts == whole.facts)
    }

    @Test func theModelRangeSplicesInAnotherName() throws {
        let range = try #require(scan(Self.chat).facts.modelRange)
        var body = Array(Self.chat.utf8)
        #expect(String(decoding: body[range], as: UTF8.self) == "\"llama-\\u0033-\\ud83d\\ude00é\"")
        body.replaceSubrange(range, with: Array("\"other\"".utf8))
        #expect(scan(body).facts.model == "other")
    }

    @Test(
        arguments: [
            (#"{"model":"a","model":"b"}"#, "b"), (#"{"model":"a","model":null}"#, nil), (#"{"model":""}"#, nil),
            (#"{"x":{"model":"a"}}"#, nil), (#"{"model":["a"]}"#, nil), (#"{"mod\u0065l":"a"}"#, "a"),
            (#"{"model":"\ud83d"}"#, "\u{FFFD}"), (#"{"model":"\ude00x"}"#, "\u{FFFD}x"),
            (#"{"model":"\ud83d\n"}"#, "\u{FFFD}\n"), (#"{"modelx":"a"}"#, nil), ("{}", nil),
        ] as [(String, String?)])
    func theModelIsTheLastNonEmptyStringUnderItsKey(body: String, model: String?) {
        #expect(scan(body).facts.model == model)
        #expect(scan(body).malformed == nil)
        #expect((scan(body).facts.modelRange == nil) == (model == nil))
    }

    @Test(
        arguments: [
            (#"{"max_tokens":5}"#, 5), (#"{"max_output_tokens":6}"#, 6), (#"{"max_tokens":-5}"#, nil),
            (#"{"max_tokens":5.0}"#, nil), (#"{"max_tokens":"5"}"#, nil), (#"{"max_tokens":1e2}"#, nil),
            (#"{"max_tokens":5,"max_tokens":null}"#, nil), (#"{"max_tokens":9223372036854775807}"#, Int.max),
            (#"{"max_tokens":9223372036854775808}"#, nil), (#"{"max_tokens":5,"max_completion_tokens":-1}"#, 5),
            (#"{"max_tokens":0,"max_output_tokens":3}"#, 0), (#"{"x":{"max_tokens":5}}"#, nil),
        ] as [(String, Int?)])
    func outputLimitsMustBeNonNegativeIntegers(body: String, limit: Int?) {
        #expect(scan(body).facts.maxOutputTokens == limit)
        #expect(scan(body, cuts: Array(1..<body.utf8.count)).facts.maxOutputTokens == limit)
    }

    @Test(arguments: [
        (#"{"stream":true,"stream":false}"#, false, false), (#"{"stream":1}"#, false, false),
        (#"{"stream_options":{"include_usage":true}}"#, false, true),
        (#"{"stream_options":{"include_usage":true},"stream_options":null}"#, false, false),
        (#"{"stream_options":{"a":{"include_usage":true}}}"#, false, false),
        (#"{"stream_options":{"include_usage":[true]}}"#, false, false),
        (#"{"stream_options":{"include_usage":false,"b":true},"stream":true}"#, true, false),
    ])
    func switchesAreReadWhereTheyBelong(body: String, stream: Bool, includeUsage: Bool) {
        #expect(scan(body).facts.stream == stream)
        #expect(scan(body).facts.includeUsage == includeUsage)
    }

    @Test(arguments: [
        (#"{"prompt":"abcd"}"#, 4, 0), (#"{"prompt":["ab","cd"]}"#, 4, 0), (#"{"prompt":[1,2,3]}"#, 0, 3),
        (#"{"prompt":[[1,2],[3]]}"#, 0, 3), (#"{"prompt":[[[1]]]}"#, 0, 0), (#"{"prompt":{"a":[1]}}"#, 0, 0),
        (#"{"prompt":"abcd","prompt":[1]}"#, 0, 1), (#"{"prompt":[1.5,-1,2]}"#, 0, 2), (#"{"prompt":7}"#, 0, 0),
        (#"{"input":"abcd","instructions":"ef","system":"g"}"#, 7, 0), (#"{"user":"abcd","seed":[1]}"#, 0, 0),
        (#"{"prompt":"\u00e9\u4f60\ud83d\ude00\n\\"}"#, 11, 0),
        (#"{"tools":[{"url":"x"}]}"#, 4, 0),
    ])
    func promptsAreMeasured(body: String, bytes: Int, tokenIDs: Int) {
        #expect(scan(body).facts.promptBytes == bytes)
        #expect(scan(body).facts.promptTokenIDs == tokenIDs)
    }

    @Test func mediaIsCountedByItemNotBySize() {
        let image = String(repeating: "A", count: 100_000)
        let body = #"{"input":[{"type":"t","image_url":"\#(image)"},{"input_audio":{"data":"\#(image)"}}]}"#
        #expect(scan(body).facts.mediaItems == 2)
        #expect(scan(body).facts.promptBytes == 1)
    }

    @Test(arguments: [
        ("", JSONDefect.Kind.truncated, 0), ("  ", .truncated, 2), ("[1]", .notAnObject, 0), ("\"a\"", .notAnObject, 0),
        (#"{"a":1"#, .truncated, 6), (#"{"a":"x"#, .truncated, 7), (#"{"a":1}}"#, .trailingBytes, 7),
        (#"{"a":1} x"#, .trailingBytes, 8), (#"{"a":1]"#, .unexpectedByte(UInt8(ascii: "]")), 6),
        (#"{"a":[1}"#, .unexpectedByte(UInt8(ascii: "}")), 7), (#"{"a" 1}"#, .unexpectedByte(UInt8(ascii: "1")), 5),
        (#"{"a":1,}"#, .unexpectedByte(UInt8(ascii: "}")), 7), (#"{"a":[1,]}"#, .unexpectedByte(UInt8(ascii: "]")), 8),
        (#"{a:1}"#, .unexpectedByte(UInt8(ascii: "a")), 1), (#"{"a":trux}"#, .unexpectedByte(UInt8(ascii: "x")), 8),
        (#"{"a":nan}"#, .unexpectedByte(UInt8(ascii: "a")), 6), (#"{"a":"\x"}"#, .unexpectedByte(UInt8(ascii: "x")), 7),
        (#"{"a":"\u12G4"}"#, .unexpectedByte(UInt8(ascii: "G")), 10),
        (#"{"a":,}"#, .unexpectedByte(UInt8(ascii: ",")), 5),
        (#"{"a":1 2}"#, .unexpectedByte(UInt8(ascii: "2")), 7), (#"{,}"#, .unexpectedByte(UInt8(ascii: ",")), 1),
    ])
    func defectsAreNamedWithTheirPlace(body: String, kind: JSONDefect.Kind, offset: Int) {
        let expected = JSONDefect(kind: kind, offset: offset)
        #expect(scan(body).malformed == expected)
        for cut in 0...body.utf8.count { #expect(scan(body, cuts: [cut]).malformed == expected, "cut at \(cut)") }
        #expect(!scan(body).isComplete)
    }

    @Test func nestingIsBounded() {
        func nested(_ depth: Int) -> String {
            "{\"a\":" + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1) + "}"
        }
        #expect(scan(nested(128)).malformed == nil)
        #expect(scan(nested(129)).malformed?.kind == .tooDeep)
        #expect(scan(String(repeating: "{\"a\":", count: 100_000)).malformed?.kind == .tooDeep)
    }

    @Test func modelNamesAreBounded() {
        func body(_ unit: String, _ count: Int) -> String {
            "{\"model\":\"" + String(repeating: unit, count: count) + "\"}"
        }
        #expect(scan(body("m", 512)).facts.model?.utf8.count == 512)
        for text in [body("m", 513), body("\\n", 600), body("\\udc00", 100_000), body("\\ud83d", 100_000)] {
            #expect(scan(text).malformed?.kind == .modelTooLong)
            #expect(
                scan(text, cuts: Array(stride(from: 100, to: text.utf8.count, by: 100))).malformed?.kind
                    == .modelTooLong)
        }
    }

    @Test func keysOfAnyLengthAreBorne() {
        let body = "{\"" + String(repeating: "k", count: 100_000) + "\":1,\"\\u006d" + "odel\":\"a\"}"
        #expect(scan(body, cuts: [50_000]).facts.model == "a")
    }

    @Test(arguments: ["x", "\\n", "\\u00e9"])
    func whatThereIsOfAnUnfinishedPromptCounts(unit: String) {
        let count = 2_000_000 / unit.utf8.count
        let body = Array((#"{"model":"m","prompt":""# + String(repeating: unit, count: count) + "\"}").utf8)
        var scanner = RequestBodyScanner()
        body[..<(body.count / 2)].withUnsafeBytes { scanner.consume($0) }
        let half = scanner.facts
        body[(body.count / 2)...].withUnsafeBytes { scanner.consume($0) }
        let whole = scanner.facts
        #expect(abs(half.promptBytes - whole.promptBytes / 2) < 100)
        #expect(abs(half.estimatedPromptTokens - whole.estimatedPromptTokens / 2) < 100)
    }

    @Test func unfinishedStringsOutsideThePromptDoNotCount() {
        for begin in [#"{"user":"abc"#, #"{"model":"abc"#, #"{"messages":[{"cont"#] {
            #expect(scan(begin).facts.estimatedPromptTokens == 0)
        }
        #expect(scan(#"{"input":[{"image_url":"data:abcdefgh"#).facts.mediaItems == 1)
        #expect(scan(#"{"input":[{"image_url":"data:abcdefgh"#).facts.promptBytes == 0)
    }

    @Test func factsAreKnownBeforeTheBodyEnds() {
        var scanner = RequestBodyScanner()
        Array(#"{"model":"a","stream":true,"messages":[{"content":"abc"#.utf8).withUnsafeBytes { scanner.consume($0) }
        #expect(scanner.facts.model == "a")
        #expect(scanner.facts.stream)
        #expect(!scanner.isComplete)
        #expect(scanner.malformed == nil)
    }
}

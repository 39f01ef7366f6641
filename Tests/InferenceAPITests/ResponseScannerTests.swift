import Testing

@testable import InferenceAPI

@Suite struct ResponseScannerTests {
    static let chatStream = """
        : keep-alive

        data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}

        data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Hel\\n\\"lo"},"finish_reason":null}]}

        event: message
        data:{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}

        data: {"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}]}

        data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

        data: {"id":"c1","choices":[],"usage":{"prompt_tokens":17,"total_tokens":20,"completion_tokens":3,
        data: "prompt_tokens_details":{"audio_tokens":9,"cached_tokens":16}}}

        data: [DONE]


        """

    @Test(arguments: ["\n", "\r\n", "\r"])
    func readsAChatStreamWhereverItIsCut(lineEnd: String) {
        let text = String(
            Self.chatStream.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: lineEnd))
        for cut in 0...text.utf8.count {
            let scanner = scanResponse(text, as: .eventStream, cuts: [cut])
            #expect(scanner.outputEvents == 3, "cut at \(cut)")
            #expect(scanner.usage == TokenUsage(promptTokens: 17, completionTokens: 3, cachedPromptTokens: 16))
            #expect(scanner.isDone)
            #expect(!scanner.hasError)
        }
        let bytewise = scanResponse(text, as: .eventStream, cuts: Array(1..<text.utf8.count))
        #expect(bytewise.outputEvents == 3)
        #expect(bytewise.usage?.cachedPromptTokens == 16)
    }

    @Test func outputIsCountedAsSoonAsItIsSeen() {
        var scanner = ResponseScanner(.eventStream)
        Array(#"data: {"choices":[{"text":"a","#.utf8).withUnsafeBytes { scanner.consume($0) }
        #expect(scanner.outputEvents == 1)
        Array(#""x":1},{"text":"b"}]}"#.utf8).withUnsafeBytes { scanner.consume($0) }
        #expect(scanner.outputEvents == 1)
    }

    @Test(arguments: [
        (#"{"choices":[{"text":"a"}]}"#, 1), (#"{"choices":[{"text":""}]}"#, 0), (#"{"choices":[]}"#, 0),
        (#"{"type":"response.output_text.delta","delta":"a"}"#, 1), (#"{"type":"response.created"}"#, 0),
        (#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#, 1),
        (#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#, 0), (#"{"text":"a"}"#, 0),
        (#"{"choices":[{"logprobs":{"tokens":["a"]}}]}"#, 0), (#"{"choices":[{"text":"a""#, 1), ("nonsense", 0),
    ])
    func eventsWithOutputAreToldFromOthers(data: String, count: Int) {
        #expect(scanResponse("data: \(data)\n\n", as: .eventStream).outputEvents == count)
        #expect(scanResponse("data: \(data)\n\ndata: \(data)\n\n", as: .eventStream).outputEvents == 2 * count)
        #expect(scanResponse("data: \(data)\n\n", as: .json).outputEvents == 0)
    }

    @Test(
        arguments: [
            (#"{"usage":{"prompt_tokens":5,"completion_tokens":6}}"#, TokenUsage(promptTokens: 5, completionTokens: 6)),
            (
                #"{"usage":{"input_tokens":5,"output_tokens":6,"input_tokens_details":{"cached_tokens":4}}}"#,
                TokenUsage(promptTokens: 5, completionTokens: 6, cachedPromptTokens: 4)
            ),
            (
                #"{"type":"response.completed","response":{"error":null,"usage":{"input_tokens":5,"output_tokens":6}}}"#,
                TokenUsage(promptTokens: 5, completionTokens: 6)
            ),
            (
                #"{"message":{"usage":{"input_tokens":5,"cache_read_input_tokens":3}}}"#,
                TokenUsage(promptTokens: 5, cachedPromptTokens: 3)
            ),
            (#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}"}}],"usage":null}"#, nil),
            (#"{"metadata":{"usage":{"prompt_tokens":9}}}"#, nil), (#"{"usage":[{"prompt_tokens":9}]}"#, nil),
            (#"{"usage":{"prompt_tokens":-1,"completion_tokens":1.5}}"#, nil), ("[]", nil), ("", nil),
        ] as [(String, TokenUsage?)])
    func usageIsFoundInBodiesAndEvents(object: String, usage: TokenUsage?) {
        for cut in 0...object.utf8.count {
            let scanner = scanResponse(object, as: .json, cuts: [cut])
            #expect(scanner.usage == usage)
            #expect(!scanner.hasError)
        }
        #expect(scanResponse("data: \(object)", as: .eventStream).usage == usage)
    }

    @Test func countsThatNoServerCanMeanAreBounded() {
        let huge = Int.max
        let text = """
            {"usage":{"prompt_tokens":\(huge),"completion_tokens":\(huge),"prompt_tokens_details":{"cached_tokens":\(huge)}}}
            """
        let limit = 1 << 32
        let bounded = TokenUsage(promptTokens: limit, completionTokens: limit, cachedPromptTokens: limit)
        #expect(scanResponse(text, as: .json).usage == bounded)
        let exact = scanResponse(#"{"usage":{"completion_tokens":4294967295}}"#, as: .json)
        #expect(exact.usage?.completionTokens == limit - 1)
    }

    @Test func laterEventsAddToUsage() {
        let text = """
            data: {"type":"message_start","message":{"usage":{"input_tokens":25,"output_tokens":1}}}

            data: {"type":"message_delta","usage":{"output_tokens":15}}


            """
        let scanner = scanResponse(text, as: .eventStream)
        #expect(scanner.usage == TokenUsage(promptTokens: 25, completionTokens: 15))
    }

    @Test(arguments: [
        (#"{"error":{"message":"x"}}"#, true), (#"{"error":"x"}"#, true), (#"{"error":null}"#, false),
        (#"{"type":"error","code":"x"}"#, true),
        (#"{"type":"response.failed","response":{"error":{"code":"x"}}}"#, true),
        (#"{"choices":[{"error":{"message":"x"}}]}"#, false), (#"{"type":"message"}"#, false),
    ])
    func errorsAreSeen(object: String, isError: Bool) {
        #expect(scanResponse(object, as: .json).hasError == isError)
        #expect(scanResponse("data: \(object)\n\n", as: .eventStream).hasError == isError)
    }

    @Test(arguments: ["data: [DONE", "data: [DONX]\n", "id: [DONE]\n", "data [DONE]\n", "[DONE]\n"])
    func onlyAWholeMarkerIsTheEnd(text: String) {
        #expect(!scanResponse(text, as: .eventStream).isDone)
    }

    @Test func aBadEventSpoilsOnlyItself() {
        let good = #"data: {"choices":[{"text":"a"}]}"#
        let bad = ["data: {\"a\":]}", "data: {\"a\":1", "data: {}{}", "garbage", "data:", "data: \u{0}", "data: [1,2]"]
        for line in bad {
            let scanner = scanResponse("\(good)\n\n\(line)\n\n\(good)\n\n", as: .eventStream)
            #expect(scanner.outputEvents == 2, "\(line)")
        }
    }

    @Test(
        arguments: [
            ("text/event-stream", nil, "event stream"), ("Text/Event-Stream; charset=utf-8", nil, "event stream"),
            ("application/json", "identity", "json"), ("application/json", "gzip", "opaque"),
            ("text/html", nil, "opaque"),
            (nil, nil, "opaque"),
        ] as [(String?, String?, String)])
    func theHeadersTellTheForm(type: String?, encoding: String?, form: String) {
        let name =
            switch ResponseScanner.Body(contentType: type, contentEncoding: encoding) {
            case .eventStream: "event stream"
            case .json: "json"
            case .opaque: "opaque"
            }
        #expect(name == form)
    }
}

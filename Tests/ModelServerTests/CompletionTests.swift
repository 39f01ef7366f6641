import Basics
import EngineModel
import Foundation
import InferenceAPI
import ModelServer
import NIOHTTP1
import Testing

struct CompletionTests {
    @Test(arguments: [ModelServerConfiguration.Mode.engine, .instant])
    func aChatAnswerIsOneObjectWithUsage(mode: ModelServerConfiguration.Mode) async throws {
        try await withServer(mode: mode) { server in
            let answer = try await TestClient.post(
                chatPath, port: server.ports[0], chat("hello there", #","max_tokens":12,"ignore_eos":true"#))
            #expect(answer.status == 200)
            #expect(answer.headers["content-type"] == ["application/json"])
            #expect(answer.headers["x-request-id"] == ["r-1"])
            let object = try json(answer.body)
            #expect(value(object, "object") as? String == "chat.completion")
            #expect(value(object, "model") as? String == "sim")
            #expect((value(object, "id") as? String)?.hasPrefix("chatcmpl-") == true)
            #expect((value(object, "created") as? Int ?? 0) > 1_700_000_000)
            #expect(value(object, "choices", 0, "finish_reason") as? String == "length")
            #expect(value(object, "choices", 0, "message", "role") as? String == "assistant")
            let text = value(object, "choices", 0, "message", "content") as? String ?? ""
            #expect(text.split(separator: " ").count == 12)
            #expect(value(object, "usage", "prompt_tokens") as? Int == 4, "15 bytes of text")
            #expect(value(object, "usage", "completion_tokens") as? Int == 12)
            #expect(value(object, "usage", "total_tokens") as? Int == 16)
        }
    }

    @Test(arguments: [ModelServerConfiguration.Mode.engine, .instant])
    func aChatStreamHasOneEventPerToken(mode: ModelServerConfiguration.Mode) async throws {
        try await withServer(mode: mode) { server in
            let options = #","max_completion_tokens":5,"ignore_eos":true,"stream":true"#
            let answer = try await TestClient.post(
                chatPath, port: server.ports[0],
                chat("hello there", options + #","stream_options":{"include_usage":true}"#))
            #expect(answer.headers["content-type"] == ["text/event-stream; charset=utf-8"])
            #expect(answer.events.last == "[DONE]")
            let events = try answer.events.dropLast().map(json)
            #expect(events.count == 1 + 5 + 1)
            #expect(Set(events.compactMap { value($0, "id") as? String }).count == 1)
            #expect(events.allSatisfy { value($0, "object") as? String == "chat.completion.chunk" })
            #expect(value(events[0], "choices", 0, "delta", "role") as? String == "assistant")
            let words = events[1...5].map { value($0, "choices", 0, "delta", "content") as? String ?? "" }
            #expect(words.allSatisfy { !$0.isEmpty } && !words[0].hasPrefix(" ") && words[1].hasPrefix(" "))
            #expect(
                events.map { value($0, "choices", 0, "finish_reason") as? String }[1...5] == [
                    nil, nil, nil, nil, "length",
                ])
            #expect((value(events[6], "choices") as? [Any])?.isEmpty == true)
            #expect(value(events[6], "usage", "completion_tokens") as? Int == 5)

            let plain = try await TestClient.post(chatPath, port: server.ports[0], chat("hello there", options))
            #expect(!plain.body.contains("usage"))
            #expect(plain.events.count == 1 + 5 + 1)
        }
    }

    @Test func completionsTakeTextAndTokenIDs() async throws {
        try await withServer { server in
            let text = try await TestClient.post(
                "/v1/completions", port: server.ports[0],
                #"{"model":"sim-alias","prompt":"one two three four","max_tokens":3,"ignore_eos":true}"#)
            let object = try json(text.body)
            #expect(value(object, "object") as? String == "text_completion")
            #expect(value(object, "model") as? String == "sim-alias")
            #expect((value(object, "choices", 0, "text") as? String)?.split(separator: " ").count == 3)

            let tokens = try await TestClient.post(
                "/v1/completions", port: server.ports[0],
                #"{"model":"sim","prompt":[11,22,33,44,55],"max_tokens":2,"ignore_eos":true,"stream":true,"#
                    + #""stream_options":{"include_usage":true}}"#)
            let events = try tokens.events.dropLast().map(json)
            #expect(events.count == 3)
            #expect(value(events[0], "object") as? String == "text_completion")
            #expect((value(events[0], "choices", 0, "text") as? String)?.isEmpty == false)
            #expect(value(events[2], "usage", "prompt_tokens") as? Int == 5)
        }
    }

    @Test func withoutALimitTheModelStopsByItselfAndTheSeedSaysWhen() async throws {
        func lengths() async throws -> [Int] {
            var lengths: [Int] = []
            try await withServer(mode: .instant) { server in
                for answer in try await TestClient.exchange(
                    port: server.ports[0], Array(repeating: (.POST, chatPath, chat()), count: 20))
                {
                    let object = try json(answer.body)
                    #expect(value(object, "choices", 0, "finish_reason") as? String == "stop")
                    lengths.append(value(object, "usage", "completion_tokens") as? Int ?? 0)
                }
            }
            return lengths
        }
        let first = try await lengths()
        #expect(Set(first).count > 10)
        #expect(first.allSatisfy { $0 >= 1 && $0 < 5000 })
        #expect(try await lengths() == first)
    }

    @Test func aRepeatedPromptIsFoundInThePrefixCache() async throws {
        try await withServer { server in
            let body = chat(String(repeating: "the same long beginning ", count: 40), #","max_tokens":1"#)
            var cached: [Int] = []
            for answer in try await TestClient.exchange(
                port: server.ports[0], [(.POST, chatPath, body), (.POST, chatPath, body)])
            {
                cached.append(
                    value(try json(answer.body), "usage", "prompt_tokens_details", "cached_tokens") as? Int ?? -1)
            }
            #expect(cached[0] == 0)
            #expect(cached[1] >= 224 && cached[1] < 242, "242 tokens of prompt")
        }
    }

    @Test func requestsThatCannotBeServedAreRefusedInOpenAIsForm() async throws {
        try await withServer(maxBodyBytes: 10_000) { server in
            let cases: [(path: String, body: String, status: Int)] = [
                (chatPath, #"{"model":"gpt-9","messages":[{"role":"user","content":"x"}]}"#, 404),
                (chatPath, #"{"model":"sim","messages":["#, 400),
                (chatPath, "{}", 400),
                (chatPath, #"{"model":"sim","messages":[]}"#, 400),
                (chatPath, chat("x", #","max_tokens":999999"#), 400),
                (chatPath, chat("x", #","max_tokens":0"#), 400),
                (chatPath, chat("x", #","n":2"#), 400),
                ("/v1/unknown", "{}", 404),
                ("/v1/models", "{}", 405),
                (chatPath, chat(String(repeating: "x", count: 10_000)), 413),
            ]
            for expected in cases {
                let answer = try await TestClient.post(expected.path, port: server.ports[0], expected.body)
                let error = value(try json(answer.body), "error")
                #expect(value(error, "message") is String && value(error, "type") is String)
                #expect(value(error, "code") as? Int == answer.status)
                #expect(answer.status == expected.status, "\(expected.body.prefix(80))")
            }
            #expect(try await TestClient.get(chatPath, port: server.ports[0]).status == 405)
        }
    }

    @Test func beyondTheBoundOnWaitingRequestsTheServerSaysTryAgain() async throws {
        try await withServer(speedup: 1, maxWaitingRequests: 1, engine: { $0.maxSequences = 1 }) { server in
            let endless = chat("x", #","max_tokens":100000,"ignore_eos":true"#)
            try await TestClient.post(chatPath, port: server.ports[0], endless) { _ in
                guard try await eventually(server, { $0.load.running == 1 }) else { return true }
                try await TestClient.post(chatPath, port: server.ports[0], endless) { _ in
                    guard try await eventually(server, { $0.load.waiting == 1 }) else { return true }
                    let answer = try await TestClient.post(chatPath, port: server.ports[0], endless)
                    #expect(answer.status == 429)
                    #expect(answer.headers["retry-after"] == ["1"])
                    return true
                }
                return true
            }
            #expect(try await server.statistics[0].refused == 1)
        }
    }

    @Test func aChunkedBodyBeyondTheLimitIsRefusedToo() async throws {
        try await withServer(maxBodyBytes: 1000) { server in
            let chunk = String(repeating: "x", count: 0x400)
            let answer = try await TestClient.raw(
                port: server.ports[0],
                "POST \(chatPath) HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n400\r\n\(chunk)\r\n0\r\n\r\n"
            )
            #expect(answer.hasPrefix("HTTP/1.1 413 "))
            #expect(answer.contains("connection: close"))
        }
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        try await withServer { server in
            func request(_ path: String, _ tokens: Int, close: Bool) -> String {
                let body = #"{"model":"sim","prompt":"x","messages":["x"],"max_tokens":\#(tokens),"ignore_eos":true}"#
                return "POST \(path) HTTP/1.1\r\nhost: t\r\ncontent-length: \(body.utf8.count)\r\n"
                    + (close ? "connection: close\r\n\r\n" : "\r\n") + body
            }
            let answers = try await TestClient.raw(
                port: server.ports[0],
                request(chatPath, 30, close: false) + request("/v1/completions", 1, close: true))
            let first = try #require(answers.range(of: "\"completion_tokens\":30"))
            let second = try #require(answers.range(of: "\"completion_tokens\":1,"))
            #expect(first.lowerBound < second.lowerBound)
        }
    }

    @Test func aClientThatAsksFirstIsToldToContinue() async throws {
        try await withServer { server in
            let body = chat("x", #","max_tokens":1"#)
            let answer = try await TestClient.raw(
                port: server.ports[0],
                "POST \(chatPath) HTTP/1.1\r\nhost: t\r\ncontent-length: \(body.utf8.count)\r\nconnection: close\r\n"
                    + "expect: 100-continue\r\n\r\n" + body)
            #expect(answer.hasPrefix("HTTP/1.1 100 Continue\r\n"))
            #expect(answer.contains("HTTP/1.1 200 OK\r\n"))
        }
    }
}

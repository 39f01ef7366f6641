import InferenceAPI
import NIOCore

/// Writes the answers to completion requests, streamed and whole, as OpenAI's objects.
///
/// What all chunks of a stream have in common is put together once.
struct CompletionWriter: Sendable {
    private let isChat: Bool
    /// `"id":...,"created":...,"model":...,` as in every object of this answer.
    private let identity: [UInt8]
    private let chunkHead: [UInt8]
    private let textSeed: UInt64

    init(isChat: Bool, id: UInt64, created: Int64, model: String, textSeed: UInt64) {
        self.isChat = isChat
        self.textSeed = textSeed
        var identity = Array(
            "\"id\":\"\(isChat ? "chatcmpl" : "cmpl")-sim-\(id)\",\"created\":\(created),\"model\":".utf8)
        JSONText.appendString(model, to: &identity)
        identity += Array(",".utf8)
        self.identity = identity
        let kind = isChat ? "chat.completion.chunk" : "text_completion"
        chunkHead =
            Array("data: {".utf8) + identity + Array("\"object\":\"\(kind)\",\"choices\":[".utf8)
    }

    /// The first event of a chat stream, which names the role.
    func appendOpening(to buffer: inout ByteBuffer) {
        guard isChat else { return }
        buffer.writeBytes(chunkHead)
        buffer.writeStaticString(
            #"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#)
        buffer.writeStaticString("\n\n")
    }

    /// The event of one token; the last one carries the reason to finish.
    func appendToken(_ position: Int, finishReason: StaticString?, to buffer: inout ByteBuffer) {
        buffer.writeBytes(chunkHead)
        if isChat {
            buffer.writeStaticString(#"{"index":0,"delta":{"content":""#)
        } else {
            buffer.writeStaticString(#"{"index":0,"text":""#)
        }
        appendWord(position, to: &buffer)
        buffer.writeStaticString(
            isChat ? #""},"logprobs":null,"finish_reason":"# : #"","logprobs":null,"finish_reason":"#)
        appendReason(finishReason, to: &buffer)
        buffer.writeStaticString("}]}\n\n")
    }

    /// What follows the last token: usage if asked for, and the end mark.
    func appendClosing(usage: TokenUsage?, to buffer: inout ByteBuffer) {
        if let usage {
            buffer.writeBytes(chunkHead)
            buffer.writeStaticString("],")
            append(usage, to: &buffer)
            buffer.writeStaticString("}\n\n")
        }
        buffer.writeStaticString("data: [DONE]\n\n")
    }

    /// The whole answer as one object.
    func appendWhole(usage: TokenUsage, finishReason: StaticString, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("{")
        buffer.writeBytes(identity)
        if isChat {
            buffer.writeStaticString(#""object":"chat.completion","choices":[{"index":0,"message":"#)
            buffer.writeStaticString(#"{"role":"assistant","content":""#)
        } else {
            buffer.writeStaticString(#""object":"text_completion","choices":[{"index":0,"text":""#)
        }
        for position in 0..<usage.completionTokens { appendWord(position, to: &buffer) }
        buffer.writeStaticString(
            isChat ? #""},"logprobs":null,"finish_reason":"# : #"","logprobs":null,"finish_reason":"#)
        appendReason(finishReason, to: &buffer)
        buffer.writeStaticString("}],")
        append(usage, to: &buffer)
        buffer.writeStaticString("}")
    }

    private func append(_ usage: TokenUsage, to buffer: inout ByteBuffer) {
        buffer.writeString(
            """
            "usage":{"prompt_tokens":\(usage.promptTokens),"completion_tokens":\(usage.completionTokens),\
            "total_tokens":\(usage.promptTokens + usage.completionTokens),\
            "prompt_tokens_details":{"cached_tokens":\(usage.cachedPromptTokens)}}
            """)
    }

    private func appendReason(_ reason: StaticString?, to buffer: inout ByteBuffer) {
        guard let reason else {
            buffer.writeStaticString("null")
            return
        }
        buffer.writeStaticString("\"")
        buffer.writeStaticString(reason)
        buffer.writeStaticString("\"")
    }

    /// One made-up token: a space and a word.
    private func appendWord(_ position: Int, to buffer: inout ByteBuffer) {
        if position > 0 { buffer.writeStaticString(" ") }
        let draw = (textSeed &+ UInt64(position)) &* 0x9E37_79B9_7F4A_7C15
        buffer.writeStaticString(Self.words[Int(draw >> 58)])
    }

    /// Sixty-four words, so that the top six bits of a product choose one.
    private static let words: [StaticString] = [
        "water", "level", "river", "bank", "stone", "gate", "flow", "rain", "spring", "field", "mill", "wheel",
        "bridge",
        "boat", "fish", "reed", "sand", "clay", "moss", "leaf", "wind", "cloud", "light", "shade", "morning", "evening",
        "winter", "summer", "slow", "deep", "clear", "cold", "warm", "wide", "narrow", "quiet", "early", "late", "old",
        "new", "turns", "rises", "falls", "rests", "runs", "waits", "opens", "closes", "carries", "holds", "over",
        "under",
        "along", "across", "behind", "before", "the", "a", "and", "then", "where", "while", "its", "each",
    ]
}

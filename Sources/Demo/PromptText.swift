/// Bodies of chat requests of a wanted length.
enum PromptText {
    private static let words = Array(
        "the weir keeps the water at one level and lets the surplus through while the mill turns all day ".utf8)

    /// A chat request whose prompt is about `promptTokens` long (four bytes a token) and whose answer is exactly
    /// `outputTokens` long. Prompts with different numbers share no prefix, so that no cache answers for the engine.
    static func chat(model: String, number: Int, promptTokens: Int, outputTokens: Int, streams: Bool) -> [UInt8] {
        var body = Array(
            #"{"model":"\#(model)","max_tokens":\#(outputTokens),"ignore_eos":true,"stream":\#(streams),"#.utf8)
        body += Array(#""messages":[{"role":"user","content":"\#(number): "#.utf8)
        let length = max(1, promptTokens * 4)
        body.reserveCapacity(body.count + length + 8)
        while body.count < length { body += words.prefix(min(words.count, length - body.count)) }
        body += Array(#""}]}"#.utf8)
        return body
    }
}

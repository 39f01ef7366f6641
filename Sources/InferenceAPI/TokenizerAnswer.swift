/// The answer of an engine's `/tokenize`: the token ids of a prompt, as vLLM, SGLang and their like write them
/// (`{"count": 3, "tokens": [1, 2, 3], …}`). What else it holds is not looked at.
public enum TokenizerAnswer {
    /// The token ids in an answer.
    ///
    /// - Returns: nil if the answer is no JSON object with a list `tokens` of numbers that fit 32 bits.
    public static func tokens(in body: UnsafeRawBufferPointer) -> [UInt32]? {
        var tokenizer = JSONTokenizer()
        var visitor = Visitor()
        tokenizer.consume(body, visitor: &visitor)
        guard tokenizer.isComplete, visitor.isList, !visitor.hasForeignElement else { return nil }
        return visitor.tokens
    }

    private struct Visitor: JSONVisitor {
        var tokens: [UInt32] = []
        var isList = false
        var hasForeignElement = false
        private var keyIsTokens = false

        private func isElement(_ place: JSONPlace) -> Bool {
            keyIsTokens && isList && place.depth == 2 && place.isInArray
        }

        mutating func key(_ text: UnsafeRawBufferPointer?, at place: JSONPlace) {
            guard place.depth == 1 else { return }
            keyIsTokens = text.map { ByteSearch.equals($0, "tokens") } ?? false
            if keyIsTokens { self = Visitor(keyIsTokens: true) }
        }

        mutating func number(_ integer: Int?, at place: JSONPlace) {
            guard isElement(place) else { return }
            if let token = integer.flatMap({ UInt32(exactly: $0) }) {
                tokens.append(token)
            } else {
                hasForeignElement = true
            }
        }

        mutating func stringBegins(offset: Int, at place: JSONPlace) -> JSONStringUse {
            if isElement(place) { hasForeignElement = true }
            return .measure
        }

        mutating func literal(_ literal: JSONLiteral, at place: JSONPlace) {
            if isElement(place) { hasForeignElement = true }
        }

        mutating func opens(array: Bool, at place: JSONPlace) {
            if isElement(place) { hasForeignElement = true }
            if keyIsTokens, place.depth == 1, array { isList = true }
        }

        mutating func stringBytes(_ run: UnsafeRawBufferPointer) {}
        mutating func stringEnds(
            _ text: UnsafeRawBufferPointer?, utf8Length: Int, endOffset: Int, at place: JSONPlace
        ) {}
        mutating func closes(array: Bool, at place: JSONPlace) {}

        init(keyIsTokens: Bool = false) { self.keyIsTokens = keyIsTokens }
    }
}

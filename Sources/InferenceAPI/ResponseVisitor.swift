/// Turns the tokens of a response object, or of one event's object, into usage, errors and signs of output.
struct ResponseVisitor: JSONVisitor {
    /// Larger counts are taken for this one: no server means them, and sums of them must not overflow.
    static let tokenLimit = 1 << 32

    /// The keys that matter on the way to a value.
    private enum Key: UInt8 {
        case other, usage, error, type, choices, delta, wrapper, output
        case promptTokens, completionTokens, cachedTokens, tokenDetails, cacheReadTokens
    }

    /// The latest counts, over all events.
    private(set) var usage: TokenUsage?
    /// Whether any event was an error.
    private(set) var hasError = false

    private var path: InlineArray<5, Key> = .init(repeating: .other)
    private var outputSeen = false
    private var outputTaken = false

    /// Forgets the last event's place, keeps what was learned.
    mutating func beginEvent() {
        path = .init(repeating: .other)
        outputSeen = false
        outputTaken = false
    }

    /// True once for each event that carries output.
    mutating func takeOutput() -> Bool {
        guard outputSeen, !outputTaken else { return false }
        outputTaken = true
        return true
    }

    mutating func key(_ text: UnsafeRawBufferPointer?, at place: JSONPlace) {
        let key = text.map(Self.key) ?? .other
        path[min(place.depth, 5) - 1] = key
    }

    mutating func stringBegins(offset: Int, at place: JSONPlace) -> JSONStringUse {
        place.depth == 1 && path[0] == .type ? .capture : .measure
    }

    mutating func stringEnds(
        _ text: UnsafeRawBufferPointer?, utf8Length: Int, endOffset: Int, at place: JSONPlace
    ) {
        if utf8Length == 0 || place.isInArray { return }
        switch path[0] {
        case .choices where place.depth > 1: outputSeen = outputSeen || lastKey(at: place) == .output
        case .delta: outputSeen = outputSeen || place.depth == 1 || lastKey(at: place) == .output
        case .type where place.depth == 1:
            if let text, ByteSearch.equals(text, "error") || ByteSearch.equals(text, "response.failed") {
                hasError = true
            }
        default: noteError(at: place)
        }
    }

    mutating func number(_ integer: Int?, at place: JSONPlace) {
        guard let integer, integer >= 0, place.arrays == 0 else { return }
        let tokens = min(integer, Self.tokenLimit)
        let base = path[0] == .wrapper ? 1 : 0
        guard place.depth > base, path[base] == .usage else { return }
        var counts = usage ?? TokenUsage()
        switch (place.depth - base, place.depth - base >= 2 ? path[base + 1] : .other) {
        case (2, .promptTokens): counts.promptTokens = tokens
        case (2, .completionTokens): counts.completionTokens = tokens
        case (2, .cacheReadTokens): counts.cachedPromptTokens = tokens
        case (3, .tokenDetails) where path[base + 2] == .cachedTokens: counts.cachedPromptTokens = tokens
        default: return
        }
        usage = counts
    }

    mutating func literal(_ literal: JSONLiteral, at place: JSONPlace) {
        if literal == .true { noteError(at: place) }
    }

    mutating func opens(array: Bool, at place: JSONPlace) { noteError(at: place) }

    /// An `error` that holds something, at the top or in a Responses API `response`; successful ones say null there.
    private mutating func noteError(at place: JSONPlace) {
        guard !place.isInArray else { return }
        if place.depth == 1 && path[0] == .error { hasError = true }
        if place.depth == 2 && path[0] == .wrapper && path[1] == .error { hasError = true }
    }

    /// The key of a member of the innermost object; keys deeper than the path share its last element.
    private func lastKey(at place: JSONPlace) -> Key { path[min(place.depth, 5) - 1] }

    private static func key(_ key: UnsafeRawBufferPointer) -> Key {
        func matches(_ text: StaticString) -> Bool { ByteSearch.equals(key, text) }
        switch key.count {
        case 4: return matches("type") ? .type : matches("text") || matches("name") ? .output : .other
        case 5: return matches("delta") ? .delta : matches("usage") ? .usage : matches("error") ? .error : .other
        case 7:
            return matches("content") || matches("refusal")
                ? .output
                : matches("choices") ? .choices : matches("message") ? .wrapper : .other
        case 8: return matches("response") ? .wrapper : matches("thinking") ? .output : .other
        case 9: return matches("arguments") || matches("reasoning") ? .output : .other
        case 12: return matches("input_tokens") ? .promptTokens : matches("partial_json") ? .output : .other
        case 13:
            return matches("prompt_tokens")
                ? .promptTokens
                : matches("output_tokens") ? .completionTokens : matches("cached_tokens") ? .cachedTokens : .other
        case 17:
            return matches("completion_tokens")
                ? .completionTokens
                : matches("reasoning_content") ? .output : .other
        case 20: return matches("input_tokens_details") ? .tokenDetails : .other
        case 21: return matches("prompt_tokens_details") ? .tokenDetails : .other
        case 23: return matches("cache_read_input_tokens") ? .cacheReadTokens : .other
        default: return .other
        }
    }
}

/// Turns the tokens of a response object, or of one event's object, into usage, errors and signs of output.
struct ResponseVisitor: JSONVisitor {
    /// Larger counts are taken for this one: no server means them, and sums of them must not overflow.
    static let tokenLimit = 1 << 32

    /// The keys that matter on the way to a value.
    private enum Key: UInt8 {
        case other, usage, error, type, choices, delta, wrapper, index
        case promptTokens, completionTokens, cachedTokens, tokenDetails, cacheReadTokens
        // Their strings are generated.
        case output, content, text, reasoning

        var isOutput: Bool { rawValue >= Key.output.rawValue }
    }

    /// The latest counts, over all events.
    private(set) var usage: TokenUsage?
    /// Whether any event was an error.
    private(set) var hasError = false

    /// Whether any count of cached tokens has passed.
    private(set) var reportsCachedTokens = false
    /// The prompt's chain, continued by the text of the first choice.
    private(set) var answer: AnswerHasher

    private var path: InlineArray<5, Key> = .init(repeating: .other)
    private var outputSeen = false
    private var outputTaken = false
    private var choicesBegun = 0
    private var choiceIndex: Int?
    private var choiceIsHashed = false

    init(continuing answer: AnswerHasher) { self.answer = answer }

    /// Forgets the last event's place, keeps what was learned.
    mutating func beginEvent() {
        path = .init(repeating: .other)
        outputSeen = false
        outputTaken = false
        choicesBegun = 0
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
        if place.depth == 1 && path[0] == .type { return .capture }
        guard answer.isOpen, isAnswerText(place) else { return .measure }
        choiceIsHashed = true
        return .feed
    }

    mutating func stringBytes(_ run: UnsafeRawBufferPointer) { answer.append(run) }

    /// The content of the first choice's message or delta, or the text of a plain completion's.
    private func isAnswerText(_ place: JSONPlace) -> Bool {
        guard path[0] == .choices, choiceIndex ?? (choicesBegun &- 1) == 0 else { return false }
        if place.depth == 3 { return place.arrays == 0b10 && path[2] == .text }
        let isInMessage = path[2] == .delta || path[2] == .wrapper
        return place.depth == 4 && place.arrays == 0b100 && isInMessage && path[3] == .content
    }

    mutating func stringEnds(
        _ text: UnsafeRawBufferPointer?, utf8Length: Int, endOffset: Int, at place: JSONPlace
    ) {
        if utf8Length == 0 || place.isInArray { return }
        // Chat templates leave the reasoning of past turns out, so what follows it will stand elsewhere.
        if path[0] == .choices, place.depth == 4, path[3] == .reasoning { answer.abandon() }
        switch path[0] {
        case .choices where place.depth > 1: outputSeen = outputSeen || lastKey(at: place).isOutput
        case .delta: outputSeen = outputSeen || place.depth == 1 || lastKey(at: place).isOutput
        case .type where place.depth == 1:
            if let text, ByteSearch.equals(text, "error") || ByteSearch.equals(text, "response.failed") {
                hasError = true
            }
        default: noteError(at: place)
        }
    }

    mutating func number(_ integer: Int?, at place: JSONPlace) {
        if place.depth == 3, place.arrays == 0b10, path[0] == .choices, path[2] == .index { setChoice(integer) }
        guard let integer, integer >= 0, place.arrays == 0 else { return }
        let tokens = min(integer, Self.tokenLimit)
        let base = path[0] == .wrapper ? 1 : 0
        guard place.depth > base, path[base] == .usage else { return }
        var counts = usage ?? TokenUsage()
        switch (place.depth - base, place.depth - base >= 2 ? path[base + 1] : .other) {
        case (2, .promptTokens): counts.promptTokens = tokens
        case (2, .completionTokens): counts.completionTokens = tokens
        case (2, .cacheReadTokens),
            (3, .tokenDetails) where path[base + 2] == .cachedTokens:
            counts.cachedPromptTokens = tokens
            reportsCachedTokens = true
        default: return
        }
        usage = counts
    }

    mutating func literal(_ literal: JSONLiteral, at place: JSONPlace) {
        if literal == .true { noteError(at: place) }
    }

    mutating func opens(array: Bool, at place: JSONPlace) {
        noteError(at: place)
        if place.depth == 2, place.arrays == 0b1, path[0] == .choices {
            choicesBegun &+= 1
            choiceIndex = nil
            choiceIsHashed = false
        }
    }

    mutating func closes(array: Bool, at place: JSONPlace) {}

    /// The `index` of the choice that is being read; if it comes after the text, the text was taken for another choice's.
    private mutating func setChoice(_ index: Int?) {
        choiceIndex = index
        if choiceIsHashed, index != 0 { answer.abandon() }
    }

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
        case 4: return matches("type") ? .type : matches("text") ? .text : matches("name") ? .output : .other
        case 5:
            return matches("delta")
                ? .delta
                : matches("usage")
                    ? .usage : matches("error") ? .error : matches("index") ? .index : .other
        case 7:
            return matches("content")
                ? .content
                : matches("refusal")
                    ? .output : matches("choices") ? .choices : matches("message") ? .wrapper : .other
        case 8: return matches("response") ? .wrapper : matches("thinking") ? .output : .other
        case 9: return matches("arguments") ? .output : matches("reasoning") ? .reasoning : .other
        case 12: return matches("input_tokens") ? .promptTokens : matches("partial_json") ? .output : .other
        case 13:
            return matches("prompt_tokens")
                ? .promptTokens
                : matches("output_tokens") ? .completionTokens : matches("cached_tokens") ? .cachedTokens : .other
        case 17:
            return matches("completion_tokens")
                ? .completionTokens
                : matches("reasoning_content") ? .reasoning : .other
        case 20: return matches("input_tokens_details") ? .tokenDetails : .other
        case 21: return matches("prompt_tokens_details") ? .tokenDetails : .other
        case 23: return matches("cache_read_input_tokens") ? .cacheReadTokens : .other
        default: return .other
        }
    }
}

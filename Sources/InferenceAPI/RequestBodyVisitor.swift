/// Turns the tokens of a request body into facts.
struct RequestBodyVisitor: JSONVisitor {
    /// The members of the top-level object that matter.
    private enum Field: UInt8 {
        case other, model, stream, streamOptions, maxCompletionTokens, maxTokens, maxOutputTokens, priority, choices
        case ignoreEOS
        case prompt, messages, input, instructions, system, tools

        /// Where this field's share of the prompt is counted, nil when its strings are not prompt.
        var section: Int? {
            rawValue >= Field.prompt.rawValue ? Int(rawValue &- Field.prompt.rawValue) : nil
        }
    }

    /// The prompt that one field holds.
    private struct Section {
        var bytes = 0
        var tokenIDs = 0
        var mediaItems = 0
    }

    private var field = Field.other
    private var keyIsIncludeUsage = false
    private var keyIsMedia = false
    private var stringIsMedia = false
    private var modelStart = 0

    private var model: String?
    private var modelRange: Range<Int>?
    private var stream = false
    private var includeUsage = false
    private var maxCompletionTokens: Int?
    private var maxTokens: Int?
    private var maxOutputTokens: Int?
    private var priority: Int?
    private var choices: Int?
    private var ignoreEOS = false
    private var sections: InlineArray<6, Section> = .init(repeating: Section())

    /// Whether the model's name did not fit `JSONTokenizer.captureLimitBytes`.
    private(set) var modelIsTooLong = false

    /// - Parameter openStringBytes: the length so far of a string value that has begun and not ended.
    func facts(openStringBytes: Int?) -> RequestBodyFacts {
        var facts = RequestBodyFacts()
        facts.model = model
        facts.modelRange = modelRange
        facts.stream = stream
        facts.includeUsage = includeUsage
        facts.maxOutputTokens = maxCompletionTokens ?? maxTokens ?? maxOutputTokens
        facts.priority = priority
        facts.choices = choices
        facts.ignoreEOS = ignoreEOS
        for index in sections.indices {
            facts.promptBytes += sections[index].bytes
            facts.promptTokenIDs += sections[index].tokenIDs
            facts.mediaItems += sections[index].mediaItems
        }
        if let openStringBytes, field.section != nil {
            if stringIsMedia { facts.mediaItems += 1 } else { facts.promptBytes += openStringBytes }
        }
        return facts
    }

    mutating func key(_ text: UnsafeRawBufferPointer?, at place: JSONPlace) {
        if place.depth == 1 {
            field = text.map(Self.field) ?? .other
            keyIsMedia = false
            forget(field)
        } else if field == .streamOptions {
            keyIsIncludeUsage = place.depth == 2 && text.map { ByteSearch.equals($0, "include_usage") } ?? false
        } else if field == .messages || field == .input {
            keyIsMedia = text.map(Self.isMedia) ?? false
        } else if field == .tools, let section = field.section {
            sections[section].bytes &+= text?.count ?? JSONTokenizer.keyLimitBytes
        }
    }

    mutating func stringBegins(offset: Int, at place: JSONPlace) -> JSONStringUse {
        stringIsMedia = keyIsMedia && !place.isInArray
        guard field == .model, place.depth == 1 else { return .measure }
        modelStart = offset
        return .capture
    }

    mutating func stringEnds(
        _ text: UnsafeRawBufferPointer?, utf8Length: Int, endOffset: Int, at place: JSONPlace
    ) {
        if let section = field.section {
            if stringIsMedia {
                sections[section].mediaItems &+= 1
            } else {
                sections[section].bytes &+= utf8Length
            }
        } else if field == .model, place.depth == 1 {
            guard let text else {
                modelIsTooLong = true
                return
            }
            if text.isEmpty { return }
            model = String(decoding: text, as: UTF8.self)
            modelRange = modelStart..<endOffset
        }
    }

    mutating func number(_ integer: Int?, at place: JSONPlace) {
        if place.depth == 1 {
            switch field {
            case .maxCompletionTokens: maxCompletionTokens = Self.nonNegative(integer)
            case .maxTokens: maxTokens = Self.nonNegative(integer)
            case .maxOutputTokens: maxOutputTokens = Self.nonNegative(integer)
            case .priority: priority = integer
            case .choices: choices = integer.flatMap { $0 > 0 ? $0 : nil }
            default: break
            }
        } else if field == .prompt || field == .input, integer != nil, let section = field.section {
            // Directly in an array of the field, or in an array of that one.
            let isTokenID = place.depth == 2 ? place.arrays == 0b1 : place.depth == 3 && place.arrays == 0b11
            if isTokenID { sections[section].tokenIDs &+= 1 }
        }
    }

    mutating func literal(_ literal: JSONLiteral, at place: JSONPlace) {
        guard literal == .true else { return }
        switch (field, place.depth) {
        case (.stream, 1): stream = true
        case (.ignoreEOS, 1): ignoreEOS = true
        case (.streamOptions, 2) where keyIsIncludeUsage && !place.isInArray: includeUsage = true
        default: break
        }
    }

    mutating func opens(array: Bool, at place: JSONPlace) {}

    /// Undoes what an earlier occurrence of the same key said.
    private mutating func forget(_ field: Field) {
        switch field {
        case .model:
            model = nil
            modelRange = nil
        case .stream: stream = false
        case .streamOptions:
            includeUsage = false
            keyIsIncludeUsage = false
        case .maxCompletionTokens: maxCompletionTokens = nil
        case .maxTokens: maxTokens = nil
        case .maxOutputTokens: maxOutputTokens = nil
        case .priority: priority = nil
        case .choices: choices = nil
        case .ignoreEOS: ignoreEOS = false
        default:
            if let section = field.section { sections[section] = Section() }
        }
    }

    private static func nonNegative(_ integer: Int?) -> Int? { integer.flatMap { $0 >= 0 ? $0 : nil } }

    private static func field(_ key: UnsafeRawBufferPointer) -> Field {
        func matches(_ text: StaticString) -> Bool { ByteSearch.equals(key, text) }
        switch key.count {
        case 1: return matches("n") ? .choices : .other
        case 5: return matches("model") ? .model : matches("input") ? .input : matches("tools") ? .tools : .other
        case 6:
            return matches("stream") ? .stream : matches("prompt") ? .prompt : matches("system") ? .system : .other
        case 8: return matches("messages") ? .messages : matches("priority") ? .priority : .other
        case 10: return matches("max_tokens") ? .maxTokens : matches("ignore_eos") ? .ignoreEOS : .other
        case 12: return matches("instructions") ? .instructions : .other
        case 14: return matches("stream_options") ? .streamOptions : .other
        case 17: return matches("max_output_tokens") ? .maxOutputTokens : .other
        case 21: return matches("max_completion_tokens") ? .maxCompletionTokens : .other
        default: return .other
        }
    }

    /// Keys whose string is an address or base64 bytes of an image, a sound or a file, not text: OpenAI's `image_url`
    /// (plain or with a nested `url`), `input_audio.data`, `file_data`, vLLM's `video_url` and `audio_url`.
    private static func isMedia(_ key: UnsafeRawBufferPointer) -> Bool {
        func matches(_ text: StaticString) -> Bool { ByteSearch.equals(key, text) }
        switch key.count {
        case 3: return matches("url")
        case 4: return matches("data")
        case 9: return matches("image_url") || matches("file_data") || matches("video_url") || matches("audio_url")
        default: return false
        }
    }
}

/// Turns the tokens of a request body into facts.
struct RequestBodyVisitor: JSONVisitor {
    /// The members of the top-level object that matter.
    private enum Field: UInt8 {
        case other, model, stream, streamOptions, maxCompletionTokens, maxTokens, maxOutputTokens, priority, choices
        case ignoreEOS, cacheSalt
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

    /// What the strings under a key of a message are to the hasher.
    private enum MessageKey: UInt8 {
        case other, text, role, notRendered
    }

    private var field = Field.other
    private var keyIsIncludeUsage = false
    private var keyIsMedia = false
    private var stringIsMedia = false
    private var modelStart = 0
    private var messageKey = MessageKey.other
    private var stringTarget: PromptHasher.Target?
    private var stringIsRole = false

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
    private var hasCacheSalt = false
    private var sections: InlineArray<6, Section> = .init(repeating: Section())

    /// Hashes the prompt as it passes, if `hashesPrompt`.
    private var hasher = PromptHasher()
    private let hashesPrompt: Bool

    /// Whether the model's name did not fit `JSONTokenizer.captureLimitBytes`.
    private(set) var modelIsTooLong = false

    /// - Parameter hashesPrompt: whether `promptChain` will be asked for.
    init(hashesPrompt: Bool) { self.hashesPrompt = hashesPrompt }

    /// The prompt's chain; of nothing where it was not asked for.
    ///
    /// - Parameter name: the model that it goes to; nil for the one that it names.
    func promptChain(model name: String?) -> AnswerHasher {
        hashesPrompt ? hasher.chain(model: name ?? model) : .none
    }

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
        facts.hasCacheSalt = hasCacheSalt
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
            messageKey = .other
            forget(field)
        } else if field == .streamOptions {
            keyIsIncludeUsage = place.depth == 2 && text.map { ByteSearch.equals($0, "include_usage") } ?? false
        } else if field == .messages || field == .input {
            keyIsMedia = text.map(Self.isMedia) ?? false
            if hashesPrompt { messageKey = text.map { Self.messageKey($0, depth: place.depth) } ?? .other }
        } else if field == .tools, let section = field.section {
            sections[section].bytes &+= text?.count ?? JSONTokenizer.keyLimitBytes
            if !hashesPrompt { return }
            hasher.update(section) { tools in
                if let text { tools.append(text) }
                tools.append(PromptHasher.endOfKey, count: 2)
            }
        }
    }

    mutating func stringBegins(offset: Int, at place: JSONPlace) -> JSONStringUse {
        stringIsMedia = keyIsMedia && !place.isInArray
        if field == .model, place.depth == 1 {
            modelStart = offset
            return .capture
        }
        if field == .cacheSalt, place.depth == 1 { hasCacheSalt = true }
        return hashesPrompt ? hashUse(at: place) : .measure
    }

    /// How the hasher wants a string, and where its bytes go.
    private mutating func hashUse(at place: JSONPlace) -> JSONStringUse {
        stringTarget = nil
        stringIsRole = false
        switch field {
        case .cacheSalt where place.depth == 1: stringTarget = .salt
        case .messages, .input:
            if isMessageMember(place), messageKey == .role {
                stringIsRole = true
                return .capture
            }
            if messageKey == .notRendered, !place.isInArray || isClosed { return .measure }
            stringTarget = stringIsMedia ? .media : .section
        case .prompt, .instructions, .system, .tools: stringTarget = .section
        default: break
        }
        if isClosed { stringTarget = nil }
        return stringTarget == nil ? .measure : .feed
    }

    mutating func stringBytes(_ run: UnsafeRawBufferPointer) {
        guard let stringTarget else { return }
        hasher.append(run, to: stringTarget, section: field.section ?? 0)
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
            if hashesPrompt { hashStringEnd(text, section: section, at: place) }
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

    private mutating func hashStringEnd(_ text: UnsafeRawBufferPointer?, section: Int, at place: JSONPlace) {
        if stringIsRole {
            stringIsRole = false
            hasher.update(section) { $0.setRole(PromptHasher.role(text)) }
            return
        }
        guard let target = stringTarget else { return }
        stringTarget = nil
        if target == .media {
            hasher.endMedia(section: section)
            return
        }
        let isWholeField = place.depth == 1
        let isListed = place.depth == 2 && place.isInArray && (field == .prompt || field == .input)
        hasher.update(section) { prompt in
            if isListed { prompt.isClosed = true }
            if isWholeField || isListed { return }
            prompt.append(messageKey == .text ? PromptHasher.endOfText : PromptHasher.endOfOther, count: 2)
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
            if isTokenID {
                sections[section].tokenIDs &+= 1
                if hashesPrompt, let integer, !isClosed { hasher.update(section) { $0.append(tokenID: integer) } }
            }
        } else if field == .tools, hashesPrompt, let section = field.section {
            hasher.update(section) { tools in
                tools.append(PromptHasher.number, count: 2)
                tools.append(UInt64(truncatingIfNeeded: integer ?? -1), count: 8)
            }
        }
    }

    mutating func literal(_ literal: JSONLiteral, at place: JSONPlace) {
        if hashesPrompt, field == .tools, let section = field.section {
            hasher.update(section) { $0.append(PromptHasher.literal | UInt64(literal.rawValue) << 16, count: 3) }
        }
        guard literal == .true else { return }
        switch (field, place.depth) {
        case (.stream, 1): stream = true
        case (.ignoreEOS, 1): ignoreEOS = true
        case (.streamOptions, 2) where keyIsIncludeUsage && !place.isInArray: includeUsage = true
        default: break
        }
    }

    mutating func opens(array: Bool, at place: JSONPlace) {
        guard hashesPrompt, let section = field.section else { return }
        switch field {
        case .tools:
            hasher.update(section) { $0.append(PromptHasher.opening | (array ? 1 << 16 : 0), count: 3) }
        case .messages where isElement(place) && !array, .input where isElement(place) && !array:
            messageKey = .other
            hasher.update(section) { $0.beginMessage() }
        case .prompt where isElement(place) && array, .input where isElement(place) && array:
            // Lists of token ids: the second one is another prompt.
            hasher.update(section) { $0.beginList() }
        default: break
        }
    }

    mutating func closes(array: Bool, at place: JSONPlace) {
        guard hashesPrompt, let section = field.section else { return }
        if field == .tools {
            hasher.update(section) { $0.append(PromptHasher.closing, count: 2) }
        } else if field == .messages || field == .input, isElement(place), !array, !isClosed {
            hasher.update(section) { $0.endMessage() }
        }
    }

    /// Whether a value that stands at `place` is an element of the array that a top-level key holds.
    private func isElement(_ place: JSONPlace) -> Bool { place.depth == 2 && place.arrays == 0b1 }

    /// Whether a value that stands at `place` is a member of such an element.
    private func isMessageMember(_ place: JSONPlace) -> Bool { place.depth == 3 && place.arrays == 0b10 }

    /// Whether the first of several prompts in this field has ended.
    private var isClosed: Bool { field.section.map { hasher.sections[$0].isClosed } ?? false }

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
        case .cacheSalt:
            hasCacheSalt = false
            hasher.resetSalt()
        default:
            guard let section = field.section else { return }
            sections[section] = Section()
            hasher.reset(section: section)
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
        case 10:
            return matches("max_tokens")
                ? .maxTokens : matches("ignore_eos") ? .ignoreEOS : matches("cache_salt") ? .cacheSalt : .other
        case 12: return matches("instructions") ? .instructions : .other
        case 14: return matches("stream_options") ? .streamOptions : .other
        case 17: return matches("max_output_tokens") ? .maxOutputTokens : .other
        case 21: return matches("max_completion_tokens") ? .maxCompletionTokens : .other
        default: return .other
        }
    }

    /// What a key means in a message or in a part of one. `type`, `id` and their like are not rendered by chat templates,
    /// and `cache_control` (its `type` and `ttl`) moves from turn to turn.
    private static func messageKey(_ key: UnsafeRawBufferPointer, depth: Int) -> MessageKey {
        func matches(_ text: StaticString) -> Bool { ByteSearch.equals(key, text) }
        switch key.count {
        case 2: return matches("id") && depth == 3 ? .notRendered : .other
        case 3: return matches("ttl") ? .notRendered : .other
        case 4: return matches("role") ? .role : matches("text") ? .text : matches("type") ? .notRendered : .other
        case 6: return matches("detail") || depth == 3 && matches("status") ? .notRendered : .other
        case 7: return matches("content") ? .text : .other
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

/// An incremental JSON tokenizer: fed chunk by chunk, cut anywhere, it never holds more than one short token.
///
/// It checks structure (brackets, commas, colons, words, depth) but not everything a validator would: number syntax is
/// loose, and control characters and invalid UTF-8 inside strings pass, because the model server validates anyway.
/// The top level must be an object, as in every body of the OpenAI API.
struct JSONTokenizer {
    /// Containers may nest this deep; one bit each fits `JSONPlace.arrays`.
    static let depthLimit = 128
    /// Keys longer than this are reported as nil.
    static let keyLimitBytes = 64
    /// Captured strings longer than this are reported as nil.
    static let captureLimitBytes = TokenText.limitBytes

    private enum State: UInt8 {
        case start, value, firstElement, firstKey, nextKey, colon, afterValue
        case string, escape, unicode, number, literal, done
    }

    private enum StringRole: UInt8 { case key, captured, measured, fed }

    /// What is wrong with the document, if anything; nothing is read after it.
    private(set) var defect: JSONDefect?
    private var state = State.start
    private var depth = 0
    private var arrays: UInt128 = 0
    private var consumed = 0

    private var role = StringRole.measured
    private var token = TokenText()
    private var utf8Length = 0
    private var unicodeDigits = 0
    private var unicodeValue: UInt32 = 0
    /// The escapes of a string that is fed.
    private var surrogates = SurrogateJoiner()

    private var number = IntegerText()
    private var word = JSONLiteral.null
    private var wordMatched = 0

    /// Whether the top-level object has closed and nothing but white space followed.
    var isComplete: Bool { state == .done && defect == nil }

    /// UTF-8 bytes so far of the string value that is being read and measured or fed; nil between such strings.
    var openStringBytes: Int? {
        switch state {
        case .string, .escape, .unicode: keepsText ? nil : utf8Length
        default: nil
        }
    }

    /// Whether the text of the string that is being read is kept until its end.
    private var keepsText: Bool { role.rawValue <= StringRole.captured.rawValue }

    private var place: JSONPlace { JSONPlace(depth: depth, arrays: arrays) }

    /// Forgets the document, keeps the buffer.
    mutating func reset() {
        var fresh = JSONTokenizer()
        swap(&fresh.token, &token)
        self = fresh
    }

    /// Declares the document over; a missing end becomes a defect.
    mutating func finish() {
        if state != .done, defect == nil { defect = JSONDefect(kind: .truncated, offset: consumed) }
    }

    /// Records that a visitor found the document unacceptable.
    mutating func reject(_ kind: JSONDefect.Kind) {
        if defect == nil { defect = JSONDefect(kind: kind, offset: consumed) }
    }

    /// Reads the next bytes of the document.
    mutating func consume<Visitor: JSONVisitor>(_ bytes: UnsafeRawBufferPointer, visitor: inout Visitor) {
        guard defect == nil, let base = bytes.baseAddress else { return }
        let end = bytes.count
        var position = 0
        while position < end {
            switch state {
            case .string: position = readString(base, position, end, &visitor)
            case .escape: position = readEscape(base, position, &visitor)
            case .unicode: position = readUnicode(base, position, &visitor)
            case .number: position = readNumber(base, position, end, &visitor)
            case .literal: position = readLiteral(base, position, &visitor)
            default: position = readStructure(base, position, end, &visitor)
            }
            if defect != nil { return }
        }
        consumed &+= end
    }
}

// MARK: - Structure

extension JSONTokenizer {
    @inline(__always)
    private mutating func readStructure<Visitor: JSONVisitor>(
        _ base: UnsafeRawPointer, _ position: Int, _ end: Int, _ visitor: inout Visitor
    ) -> Int {
        let byte = base.load(fromByteOffset: position, as: UInt8.self)
        if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { return position &+ 1 }
        switch (state, byte) {
        case (.afterValue, UInt8(ascii: ",")):
            state = arrays & 1 == 1 ? .value : .nextKey
        case (.colon, UInt8(ascii: ":")):
            state = .value
        case (.firstKey, UInt8(ascii: "\"")), (.nextKey, UInt8(ascii: "\"")):
            beginString(.key)
        case (.firstKey, UInt8(ascii: "}")):
            close(&visitor)
        case (.afterValue, UInt8(ascii: "}")) where arrays & 1 == 0,
            (.afterValue, UInt8(ascii: "]")) where arrays & 1 == 1:
            close(&visitor)
        case (.firstElement, UInt8(ascii: "]")):
            close(&visitor)
        case (.value, _), (.firstElement, _):
            return beginValue(base, position, end, &visitor)
        case (.start, UInt8(ascii: "{")):
            open(array: false, position, &visitor)
        case (.start, _):
            fail(.notAnObject, position)
        case (.done, _):
            fail(.trailingBytes, position)
        default:
            fail(.unexpectedByte(byte), position)
        }
        return position &+ 1
    }

    @inline(__always)
    private mutating func beginValue<Visitor: JSONVisitor>(
        _ base: UnsafeRawPointer, _ position: Int, _ end: Int, _ visitor: inout Visitor
    ) -> Int {
        let byte = base.load(fromByteOffset: position, as: UInt8.self)
        switch byte {
        case UInt8(ascii: "\""):
            let use = visitor.stringBegins(offset: consumed &+ position, at: place)
            beginString(use == .capture ? .captured : use == .feed ? .fed : .measured)
        case UInt8(ascii: "{"):
            open(array: false, position, &visitor)
        case UInt8(ascii: "["):
            open(array: true, position, &visitor)
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            if let next = readWholeIntegers(base, position, end, &visitor) { return next }
            number = IntegerText()
            state = .number
            return position
        case UInt8(ascii: "t"): beginLiteral(.true)
        case UInt8(ascii: "f"): beginLiteral(.false)
        case UInt8(ascii: "n"): beginLiteral(.null)
        default: fail(.unexpectedByte(byte), position)
        }
        return position &+ 1
    }

    private mutating func open<Visitor: JSONVisitor>(array: Bool, _ position: Int, _ visitor: inout Visitor) {
        guard depth < Self.depthLimit else { return fail(.tooDeep, position) }
        visitor.opens(array: array, at: place)
        depth &+= 1
        arrays = arrays &<< 1 | (array ? 1 : 0)
        state = array ? .firstElement : .firstKey
    }

    private mutating func close<Visitor: JSONVisitor>(_ visitor: inout Visitor) {
        let wasArray = arrays & 1 == 1
        depth &-= 1
        arrays = arrays &>> 1
        visitor.closes(array: wasArray, at: place)
        state = depth == 0 ? .done : .afterValue
    }

    private mutating func fail(_ kind: JSONDefect.Kind, _ position: Int) {
        defect = JSONDefect(kind: kind, offset: consumed &+ position)
    }
}

// MARK: - Numbers and words

extension JSONTokenizer {
    /// The fast path of token ids: plain integers that end in this chunk, in an array one after the other. Returns where
    /// reading goes on, or nil when the first number is anything else.
    @inline(__always)
    private mutating func readWholeIntegers<Visitor: JSONVisitor>(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ visitor: inout Visitor
    ) -> Int? {
        let place = place
        var start = start
        var resume: Int?
        while true {
            var position = start
            var value = 0
            var byte: UInt8 = 0
            while position < end {
                byte = base.load(fromByteOffset: position, as: UInt8.self)
                let digit = byte &- UInt8(ascii: "0")
                if digit > 9 { break }
                value = value &* 10 &+ Int(digit)
                position &+= 1
            }
            // 18 digits cannot overflow; a number that may go on is left to the slow path.
            let isWhole = position < end && position > start && position &- start <= 18
            guard isWhole, !IntegerText.mayContinue(with: byte) else { return resume }
            visitor.number(value, at: place)
            state = .afterValue
            resume = position
            guard byte == UInt8(ascii: ","), place.isInArray else { return resume }
            start = position &+ 1
            if start < end, base.load(fromByteOffset: start, as: UInt8.self) == 0x20 { start &+= 1 }
        }
    }

    @inline(__always)
    private mutating func readNumber<Visitor: JSONVisitor>(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ visitor: inout Visitor
    ) -> Int {
        var position = start
        var text = number
        while position < end {
            guard text.append(base.load(fromByteOffset: position, as: UInt8.self)) else {
                visitor.number(text.integer, at: place)
                state = .afterValue
                return position
            }
            position &+= 1
        }
        number = text
        return end
    }

    private mutating func beginLiteral(_ literal: JSONLiteral) {
        word = literal
        wordMatched = 1
        state = .literal
    }

    private mutating func readLiteral<Visitor: JSONVisitor>(
        _ base: UnsafeRawPointer, _ position: Int, _ visitor: inout Visitor
    ) -> Int {
        let byte = base.load(fromByteOffset: position, as: UInt8.self)
        guard byte == word.spelling.utf8Start[wordMatched] else {
            fail(.unexpectedByte(byte), position)
            return position
        }
        wordMatched &+= 1
        if wordMatched == word.spelling.utf8CodeUnitCount {
            visitor.literal(word, at: place)
            state = .afterValue
        }
        return position &+ 1
    }
}

// MARK: - Strings

extension JSONTokenizer {
    @inline(__always)
    private mutating func beginString(_ newRole: StringRole) {
        role = newRole
        token.begin()
        utf8Length = 0
        surrogates = SurrogateJoiner()
        state = .string
    }

    @inline(__always)
    private mutating func readString<Visitor: JSONVisitor>(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ visitor: inout Visitor
    ) -> Int {
        var start = start
        while true {
            let stop = ByteSearch.offset(of: UInt8(ascii: "\""), or: UInt8(ascii: "\\"), in: base, from: start, to: end)
            let run = UnsafeRawBufferPointer(start: base + start, count: stop &- start)
            utf8Length &+= run.count
            if role == .fed { feed(run, &visitor) }
            if stop < end, base.load(fromByteOffset: stop, as: UInt8.self) == UInt8(ascii: "\"") {
                if role == .fed { flushSurrogate(&visitor) }
                if !keepsText || !token.isInUse {
                    // The common case: nothing to keep, or the whole string lies here unescaped, so nothing is copied.
                    endString(run, endOffset: consumed &+ stop &+ 1, &visitor)
                } else {
                    token.append(run)
                    finishPartialString(endOffset: consumed &+ stop &+ 1, &visitor)
                }
                return stop &+ 1
            }
            if keepsText {
                token.append(run)
            } else if stop &+ 6 <= end, let length = readWholeEscape(base + stop + 1, &visitor) {
                start = stop &+ 1 &+ length
                continue
            }
            if stop < end { state = .escape }
            return stop < end ? stop &+ 1 : end
        }
    }

    /// The fast path of escapes in text that is not kept: takes the one whose at least five bytes follow, and
    /// returns its length without the backslash; nil if it is malformed.
    @inline(__always)
    private mutating func readWholeEscape<Visitor: JSONVisitor>(
        _ bytes: UnsafeRawPointer, _ visitor: inout Visitor
    ) -> Int? {
        let byte = bytes.load(as: UInt8.self)
        if let character = JSONText.character(ofEscape: byte) {
            utf8Length &+= 1
            if role == .fed {
                flushSurrogate(&visitor)
                Self.feed(character, &visitor)
            }
            return 1
        }
        let digits = UnsafeRawBufferPointer(start: bytes + 1, count: 4)
        guard byte == UInt8(ascii: "u"), let unit = JSONText.hexadecimalValue(ofFour: digits) else { return nil }
        append(utf16: unit, &visitor)
        return 5
    }

    private mutating func finishPartialString<Visitor: JSONVisitor>(endOffset: Int, _ visitor: inout Visitor) {
        let text = token.takeBytes()
        text.withUnsafeBytes { endString($0, endOffset: endOffset, &visitor) }
        token.recycle(text)
    }

    @inline(__always)
    private mutating func endString<Visitor: JSONVisitor>(
        _ text: UnsafeRawBufferPointer, endOffset: Int, _ visitor: inout Visitor
    ) {
        switch role {
        case .key:
            visitor.key(token.isTooLong || text.count > Self.keyLimitBytes ? nil : text, at: place)
            state = .colon
        case .measured, .fed:
            visitor.stringEnds(nil, utf8Length: utf8Length, endOffset: endOffset, at: place)
            state = .afterValue
        case .captured:
            let whole = token.isTooLong || text.count > Self.captureLimitBytes ? nil : text
            visitor.stringEnds(whole, utf8Length: utf8Length, endOffset: endOffset, at: place)
            state = .afterValue
        }
    }

    /// Takes the UTF-16 unit of an escape; each half of a surrogate pair counts two of the pair's four bytes.
    private mutating func append<Visitor: JSONVisitor>(utf16 unit: UInt32, _ visitor: inout Visitor) {
        utf8Length &+= 0xD800...0xDFFF ~= unit ? 2 : JSONText.utf8Length(of: unit)
        switch role {
        case .key, .captured: token.append(utf16: unit)
        case .measured: break
        case .fed:
            let (isBroken, scalar) = surrogates.append(unit)
            if isBroken { Self.feed(0xFFFD, &visitor) }
            if let scalar { Self.feed(scalar, &visitor) }
        }
    }

    private mutating func readEscape<Visitor: JSONVisitor>(
        _ base: UnsafeRawPointer, _ position: Int, _ visitor: inout Visitor
    ) -> Int {
        let byte = base.load(fromByteOffset: position, as: UInt8.self)
        state = .string
        if let character = JSONText.character(ofEscape: byte) {
            append(utf16: character, &visitor)
        } else if byte == UInt8(ascii: "u") {
            state = .unicode
            unicodeDigits = 0
            unicodeValue = 0
        } else {
            fail(.unexpectedByte(byte), position)
        }
        return position &+ 1
    }

    private mutating func readUnicode<Visitor: JSONVisitor>(
        _ base: UnsafeRawPointer, _ position: Int, _ visitor: inout Visitor
    ) -> Int {
        let byte = base.load(fromByteOffset: position, as: UInt8.self)
        guard let digit = JSONText.hexadecimalValue(of: byte) else {
            fail(.unexpectedByte(byte), position)
            return position
        }
        unicodeValue = unicodeValue &<< 4 | digit
        unicodeDigits &+= 1
        if unicodeDigits == 4 {
            state = .string
            append(utf16: unicodeValue, &visitor)
        }
        return position &+ 1
    }
}

// MARK: - Text that is fed

extension JSONTokenizer {
    @inline(__always)
    private mutating func feed<Visitor: JSONVisitor>(_ run: UnsafeRawBufferPointer, _ visitor: inout Visitor) {
        if run.isEmpty { return }
        flushSurrogate(&visitor)
        visitor.stringBytes(run)
    }

    @inline(__always)
    private mutating func flushSurrogate<Visitor: JSONVisitor>(_ visitor: inout Visitor) {
        if surrogates.flush() { Self.feed(0xFFFD, &visitor) }
    }

    @inline(__always)
    private static func feed<Visitor: JSONVisitor>(_ scalar: UInt32, _ visitor: inout Visitor) {
        let length = JSONText.utf8Length(of: scalar)
        var word = JSONText.utf8Word(of: scalar).littleEndian
        withUnsafeBytes(of: &word) { visitor.stringBytes(UnsafeRawBufferPointer(rebasing: $0.prefix(length))) }
    }
}

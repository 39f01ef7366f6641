public import Basics
public import Delivery

/// What is wrong with a submitted line, in a sentence for the one who wrote it.
public struct MessageFormatError: Error, Hashable, CustomStringConvertible {
    /// The fault.
    public let description: String

    init(_ description: String) { self.description = description }
}

/// What a line need not say.
public struct MessageDefaults: Hashable, Sendable {
    /// The time of submission: `created` of a line without one.
    public var now: Instant
    /// Added to `created` for the deadline of a line without one.
    public var completionWindow: TimeSpan
    /// The path of a line without `endpoint` or `url`.
    public var path: String
    /// Put before each id, so that files whose ids overlap can share a queue.
    public var idPrefix: String

    /// Creates defaults.
    public init(
        now: Instant, completionWindow: TimeSpan = .seconds(86_400), path: String = "/v1/chat/completions",
        idPrefix: String = ""
    ) {
        self.now = now
        self.completionWindow = completionWindow
        self.path = path
        self.idPrefix = idPrefix
    }
}

/// Reads submitted lines: messages (shared reference `async-processor.md` 2.1) and the input lines of OpenAI's batch API.
///
/// Members that are not known are ignored, so that files written for other processors can be submitted as they are.
public enum MessageCodec {
    /// An id may be this long, in bytes of UTF-8.
    public static let maximumIDBytes = 512
    /// A path may be this long, in bytes.
    public static let maximumPathBytes = 2048
    /// Headers, and likewise metadata, may have this many members.
    public static let maximumMapMembers = 64
    /// Headers, and likewise metadata, may be this large, in bytes of names and values.
    public static let maximumMapBytes = 32_768

    /// Reads one line.
    ///
    /// A line with `id` and `payload` is a message, one with `custom_id` and `body` a batch line. The payload is kept byte
    /// for byte.
    public static func decode(
        _ line: [UInt8], defaults: MessageDefaults
    ) throws(MessageFormatError) -> InferenceMessage {
        do {
            _ = try UTF8Span(validating: line.span)
        } catch {
            throw MessageFormatError("not valid UTF-8")
        }
        var fields = Fields()
        do throws(JSONScanError) {
            var scanner = JSONScanner(line)
            try scanner.readObject { scanner, key throws(JSONScanError) in try fields.read(key, from: &scanner) }
            try scanner.expectEnd()
        } catch {
            throw MessageFormatError("not a valid JSON object: \(error.message) at byte \(error.offset + 1)")
        }
        if let problem = fields.problem { throw MessageFormatError(problem) }
        return try fields.message(line: line, defaults: defaults)
    }

    /// Reads a JSON object of strings, as `encodeMap(_:)` wrote it; nil if it is none.
    public static func decodeMap(_ bytes: [UInt8]) -> [String: String]? {
        var scanner = JSONScanner(bytes)
        var map: [String: String] = [:]
        do throws(JSONScanError) {
            try scanner.readObject { scanner, key throws(JSONScanError) in map[key] = try scanner.readString() }
        } catch {
            return nil
        }
        return map
    }

    /// Writes a map of strings as a JSON object.
    public static func encodeMap(_ map: [String: String]) -> [UInt8] { JSONWriter.object(map) }
}

/// The members of a line as they are found.
private struct Fields {
    var id: String?
    var path: String?
    var method: String?
    var created: Instant?
    var deadline: Instant?
    var payload: Range<Int>?
    var model: String?
    var headers: [String: String] = [:]
    var metadata: [String: String] = [:]
    /// The first member whose value does not fit.
    var problem: String?

    mutating func read(_ key: String, from scanner: inout JSONScanner) throws(JSONScanError) {
        switch key {
        case "id", "custom_id": id = try string(key, from: &scanner)
        case "endpoint", "url": path = try string(key, from: &scanner)
        case "method": method = try string(key, from: &scanner)
        case "created": created = try time(key, from: &scanner)
        case "deadline": deadline = try time(key, from: &scanner)
        case "headers": headers = try map(key, from: &scanner)
        case "metadata": metadata = try map(key, from: &scanner)
        case "payload", "body": try readPayload(key, from: &scanner)
        default: _ = try scanner.skipValue()
        }
    }

    private mutating func readPayload(_ key: String, from scanner: inout JSONScanner) throws(JSONScanError) {
        guard scanner.peek() == UInt8(ascii: "{") else { return try reject("\"\(key)\" must be an object", &scanner) }
        let start = scanner.position
        var model: String?
        try scanner.readObject { scanner, member throws(JSONScanError) in
            if member == "model", scanner.peek() == UInt8(ascii: "\"") {
                model = try scanner.readString()
            } else {
                _ = try scanner.skipValue()
            }
        }
        self.model = model
        payload = start..<scanner.position
    }

    /// A string; `null` counts as absent.
    private mutating func string(_ key: String, from scanner: inout JSONScanner) throws(JSONScanError) -> String? {
        switch scanner.peek() {
        case UInt8(ascii: "\""): return try scanner.readString()
        case UInt8(ascii: "n"): _ = try scanner.skipValue()
        default: try reject("\"\(key)\" must be a string", &scanner)
        }
        return nil
    }

    private mutating func time(_ key: String, from scanner: inout JSONScanner) throws(JSONScanError) -> Instant? {
        var instant: Instant?
        switch scanner.peek() {
        case UInt8(ascii: "\""):
            let text = try scanner.readString()
            instant = UnixTime.seconds(text) ?? UnixTime.rfc3339(text)
        case UInt8(ascii: "n"):
            _ = try scanner.skipValue()
            return nil
        case let byte? where JSONScanner.beginsNumber(byte):
            instant = UnixTime.seconds(try scanner.readNumber())
        default: _ = try scanner.skipValue()
        }
        if instant == nil {
            problem =
                problem
                ?? "\"\(key)\" must be Unix seconds such as 1793440800 or a time such as \"2026-10-31T10:00:00Z\""
        }
        return instant
    }

    private mutating func map(
        _ key: String, from scanner: inout JSONScanner
    ) throws(JSONScanError) -> [String: String] {
        var map: [String: String] = [:]
        guard scanner.peek() == UInt8(ascii: "{") else {
            if scanner.peek() == UInt8(ascii: "n") {
                _ = try scanner.skipValue()
            } else {
                try reject("\"\(key)\" must be an object of strings", &scanner)
            }
            return map
        }
        var size = 0
        var fits = true
        try scanner.readObject { scanner, name throws(JSONScanError) in
            guard fits, scanner.peek() == UInt8(ascii: "\"") else {
                fits = false
                _ = try scanner.skipValue()
                return
            }
            let value = try scanner.readString()
            size += name.utf8.count + value.utf8.count
            map[name] = value
        }
        if !fits { problem = problem ?? "\"\(key)\" must be an object of strings" }
        if map.count > MessageCodec.maximumMapMembers || size > MessageCodec.maximumMapBytes {
            problem =
                problem
                ?? "\"\(key)\" may have up to \(MessageCodec.maximumMapMembers) members and \(MessageCodec.maximumMapBytes) bytes"
        }
        return map
    }

    private mutating func reject(_ problem: String, _ scanner: inout JSONScanner) throws(JSONScanError) {
        self.problem = self.problem ?? problem
        _ = try scanner.skipValue()
    }

    /// Puts the message together, once the line has been read.
    func message(line: [UInt8], defaults: MessageDefaults) throws(MessageFormatError) -> InferenceMessage {
        guard let id, !id.isEmpty else {
            throw MessageFormatError("\"id\" (or \"custom_id\" in a batch line) is missing or empty")
        }
        let fullID = defaults.idPrefix + id
        guard fullID.utf8.count <= MessageCodec.maximumIDBytes else {
            throw MessageFormatError("\"id\" may have up to \(MessageCodec.maximumIDBytes) bytes")
        }
        guard let payload else {
            throw MessageFormatError("\"payload\" (or \"body\" in a batch line) is missing")
        }
        if let method, method != "POST" {
            throw MessageFormatError("\"method\" must be POST, not \(method)")
        }
        var path = path ?? defaults.path
        if !path.hasPrefix("/") { path = "/" + path }
        guard path.utf8.count <= MessageCodec.maximumPathBytes, path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else {
            throw MessageFormatError("the path must be printable ASCII of up to \(MessageCodec.maximumPathBytes) bytes")
        }
        for (name, value) in headers {
            guard Self.isFieldName(name), Self.isFieldValue(value) else {
                throw MessageFormatError(
                    "\"headers\" has a name or value that HTTP does not allow: \(name.debugDescription)")
            }
        }
        let created = created ?? defaults.now
        return InferenceMessage(
            id: fullID, created: created,
            deadline: deadline ?? min(created + defaults.completionWindow, .distantFuture),
            path: path, payload: Array(line[payload]), model: model, headers: headers, metadata: metadata)
    }

    /// A token of RFC 9110 section 5.6.2.
    private static func isFieldName(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// No control characters, above all no line ends, which would begin another field.
    private static func isFieldValue(_ value: String) -> Bool {
        value.utf8.allSatisfy { $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7F) }
    }
}

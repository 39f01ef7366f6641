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
    /// A tenant's name may be this long, in bytes of UTF-8.
    public static let maximumTenantBytes = 256
    /// The URL of a webhook may be this long, in bytes.
    public static let maximumWebhookBytes = 2048
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
        var fields = MessageFields()
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

    /// Writes a message as a line that `decode(_:defaults:)` reads as the same message, without a line end. Line ends in the
    /// payload become spaces.
    public static func encode(_ message: InferenceMessage) -> [UInt8] {
        var line = JSONWriter(capacity: 512 + message.payload.count)
        line.member("id", message.id)
        line.member("created", exactly: message.created)
        line.member("deadline", exactly: message.deadline)
        line.member("endpoint", message.path)
        line.member("payload", onOneLine: message.payload)
        if !message.headers.isEmpty { line.member("headers", message.headers) }
        if !message.metadata.isEmpty { line.member("metadata", message.metadata) }
        if !message.tenant.isEmpty { line.member("tenant", message.tenant) }
        if message.priority != 0 { line.member("priority", message.priority) }
        if let webhook = message.webhook { line.member("webhook", webhook) }
        return line.finish()
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

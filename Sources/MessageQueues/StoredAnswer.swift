import Delivery

/// What a stored result says to the one who asked: the model server's answer, or why there is none.
public struct StoredAnswer: Hashable, Sendable {
    /// The status of the last HTTP answer.
    public var statusCode: Int?
    /// The body of the last HTTP answer; nil if no answer arrived.
    public var body: [UInt8]?
    /// The media type of the body.
    public var contentType: String?
    /// The error code, unless the status is the final word.
    public var errorCode: String?
    /// The error in a sentence.
    public var errorMessage: String?

    /// Reads the line of a result, as `ResultCodec` wrote it; nil if it is none.
    public init?(line: [UInt8]) {
        var payload: String?
        var encoding: String?
        var scanner = JSONScanner(line)
        do throws(JSONScanError) {
            try scanner.readObject { scanner, key throws(JSONScanError) in
                switch key {
                case "status_code": statusCode = Int(try scanner.readNumber())
                case "payload": payload = try scanner.readString()
                case "payload_encoding": encoding = try scanner.readString()
                case "content_type": contentType = try scanner.readString()
                case "error_code": errorCode = try scanner.readString()
                case "error_message": errorMessage = try scanner.readString()
                default: _ = try scanner.skipValue()
                }
            }
            try scanner.expectEnd()
        } catch {
            return nil
        }
        // Without an answer the line has a payload made of the error message, and no media type.
        guard let payload, errorCode == nil || contentType != nil else { return }
        guard encoding == "base64" else {
            body = Array(payload.utf8)
            return
        }
        guard let bytes = Base64.bytes(payload) else { return nil }
        body = bytes
    }

    /// Whether the body is a JSON document (RFC 8259), strictly.
    public var bodyIsJSON: Bool {
        guard let body, (try? UTF8Span(validating: body.span)) != nil else { return false }
        var scanner = JSONScanner(body)
        do throws(JSONScanError) {
            _ = try scanner.skipValue()
            try scanner.expectEnd()
            return true
        } catch {
            return false
        }
    }
}

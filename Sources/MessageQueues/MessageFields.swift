import Basics
import Delivery

/// The members of a line as they are found.
struct MessageFields {
    var id: String?
    var path: String?
    var method: String?
    var created: Instant?
    var deadline: Instant?
    var payload: Range<Int>?
    var model: String?
    var headers: [String: String] = [:]
    var metadata: [String: String] = [:]
    var tenant: String?
    var priority: Int?
    var webhook: String?
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
        case "tenant": tenant = try string(key, from: &scanner)
        case "priority": priority = try priority(from: &scanner)
        case "webhook": webhook = try string(key, from: &scanner)
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

    private mutating func priority(from scanner: inout JSONScanner) throws(JSONScanError) -> Int? {
        let classes = InferenceMessage.priorityRange
        switch scanner.peek() {
        case UInt8(ascii: "n"):
            _ = try scanner.skipValue()
            return nil
        case let byte? where JSONScanner.beginsNumber(byte):
            if let value = Int(try scanner.readNumber()), classes.contains(value) { return value }
        default: _ = try scanner.skipValue()
        }
        problem =
            problem ?? "\"priority\" must be a whole number from \(classes.lowerBound) to \(classes.upperBound)"
        return nil
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
        let tenant = tenant ?? ""
        guard tenant.utf8.count <= MessageCodec.maximumTenantBytes, tenant.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
        else {
            throw MessageFormatError(
                "\"tenant\" may have up to \(MessageCodec.maximumTenantBytes) bytes and no control characters")
        }
        if let webhook, !Self.isWebAddress(webhook) {
            throw MessageFormatError(
                "\"webhook\" must be an absolute http or https URL of up to \(MessageCodec.maximumWebhookBytes) bytes")
        }
        let created = created ?? defaults.now
        return InferenceMessage(
            id: fullID, created: created,
            deadline: deadline ?? min(created + defaults.completionWindow, .distantFuture),
            path: path, payload: Array(line[payload]), model: model, headers: headers, metadata: metadata,
            tenant: tenant, priority: priority ?? 0, webhook: webhook)
    }

    /// An absolute `http` or `https` URL with a host, in printable ASCII. Which hosts may be called is the poster's business.
    private static func isWebAddress(_ text: String) -> Bool {
        guard text.utf8.count <= MessageCodec.maximumWebhookBytes, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            let scheme = ["http://", "https://"].first(where: { text.lowercased().hasPrefix($0) })
        else { return false }
        let authority = text.dropFirst(scheme.count).prefix { !"/?#".contains($0) }
        let host = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        return !host.isEmpty && !host.hasPrefix(":")
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

import Basics
import Delivery
import MessageQueues

/// Where a new `internal` object goes into a member, in bytes.
enum InternalPlace: Hashable, Sendable {
    /// In the place of the one that is there.
    case replacement(of: Range<Int>)
    /// Before the first member of the envelope, which has others.
    case insertion(at: Int)

    /// The bytes to replace, and what by.
    func edit(_ object: [UInt8]) -> (range: Range<Int>, bytes: [UInt8]) {
        switch self {
        case .replacement(let range): (range, object)
        case .insertion(let place): (place..<place, Array(#""internal":"#.utf8) + object + [UInt8(ascii: ",")])
        }
    }
}

/// A member of the queue's sorted set that cannot be run as it is.
struct EnvelopeFault: Error, Hashable {
    /// The fault in a sentence.
    let reason: String
    /// The id of the message, if it could be read.
    var id: String?
    /// What could be read of the routing.
    var fields = InternalFields()
}

/// A member of the queue's sorted set (shared reference `async-processor.md` 2.1 and 2.2), read as far as it takes: the
/// payload is only ever a range of its bytes.
struct Envelope: Sendable {
    /// The member as it is.
    let member: [UInt8]
    /// Its `internal` object.
    private(set) var fields = InternalFields()
    /// Where a new one goes.
    private(set) var internalPlace = InternalPlace.insertion(at: 1)
    /// The id of the message.
    private(set) var id = ""

    private var kind: String?
    private var hasData = false
    private var hasID = false
    private var resultQueue: String?
    private var requestQueue: String?
    /// The values of the message that matter here, in the order in which they are written down again.
    private var values: [(name: Name, range: Range<Int>)] = []

    private enum Name: String, CaseIterable {
        case id, created, deadline, endpoint, headers, metadata, tenant, priority, webhook, payload
    }

    private static let kinds: Set<String> = ["plain", "redis", "pubsub"]

    /// Reads a member.
    init(_ member: [UInt8]) throws(EnvelopeFault) {
        self.member = member
        do {
            _ = try UTF8Span(validating: member.span)
        } catch {
            throw EnvelopeFault(reason: "the message is not valid UTF-8")
        }
        do throws(JSONScanError) {
            var scanner = JSONScanner(member)
            _ = scanner.peek()
            internalPlace = .insertion(at: scanner.position + 1)
            try scanner.readObject { scanner, key throws(JSONScanError) in try read(key, &scanner) }
            try scanner.expectEnd()
        } catch {
            throw fault("the message is not a valid JSON object: \(error.message) at byte \(error.offset + 1)")
        }
        guard let kind else { throw fault("\"request_kind\" is missing") }
        guard Self.kinds.contains(kind) else { throw fault("\"request_kind\" must be plain, redis or pubsub") }
        guard !fields.namesForeignPayloadKey else {
            throw fault("\"payload_ref\" does not begin with \(QueueKeys.payloadPrefix)")
        }
        guard hasData else { throw fault("\"data\" is missing or no object") }
        guard hasID else { throw fault("\"id\" is missing or no string") }
        if fields.resultQueue?.isEmpty ?? true { fields.resultQueue = resultQueue }
        if fields.requestQueue?.isEmpty ?? true { fields.requestQueue = requestQueue }
    }

    private func fault(_ reason: String) -> EnvelopeFault {
        EnvelopeFault(reason: reason, id: hasID ? id : nil, fields: fields)
    }

    private mutating func read(_ key: String, _ scanner: inout JSONScanner) throws(JSONScanError) {
        switch key {
        case "internal":
            _ = scanner.peek()
            let start = scanner.position
            fields = try InternalFields(&scanner, in: member)
            internalPlace = .replacement(of: start..<scanner.position)
        case "request_kind": kind = try scanner.readOptionalString()
        case "data":
            guard scanner.peek() == UInt8(ascii: "{") else {
                _ = try scanner.skipValue()
                return
            }
            hasData = true
            try scanner.readObject { scanner, key throws(JSONScanError) in try readData(key, &scanner) }
        default: _ = try scanner.skipValue()
        }
    }

    private mutating func readData(_ key: String, _ scanner: inout JSONScanner) throws(JSONScanError) {
        let first = scanner.peek()
        let start = scanner.position
        switch key {
        case "id" where first == UInt8(ascii: "\""):
            id = try scanner.readString()
            hasID = true
        case "result_queue_name": resultQueue = try scanner.readOptionalString()
        case "request_queue_name": requestQueue = try scanner.readOptionalString()
        default: _ = try scanner.skipValue()
        }
        guard let name = Name(rawValue: key), first != UInt8(ascii: "n") else { return }
        // Producers that do not say when they made a message write a zero.
        if name == .created, UInt8(ascii: "1")...UInt8(ascii: "9") ~= first ?? 0 || first == UInt8(ascii: "\"") {
            values.append((name, start..<scanner.position))
        } else if name != .created {
            values.append((name, start..<scanner.position))
        }
    }

    /// The message; `payload` is what the payload's key holds, where the envelope names one.
    ///
    /// A message without a deadline is none, whatever its score: a producer that scores otherwise, say by priority, means no
    /// time with it.
    func message(
        payload: [UInt8]?, defaults: MessageDefaults, labels: [String: String]
    ) throws(EnvelopeFault) -> InferenceMessage {
        var line = JSONWriter(capacity: member.count + (payload?.count ?? 0))
        var hasDeadline = false
        var hasPayload = false
        for (name, range) in values {
            let value = Array(member[range])
            switch name {
            case .id: line.member("id", json: value)
            case .created: line.member("created", json: value)
            case .deadline:
                line.member("deadline", json: value)
                hasDeadline = value.first != UInt8(ascii: "n")
            case .endpoint: line.member("endpoint", json: value)
            case .headers: line.member("headers", json: value)
            case .metadata: line.member("metadata", json: value)
            case .tenant: line.member("tenant", json: value)
            case .priority: line.member("priority", json: value)
            case .webhook: line.member("webhook", json: value)
            case .payload where payload == nil:
                line.member("payload", json: value)
                hasPayload = true
            case .payload: break
            }
        }
        if let payload {
            line.member("payload", json: payload)
            hasPayload = true
        }
        guard hasPayload else { throw fault("\"payload\" is missing") }
        guard hasDeadline else { throw fault("\"deadline\" is missing") }
        do throws(MessageFormatError) {
            var message = try MessageCodec.decode(line.finish(), defaults: defaults)
            // The configuration's labels count for more than those in the envelope.
            message.labels = fields.labels.merging(labels) { _, configured in configured }
            return message
        } catch {
            throw fault(error.description)
        }
    }
}

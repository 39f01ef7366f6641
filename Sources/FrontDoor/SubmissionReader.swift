import Basics
import Delivery
import InferenceAPI
import MessageQueues

/// Turns an HTTP request into a message, or says what is wrong with it. Pure.
struct SubmissionReader {
    /// Header fields that are kept for the model server: the form of the body, and the trace that the request belongs
    /// to. Everything else that a client sends is about its connection to Weir, or is a secret that must not lie on a
    /// disk.
    private static let keptHeaders = [HeaderName.contentType, HeaderName.traceParent, HeaderName.traceState]
    private static let keptHeaderLimitBytes = 512
    private static let webhookLimitBytes = 2048
    /// Bounds of metadata: those of OpenAI's API.
    private static let metadataLimit = (items: 16, nameBytes: 64, valueBytes: 512)

    let settings: FrontDoorSettings
    let webhookIsAllowed: @Sendable (String) -> Bool

    /// A request as it was sent.
    struct Request {
        var target: String
        var headers: [(name: String, value: String)]
        var body: [UInt8]
        var tenant: String
        var isTrusted: Bool
    }

    /// Reads a request that arrived at `now`; `newID` makes its id unless an idempotency key gives it.
    func message(_ request: Request, now: Instant, newID: () -> String) throws(APIError) -> InferenceMessage {
        guard request.target.utf8.count <= MessageCodec.maximumPathBytes else {
            throw .targetTooLong(limitBytes: MessageCodec.maximumPathBytes)
        }
        guard request.target.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .malformedRequest("target has characters other than printable ASCII")
        }
        var scanner = RequestBodyScanner()
        request.body.withUnsafeBytes { scanner.consume($0) }
        scanner.finish()
        if let defect = scanner.malformed { throw .invalidJSON(defect) }
        let model = scanner.facts.model
        let needsModel = InferencePath(target: request.target).needsModel
        if model == nil, needsModel { throw .missingModel }
        var fields = try Fields(request.headers)
        if needsModel { fields.correctContentType() }
        return InferenceMessage(
            id: try fields.idempotencyKey.map { key throws(APIError) in
                try derivedID(tenant: request.tenant, key: key)
            } ?? newID(), created: now, deadline: try deadline(fields, now: now), path: request.target,
            payload: request.body, model: model, headers: fields.kept, metadata: fields.metadata,
            tenant: request.tenant, priority: try priority(fields, isTrusted: request.isTrusted),
            webhook: try webhook(fields))
    }

    private func derivedID(tenant: String, key: String) throws(APIError) -> String {
        let limit = RequestIdentity.keyLimitBytes
        guard (1...limit).contains(key.utf8.count), key.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw .invalidValue(of: HeaderName.idempotencyKey, expected: "1 to \(limit) printable ASCII characters")
        }
        return RequestIdentity.derived(tenant: tenant, key: key)
    }

    private func deadline(_ fields: Fields, now: Instant) throws(APIError) -> Instant {
        let deadline: Instant
        let name: String
        if let text = fields.deadline {
            name = HeaderName.deadline
            guard let instant = TimeSpan(headerValue: text).map({ now + $0 }) ?? UnixTime.rfc3339(text) else {
                throw .invalidValue(
                    of: name, expected: "a time from now such as 90, 30m or 2h, or a date such as 2026-11-22T10:00:00Z")
            }
            deadline = instant
        } else if let text = fields.timeToLive {
            name = HeaderName.queueTTL
            guard let span = TimeSpan(headerValue: text) else {
                throw .invalidValue(of: name, expected: "a length of time such as 90, 30m or 2h")
            }
            deadline = now + span
        } else {
            return min(now + settings.completionWindow, .distantFuture)
        }
        guard deadline > now else { throw .invalidValue(of: name, expected: "in the future") }
        return min(deadline, .distantFuture)
    }

    private func priority(_ fields: Fields, isTrusted: Bool) throws(APIError) -> Int {
        guard let text = fields.priority else { return 0 }
        let range = InferenceMessage.priorityRange
        guard let priority = Int(text), range.contains(priority) else {
            throw .invalidValue(
                of: HeaderName.priorityClass, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        guard priority <= 0 || isTrusted else {
            throw .forbidden("Only trusted callers may use a priority above 0.")
        }
        return priority
    }

    private func webhook(_ fields: Fields) throws(APIError) -> String? {
        guard let url = fields.webhook else { return nil }
        guard url.utf8.count <= Self.webhookLimitBytes, url.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            let scheme = url.firstRange(of: "://"), ["http", "https"].contains(url[..<scheme.lowerBound].lowercased()),
            let first = url[scheme.upperBound...].first, !"/?#:@".contains(first)
        else {
            throw .invalidValue(
                of: HeaderName.webhook,
                expected: "an absolute http or https URL of up to \(Self.webhookLimitBytes) bytes")
        }
        guard webhookIsAllowed(url) else {
            throw .invalidValue(
                of: HeaderName.webhook, expected: "a URL to which the operator allows results to be sent")
        }
        return url
    }

    /// The headers that matter, the first of each name.
    private struct Fields {
        var idempotencyKey: String?
        var deadline: String?
        var timeToLive: String?
        var priority: String?
        var webhook: String?
        var kept: [String: String] = [:]
        var metadata: [String: String] = [:]

        init(_ headers: [(name: String, value: String)]) throws(APIError) {
            for (spelling, value) in headers {
                let name = spelling.lowercased()
                switch name {
                case HeaderName.idempotencyKey: idempotencyKey = idempotencyKey ?? value
                case HeaderName.deadline: deadline = deadline ?? value
                case HeaderName.queueTTL: timeToLive = timeToLive ?? value
                case HeaderName.priorityClass: priority = priority ?? value
                case HeaderName.webhook: webhook = webhook ?? value
                case _ where SubmissionReader.keptHeaders.contains(name): try keep(name, value)
                case _ where name.hasPrefix(HeaderName.metadataPrefix):
                    try note(name.dropFirst(HeaderName.metadataPrefix.count), value)
                default: break
                }
            }
        }

        /// Calls a body that has been found to be JSON by its name, where it bears the one that curl gives to all bodies:
        /// model servers would refuse it.
        mutating func correctContentType() {
            let form = "application/x-www-form-urlencoded"
            guard kept[HeaderName.contentType]?.lowercased().hasPrefix(form) == true else { return }
            kept[HeaderName.contentType] = "application/json"
        }

        private mutating func keep(_ name: String, _ value: String) throws(APIError) {
            guard value.utf8.count <= SubmissionReader.keptHeaderLimitBytes else {
                throw .invalidValue(of: name, expected: "no longer than \(SubmissionReader.keptHeaderLimitBytes) bytes")
            }
            kept[name] = kept[name] ?? value
        }

        private mutating func note(_ name: Substring, _ value: String) throws(APIError) {
            let limit = SubmissionReader.metadataLimit
            metadata[String(name)] = metadata[String(name)] ?? value
            guard metadata.count <= limit.items, (1...limit.nameBytes).contains(name.utf8.count),
                value.utf8.count <= limit.valueBytes
            else {
                throw .invalidValue(
                    of: HeaderName.metadataPrefix + name,
                    expected:
                        "one of up to \(limit.items), with a name of 1 to \(limit.nameBytes) and a value of up to "
                        + "\(limit.valueBytes) bytes")
            }
        }
    }
}

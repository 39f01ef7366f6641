import Basics
import Delivery
import MessageQueues

/// The `internal` object of an envelope: routing, and what has happened to the message (shared reference
/// `async-processor.md` 2.2).
///
/// What this program has no use for is kept as it is, so that a message that passes through it loses nothing that another
/// processor put there. Our own notes lie under `weir`, which others ignore.
struct InternalFields: Hashable, Sendable {
    /// Failed tries as llm-d-async counts them: answers 429 and 5xx.
    var retryCount = 0
    /// Which use of the id this is; empty if the producer gave none.
    var token = ""
    var requestQueue: String?
    var resultQueue: String?
    /// How long the result list is kept after a result, in seconds; 0 leaves it.
    var resultLifetime = 0
    /// Whether a processor has settled the two above, so that a queue's configuration no longer counts.
    var resultRouteIsSettled = false
    var enqueued: Instant?
    /// The key that holds the payload, where the envelope does not. Has to be one of those for payloads: it is deleted in
    /// the end.
    var payloadKey: String?
    /// Whether a key was named that is none for payloads.
    var namesForeignPayloadKey = false
    var labels: [String: String] = [:]
    /// What we remembered of earlier attempts.
    private var noted = AttemptRecord()
    /// `retryCount` when we noted it; whatever is beyond that, others have tried.
    private var notedRetries = 0
    /// The members that are passed on, as they were written: `"name":value`.
    private var passedOn: [[UInt8]] = []

    init() {}

    /// Reads the object that the scanner stands before; `bytes` is what it scans.
    init(_ scanner: inout JSONScanner, in bytes: [UInt8]) throws(JSONScanError) {
        guard scanner.peek() == UInt8(ascii: "{") else {
            _ = try scanner.skipValue()
            return
        }
        var end = scanner.position + 1
        try scanner.readObject { scanner, key throws(JSONScanError) in
            try read(key, &scanner)
            if !Self.rewritten.contains(key) {
                let member = bytes[end..<scanner.position].drop { !($0 == UInt8(ascii: "\"")) }
                passedOn.append(Array(member))
            }
            end = scanner.position
        }
    }

    private static let rewritten: Set<String> = ["retry_count", "request_queue_name", "weir"]

    private mutating func read(_ key: String, _ scanner: inout JSONScanner) throws(JSONScanError) {
        switch key {
        case "retry_count": retryCount = max(0, try scanner.readOptionalInteger() ?? 0)
        case "request_token": token = try scanner.readOptionalString() ?? ""
        case "request_queue_name": requestQueue = try scanner.readOptionalString()
        case "result_queue_name": resultQueue = try scanner.readOptionalString()
        case "result_ttl_seconds":
            resultLifetime = min(max(0, try scanner.readOptionalInteger() ?? 0), Self.longestLifetime)
        case "result_routing_resolved": resultRouteIsSettled = try scanner.readOptionalFlag() ?? false
        case "enqueued_at_ms":
            enqueued = try scanner.readOptionalMilliseconds()
        case "payload_ref":
            payloadKey = try scanner.readOptionalString().flatMap { $0.isEmpty ? nil : $0 }
            if let key = payloadKey, !key.hasPrefix(QueueKeys.payloadPrefix) {
                payloadKey = nil
                namesForeignPayloadKey = true
            }
        case "labels": labels = try scanner.readOptionalMap()
        case "weir": try readNotes(&scanner)
        default: _ = try scanner.skipValue()
        }
    }

    private mutating func readNotes(_ scanner: inout JSONScanner) throws(JSONScanError) {
        guard scanner.peek() == UInt8(ascii: "{") else {
            _ = try scanner.skipValue()
            return
        }
        try scanner.readObject { scanner, key throws(JSONScanError) in
            switch key {
            case "retries": notedRetries = max(0, try scanner.readOptionalInteger() ?? 0)
            case "dispatches": noted.dispatches = max(0, try scanner.readOptionalInteger() ?? 0)
            case "failures": noted.failures = max(0, try scanner.readOptionalInteger() ?? 0)
            case "sheds": noted.sheds = max(0, try scanner.readOptionalInteger() ?? 0)
            case "evictions": noted.evictions = max(0, try scanner.readOptionalInteger() ?? 0)
            case "first_dispatched_ms": noted.firstDispatched = try scanner.readOptionalMilliseconds()
            case "last_status": noted.lastStatusCode = try scanner.readOptionalInteger()
            case "last_endpoint": noted.lastEndpoint = try scanner.readOptionalString()
            case "last_error": noted.lastError = try scanner.readOptionalString()
            default: _ = try scanner.skipValue()
            }
        }
    }

    /// What has happened to the message. Tries of other processors, which only count, are taken for failures.
    var attempts: AttemptRecord {
        var attempts = noted
        let others = max(0, retryCount - notedRetries)
        attempts.dispatches += others
        attempts.failures += others
        return attempts
    }

    /// The object with another record of attempts, for a message that goes back to `queue` with `score`.
    func rewritten(attempts: AttemptRecord, queue: String, score: String) -> [UInt8] {
        // What others count as retries grows by what has failed since, and never shrinks.
        let before = self.attempts
        let added = attempts.failures + attempts.sheds - before.failures - before.sheds
        let retries = retryCount + max(0, added)
        var object = JSONWriter(capacity: 256)
        if retries > 0 { object.member("retry_count", retries) }
        // Whatever its producer wrote: it came from here, and only those who serve this queue look for it.
        object.member("request_queue_name", queue)
        var notes = JSONWriter(capacity: 160)
        notes.member("score", score)
        notes.member("retries", retries)
        notes.member("dispatches", attempts.dispatches)
        notes.member("failures", attempts.failures)
        if attempts.sheds > 0 { notes.member("sheds", attempts.sheds) }
        if attempts.evictions > 0 { notes.member("evictions", attempts.evictions) }
        if let first = attempts.firstDispatched {
            notes.member("first_dispatched_ms", Int(first.nanoseconds / 1_000_000))
        }
        if let status = attempts.lastStatusCode { notes.member("last_status", status) }
        if let endpoint = attempts.lastEndpoint { notes.member("last_endpoint", endpoint) }
        if let error = attempts.lastError { notes.member("last_error", String(error.prefix(Self.maximumErrorLength))) }
        object.member("weir", json: notes.finish())
        var bytes = object.finish()
        bytes.removeLast()
        for member in passedOn {
            bytes.append(UInt8(ascii: ","))
            bytes.append(contentsOf: member)
        }
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    /// Ten years; the server refuses what lies beyond its calendar, and would do so in the middle of a script.
    static let longestLifetime = 315_360_000

    /// Of a failure's text, so much travels with the message, in characters.
    private static let maximumErrorLength = 512
}

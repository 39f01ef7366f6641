/// What is worth remembering of one request. Never its prompt, its answer or its keys.
public struct AccessRecord: Sendable {
    /// The request's id, as it is echoed to the client.
    public var requestID: String
    /// The HTTP method.
    public var method: String
    /// The path; a query is cut off before it is written, because some clients put keys there.
    public var path: String
    /// The status sent to the client; 0 if none was sent.
    public var status: Int
    /// The model that the request names.
    public var model: String?
    /// Whose request it is.
    public var tenant: String?
    /// The id of the queued request that it made or asked for.
    public var queuedRequestID: String?
    /// The pool that served it.
    public var pool: String?
    /// The endpoint that answered, or was tried last.
    public var endpoint: String?
    /// The priority.
    public var priority: Int?
    /// Time in the gateway's queue.
    public var queueMilliseconds: Double?
    /// From the request's first byte to the answer's first token or, unstreamed, first byte.
    public var timeToFirstTokenMilliseconds: Double?
    /// From the request's first byte to the answer's last.
    public var totalMilliseconds: Double
    /// Tokens of the prompt.
    public var promptTokens: Int?
    /// Tokens of the answer.
    public var outputTokens: Int?
    /// How often the request was sent to an endpoint.
    public var attempts: Int
    /// Why the gateway turned the request away.
    public var dropReason: String?
    /// Whether the client left before the answer was complete.
    public var isClientAborted: Bool
    /// Bytes of the request body.
    public var requestBytes: Int
    /// Bytes of the response body.
    public var responseBytes: Int

    /// Creates a record of what every request has; the rest is set where it is known.
    public init(
        requestID: String, method: String, path: String, status: Int, totalMilliseconds: Double, attempts: Int = 0,
        isClientAborted: Bool = false, requestBytes: Int = 0, responseBytes: Int = 0
    ) {
        self.requestID = requestID
        self.method = method
        self.path = path
        self.status = status
        self.totalMilliseconds = totalMilliseconds
        self.attempts = attempts
        self.isClientAborted = isClientAborted
        self.requestBytes = requestBytes
        self.responseBytes = responseBytes
    }
}

/// Writes one JSON object per request. What is not known of a request is left out of its line.
public struct AccessLog: Sendable {
    /// Longest text of one field, in characters; ids, paths and models come from callers.
    private static let textLimit = 256

    private let writer: LineWriter
    private let now: @Sendable () -> Int64

    /// Creates a log; the writer may be shared with the log lines.
    public init(writer: LineWriter) { self.init(writer: writer, now: { WallClock.milliseconds() }) }

    init(writer: LineWriter, now: @escaping @Sendable () -> Int64) {
        self.writer = writer
        self.now = now
    }

    /// Writes the line of a request that has ended. Never blocks.
    public func write(_ record: AccessRecord) {
        func cut(_ text: String) -> String { String(text.prefix(Self.textLimit)) }
        var json = JSONWriter()
        json.object { line in
            line.value("time", WallClock.text(now()))
            line.value("access", cut(record.requestID))
            line.value("method", cut(record.method))
            line.value("path", cut(String(record.path.prefix { $0 != "?" })))
            line.value("status", record.status)
            line.value("model", ifPresent: record.model.map(cut))
            line.value("tenant", ifPresent: record.tenant.map(cut))
            line.value("queued_request", ifPresent: record.queuedRequestID.map(cut))
            line.value("pool", ifPresent: record.pool)
            line.value("endpoint", ifPresent: record.endpoint)
            line.value("priority", ifPresent: record.priority)
            line.value("queue_ms", ifPresent: record.queueMilliseconds.map(Self.rounded))
            line.value("ttft_ms", ifPresent: record.timeToFirstTokenMilliseconds.map(Self.rounded))
            line.value("total_ms", Self.rounded(record.totalMilliseconds))
            line.value("prompt_tokens", ifPresent: record.promptTokens)
            line.value("output_tokens", ifPresent: record.outputTokens)
            line.value("attempts", record.attempts)
            line.value("drop_reason", ifPresent: record.dropReason)
            if record.isClientAborted { line.value("client_aborted", true) }
            line.value("request_bytes", record.requestBytes)
            line.value("response_bytes", record.responseBytes)
        }
        writer.write(json.bytes)
    }

    /// To the microsecond: finer digits are noise that costs bytes.
    private static func rounded(_ milliseconds: Double) -> Double { (milliseconds * 1000).rounded() / 1000 }
}

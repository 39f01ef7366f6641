/// The HTTP headers that Weir reads or writes, in lower case.
public enum HeaderName {
    /// Media type of a body.
    public static let contentType = "content-type"
    /// Length of a body in bytes.
    public static let contentLength = "content-length"
    /// Correlation id: taken over from the caller or made, sent upstream and with every response.
    public static let requestID = "x-request-id"
    /// W3C trace context.
    public static let traceParent = "traceparent"
    /// Vendor part of the W3C trace context.
    public static let traceState = "tracestate"

    /// Whole seconds after which a retry makes sense.
    public static let retryAfter = "retry-after"
    /// The same in milliseconds; the OpenAI SDKs prefer it.
    public static let retryAfterMilliseconds = "retry-after-ms"
    /// `true` or `false`: overrides the OpenAI SDKs' own idea of whether to retry.
    public static let shouldRetry = "x-should-retry"
    /// Why a request was dropped; see `DropReason`.
    public static let dropReason = "x-llm-d-request-dropped-reason"
    /// Which endpoint answered.
    public static let endpoint = "x-weir-endpoint"

    /// What becomes of a request: `enqueue` and `wait` put it into the queue, `passthrough` and `realtime`, as without
    /// the header, carry it at once. The older name is that of the llm-d async broker (reference async-processor.md
    /// 7.5).
    public static let mode = HeaderAliases(newest: "x-weir-mode", older: "x-ap-mode")
    /// Whose request it is, from callers that are trusted to say so.
    public static let tenant = "x-weir-tenant"
    /// When the answer of an enqueued request stops being of use: a span from now, or an RFC 3339 time.
    public static let deadline = "x-weir-deadline"
    /// Priority class of an enqueued request.
    public static let priorityClass = "x-weir-priority"
    /// Where the result of an enqueued request is posted to.
    public static let webhook = "x-weir-webhook"
    /// What follows the prefix names an item of an enqueued request's metadata.
    public static let metadataPrefix = "x-weir-metadata-"
    /// The id of an enqueued request, in answers.
    public static let queuedRequestID = "x-weir-request-id"
    /// Repeated submissions under one key are one request (IETF draft-ietf-httpapi-idempotency-key-header).
    public static let idempotencyKey = "idempotency-key"
    /// Credentials.
    public static let authorization = "authorization"
    /// How to authenticate, with a 401.
    public static let authenticate = "www-authenticate"
    /// Which methods there are, with a 405.
    public static let allow = "allow"
    /// Where the thing is that an answer speaks of.
    public static let location = "location"
    /// Longest time a request may wait in the gateway's queue.
    public static let queueTTL = "x-llm-d-inference-ttl"
    /// Name of the objective that gives the request its priority.
    public static let objective = HeaderAliases(
        newest: "x-llm-d-inference-objective", older: "x-gateway-inference-objective")
    /// The tenant or flow among which a band is shared fairly.
    public static let fairnessID = HeaderAliases(
        newest: "x-llm-d-inference-fairness-id", older: "x-gateway-inference-fairness-id")
    /// `true`: keep a receipt of the routing decision.
    public static let explain = "x-weir-explain"
    /// Target model that replaces the body's.
    public static let modelRewrite = HeaderAliases(
        newest: "x-llm-d-model-name-rewrite", older: "x-gateway-model-name-rewrite")
    /// Wanted time to first token, in milliseconds.
    public static let ttftMilliseconds = HeaderAliases(newest: "x-llm-d-slo-ttft-ms", older: "x-slo-ttft-ms")
    /// Wanted time per output token, in milliseconds.
    public static let tpotMilliseconds = HeaderAliases(newest: "x-llm-d-slo-tpot-ms", older: "x-slo-tpot-ms")

    /// Whether a request header steers scheduling, so that it counts only from trusted callers and is stripped
    /// otherwise. Whole families are named by prefix, because a header that Weir does not know yet may still steer the
    /// router or the model server behind it (reference gaie-protocol.md 2.7). `name` may be in any case.
    public static func isControl(_ name: String) -> Bool {
        let bytes = name.utf8
        guard let first = bytes.first, first | 0x20 == UInt8(ascii: "x") || first | 0x20 == UInt8(ascii: "t") else {
            return false
        }
        return controlPrefixes.contains { begins(bytes, with: $0.utf8) }
            || controlNames.contains { $0.utf8.count == bytes.count && begins(bytes, with: $0.utf8) }
    }

    /// Whether a request header speaks to Weir alone, so that it goes no further whoever sent it. `name` may be in any
    /// case.
    public static func isForWeirAlone(_ name: String) -> Bool {
        begins(name.utf8, with: ownPrefix.utf8)
            || (name.utf8.count == mode.older.utf8.count && begins(name.utf8, with: mode.older.utf8))
    }

    /// Whether `name`, in any case, begins with `prefix`, which is in lower case.
    public static func has(_ name: String, prefix: String) -> Bool { begins(name.utf8, with: prefix.utf8) }

    private static let ownPrefix = "x-weir-"
    private static let controlPrefixes = ["x-llm-d-", ownPrefix, "x-gateway-", "x-slo-"]
    private static let controlNames = [
        "x-ap-mode",
        "x-prefiller-host-port", "x-encoder-hosts-ports", "x-data-parallel-host-port", "x-kv-cache-source-host-port",
        "test-epp-endpoint-selection",
    ]

    /// Compares without regard to case; `prefix` is lower-case letters, digits and hyphens.
    private static func begins(_ bytes: String.UTF8View, with prefix: String.UTF8View) -> Bool {
        var remaining = bytes.makeIterator()
        for expected in prefix {
            guard let byte = remaining.next() else { return false }
            let isUpper = byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
            if (isUpper ? byte | 0x20 : byte) != expected { return false }
        }
        return true
    }
}

/// A header with a current and an older name; both are read, the newer one wins.
public struct HeaderAliases: Hashable, Sendable {
    /// The current name, lower case.
    public let newest: String
    /// The deprecated name, lower case.
    public let older: String

    /// Creates a pair of names.
    public init(newest: String, older: String) {
        self.newest = newest
        self.older = older
    }

    /// The value under the current name, else under the older one; `lookup` finds a header by its lower-case name.
    public func value(_ lookup: (String) -> String?) -> String? { lookup(newest) ?? lookup(older) }
}

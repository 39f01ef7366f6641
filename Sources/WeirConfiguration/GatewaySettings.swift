public import Basics

extension Configuration {
    /// The real-time path.
    public struct Gateway: Hashable, Sendable {
        /// Where the gateway listens.
        public var listen = ListenAddress(host: "127.0.0.1", port: 8080)
        /// Event loop threads; 0 takes one per core.
        public var threads = 0
        /// Peers whose control headers are honoured; from all others they are stripped.
        public var trustedCallers = ["127.0.0.0/8", "::1/128"].compactMap { AddressBlock($0) }
        /// Whose asynchronous requests are kept apart; empty where there is only one.
        public var tenants: [Tenant] = []
        /// Whether trusted callers may speak for a tenant by naming it, where there are tenants.
        public var tenantHeader = false
        /// Headers that name the session of a request, by precedence.
        public var sessionHeaders = [
            "x-session-id", "x-claude-code-session-id", "x-session-affinity", "session-id", "session_id",
        ]
        /// Models that are others to the endpoints.
        public var rewrites: [Rewrite] = []
        /// Where the access log goes.
        public var accessLog = AccessLogTarget.off
        /// What one client, and all of them together, may take up.
        public var limits = Limits()
        /// How the process stops.
        public var drain = Drain()

        /// Creates the defaults.
        public init() {}
    }

    /// Where the access log goes.
    public enum AccessLogTarget: Hashable, Sendable {
        /// Nowhere.
        case off
        /// Standard error, between the log lines.
        case stderr
        /// A file, appended to.
        case file(path: String)
    }

    /// What one client, and all of them together, may take up. Sizes in bytes.
    public struct Limits: Hashable, Sendable {
        /// Longest request body.
        public var requestBodyBytes = 32 << 20
        /// Request bodies held by all waiting requests together.
        public var bufferedBodyBytes = 1 << 30
        /// How much of a body is read before the request is routed.
        public var requestBodyWindowBytes = 1 << 20
        /// Response bytes held for one client that reads slowly.
        public var responseBufferBytes = 256 << 10
        /// Longest request head.
        public var headerBytes = 64 << 10
        /// Open client connections.
        public var connections = 20_000
        /// From the first byte of a request head to its end.
        public var headTimeout = TimeSpan.seconds(10)
        /// Longest pause within a request body.
        public var bodyTimeout = TimeSpan.seconds(30)
        /// Longest idle time between two requests on a connection.
        public var keepAliveIdle = TimeSpan.seconds(75)
        /// From sending a request to the first byte of the endpoint's answer.
        public var firstByteTimeout = TimeSpan.seconds(600)
        /// Longest pause between two bytes of an endpoint's answer once it has begun.
        public var upstreamStallTimeout = TimeSpan.seconds(120)
        /// Longest time to open a connection to an endpoint.
        public var connectTimeout = TimeSpan.seconds(2)

        /// Creates the defaults.
        public init() {}
    }

    /// How the process stops after SIGTERM.
    public struct Drain: Hashable, Sendable {
        /// How long it goes on accepting connections while `/readyz` already says no.
        public var delay = TimeSpan.zero
        /// How long requests under way may take to finish after that.
        public var timeout = TimeSpan.seconds(30)

        /// Creates the defaults.
        public init() {}
    }
}

extension Configuration.Gateway: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("listen", \.listen, .listenAddress, "Address that clients talk to. Port 0 takes a free one."),
            .scalar("threads", \.threads, .count, "Event loop threads; 0 takes one per core."),
            .list(
                "trustedCallers", \.trustedCallers, .addressBlock,
                "Peers whose control headers are honoured. From all others these headers are stripped."),
            .sections(
                "tenants", \.tenants,
                "Callers told apart by API key (`Authorization: Bearer KEY`): each sees only its own asynchronous requests."
            ),
            .scalar(
                "tenantHeader", \.tenantHeader, .boolean,
                "Trusted callers may speak for a tenant by `X-Weir-Tenant`; only when nothing forwards foreign requests from a trusted address."
            ),
            .list(
                "sessionHeaders", \.sessionHeaders, .text,
                "Headers that name the session of a request, by precedence. What belongs together meets its own cache and stays with one target of a rewrite."
            ),
            .sections(
                "rewrites", \.rewrites, "Models that are others to the endpoints: aliases, and traffic split by weight."
            ),
            .scalar(
                "accessLog", \.accessLog, .accessLogTarget,
                "One line per request: `off`, `stderr`, or the path of a file to append to. Never prompts or keys."),
            .section("limits", \.limits, "What one client, and all of them together, may take up."),
            .section("drain", \.drain, "How the process stops after SIGTERM."),
        ]
    }
}

extension Configuration.Limits: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("requestBodyBytes", \.requestBodyBytes, .size, "Longest request body; a longer one is refused."),
            .scalar(
                "bufferedBodyBytes", \.bufferedBodyBytes, .size,
                "Request bodies held by all waiting requests together; above it, new requests are turned away. Messages of a queue may hold half of it, and stored results on their way to clients half as much again."
            ),
            .scalar(
                "requestBodyWindowBytes", \.requestBodyWindowBytes, .size,
                "How much of a body is read before the request is routed; the rest streams through."),
            .scalar(
                "responseBufferBytes", \.responseBufferBytes, .size,
                "Response bytes held for one client that reads slowly; then the endpoint is read no further."),
            .scalar("headerBytes", \.headerBytes, .size, "Longest request head; a longer one is refused."),
            .scalar("connections", \.connections, .positiveCount, "Most open client connections."),
            .scalar(
                "headTimeout", \.headTimeout, .positiveDuration, "From the first byte of a request head to its end."),
            .scalar("bodyTimeout", \.bodyTimeout, .positiveDuration, "Longest pause within a request body."),
            .scalar(
                "keepAliveIdle", \.keepAliveIdle, .positiveDuration,
                "Longest idle time between two requests on a connection."),
            .scalar(
                "firstByteTimeout", \.firstByteTimeout, .positiveDuration,
                "From sending a request to the first byte of the endpoint's answer."),
            .scalar(
                "upstreamStallTimeout", \.upstreamStallTimeout, .positiveDuration,
                "Longest pause in an endpoint's answer once it has begun; then it is ended as broken."),
            .scalar(
                "connectTimeout", \.connectTimeout, .positiveDuration,
                "Longest time to open a connection to an endpoint."
            ),
        ]
    }
}

extension Configuration.Drain: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "delay", \.delay, .duration,
                "How long connections are still accepted while `/readyz` already says no; for load balancers to notice."
            ),
            .scalar("timeout", \.timeout, .duration, "How long requests under way may take to finish after that."),
        ]
    }
}

extension ScalarFormat where Value == Configuration.AccessLogTarget {
    static var accessLogTarget: Self {
        Self(
            "`off`, `stderr` or a path", expectation: "off, stderr or a path that contains a /",
            parse: { text in
                switch text {
                case "off": .off
                case "stderr": .stderr
                default: text.contains("/") ? .file(path: text) : nil
                }
            },
            print: { target in
                switch target {
                case .off: "off"
                case .stderr: "stderr"
                case .file(let path): path
                }
            })
    }
}

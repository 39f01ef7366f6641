public import Basics

extension Configuration {
    /// The Prometheus server that gates ask.
    public struct Prometheus: Hashable, Sendable {
        /// Root of its HTTP API, without `/api/v1`.
        public var url = ServiceURL(isSecure: false, host: "", port: 0)
        /// Time between two readings.
        public var refresh = TimeSpan.seconds(1)
        /// A reading older than this counts as failed.
        public var staleness = TimeSpan.seconds(15)
        /// What we identify ourselves with; nil sends nothing.
        public var bearerToken: Secret?
        /// Certificates, for `https`.
        public var tls: TLS?

        /// Creates the defaults, without a server.
        public init() {}

        /// Creates the defaults for a server.
        public init(url: ServiceURL) { self.url = url }

        /// Shortest time between two readings.
        public static let shortestRefresh = TimeSpan.milliseconds(50)
    }
}

extension Configuration.Prometheus: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("url", \.url, .serviceURL, required: true, "Root of the server; `/api/v1/query` is added to it."),
            .scalar(
                "refresh", \.refresh,
                .duration.requiring("\(DurationText.text(shortestRefresh)) or longer") { $0 >= shortestRefresh },
                "Time between two readings. Metrics change no faster than the server scrapes them."),
            .scalar(
                "staleness", \.staleness, .positiveDuration,
                "A reading older than this counts as failed, and its gate closes or takes its fallback."),
            .optional(
                "bearerToken", \.bearerToken, .secret(minimumCharacters: 1),
                "Sent as `Authorization: Bearer TOKEN`; best written as `${NAME}`; never printed."),
            .optionalSection("tls", \.tls, "Certificates, for an `https` URL."),
        ]
    }
}

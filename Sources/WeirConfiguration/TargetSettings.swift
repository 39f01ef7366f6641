public import Basics

extension Configuration {
    /// An HTTP gateway that requests of queues are sent to, in place of the gateway of this process.
    public struct Target: Hashable, Sendable {
        /// Root of the gateway; the paths of requests are added to it.
        public var url = ServiceURL(isSecure: false, host: "", port: 0)
        /// Where requests go that name no path, unless their queue has one.
        public var path = "/v1/completions"
        /// The objective that the gateway is told; nil tells that of the queue.
        public var objective: ToldObjective?
        /// Certificates, for `https`.
        public var tls: TLS?
        /// What we identify ourselves with: `Authorization: Bearer TOKEN`; nil sends none.
        public var bearerToken: Secret?
        /// Header fields that are set on every request.
        public var headers: [String: Secret] = [:]
        /// The header fields of a message that are sent with its request; `*` stands for all that are not ours to set.
        public var forwardHeaders: [String] = []
        /// Longest answer, in bytes.
        public var maxAnswerBytes = 64 << 20
        /// Longest time to open a connection.
        public var connectTimeout = TimeSpan.seconds(5)
        /// Whether a Weir gateway there is asked what it has room for.
        public var capacityFeed = CapacityFeed.auto

        /// Creates a target without a place.
        public init() {}

        /// Creates a target with defaults.
        public init(url: ServiceURL) { self.url = url }

        /// Stands in `forwardHeaders` for every field that is not ours to set.
        public static let everyHeader = "*"
    }

    /// What a gateway is told of the objective of requests.
    public enum ToldObjective: Hashable, Sendable {
        /// Nothing; it takes its own default, which in a Weir gateway is that of real-time requests.
        case nothing
        /// The objective of this name.
        case named(String)
    }

    /// Whether a gateway is asked what it has room for.
    public enum CapacityFeed: String, Hashable, Sendable, CaseIterable {
        /// Where the gateway is a Weir gateway.
        case auto
        /// Never.
        case off
    }
}

extension Configuration.Target: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "url", \.url, .serviceURL, required: true,
                "Root of the gateway, such as `https://gateway.example`; paths of requests are added to it."),
            .scalar(
                "path", \.path, .urlPath,
                "Where requests go that name no path of their own, unless their queue has one."),
            .optional(
                "objective", \.objective, .toldObjective,
                "Sent as `x-llm-d-inference-objective`; with a Weir gateway, name a sheddable one. Left out: that of the "
                    + "queue (`batch`). `off`: none is sent, and the gateway takes its own default, which in a Weir gateway "
                    + "makes the requests real-time ones."),
            .optionalSection("tls", \.tls, "Certificates, for an `https` URL."),
            .optional(
                "bearerToken", \.bearerToken, .secret(minimumCharacters: 1),
                "Sent as `Authorization: Bearer TOKEN`; best written as `${NAME}`; never printed."),
            .map(
                "headers", \.headers, keys: .fieldName, values: .headerSecret,
                "Header fields set on every request; their values are never printed."),
            .list(
                "forwardHeaders", \.forwardHeaders, .forwardedField,
                "The header fields of a message that go out with its request, by name; `*` allows all but those that are "
                    + "ours to set (length, credentials, objective, tenant)."),
            .scalar(
                "maxAnswerBytes", \.maxAnswerBytes, .size, "Longest answer; a longer one fails the request."),
            .scalar("connectTimeout", \.connectTimeout, .positiveDuration, "Longest time to open a connection."),
            .scalar(
                "capacityFeed", \.capacityFeed, .word,
                "`auto`: a Weir gateway there tells how much batch work it can take at any moment. `off`: never asked."),
        ]
    }
}

extension Configuration.Async {
    /// The target of a queue: its own, or else the one for all; nil stands for the gateway of this process.
    public func target(of queue: Configuration.MessageQueue) -> Configuration.Target? { queue.target ?? target }
}

extension Configuration.Target {
    /// The name of the objective that requests of a queue are sent with; nil for none.
    public func objectiveName(for queue: Configuration.MessageQueue) -> String? {
        switch objective {
        case .named(let name): name
        case .nothing: nil
        case nil: queue.objective
        }
    }
}

/// What HTTP allows in a header field (RFC 9110, section 5).
enum HeaderFieldText {
    /// Whether the text can be a field's name.
    static func isName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// Whether the text can be a field's value as we write them: printable ASCII and inner spaces.
    static func isValue(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x20...0x7E).contains($0) } && text.first != " " && text.last != " "
    }
}

extension ScalarFormat where Value == String {
    /// The name of a header field.
    static var fieldName: Self {
        Self(
            "header name", expectation: "the name of a header field",
            parse: { HeaderFieldText.isName($0) ? $0 : nil }, print: { $0 })
    }

    /// Text that can be the value of a header field.
    static var fieldValue: Self {
        Self(
            "text", expectation: "printable ASCII that is not empty",
            parse: { HeaderFieldText.isValue($0) ? $0 : nil }, print: { $0 })
    }

    /// The name of a header field, or the word for all.
    static var forwardedField: Self {
        Self(
            "header name or `*`", expectation: "the name of a header field, or *",
            parse: { HeaderFieldText.isName($0) ? $0 : nil }, print: { $0 })
    }
}

extension ScalarFormat where Value == Configuration.ToldObjective {
    /// The name of an objective as the value of a header field, or `off`.
    static var toldObjective: Self {
        Self(
            "text or `off`", expectation: "printable ASCII that is not empty",
            parse: { text in
                if text == "off" { return .nothing }
                return HeaderFieldText.isValue(text) ? .named(text) : nil
            },
            print: { objective in
                switch objective {
                case .nothing: "off"
                case .named(let name): name
                }
            })
    }
}

extension ScalarFormat where Value == Secret {
    /// The value of a header field, which may be a credential. No complaint repeats any of it.
    static var headerSecret: Self {
        Self(
            name: "secret", isSecret: true,
            parse: { text throws(ScalarFault) in
                guard HeaderFieldText.isValue(text) else {
                    throw ScalarFault(message: "must be printable ASCII without spaces at its ends")
                }
                return Secret(text)
            },
            print: { _ in Secret.mask })
    }
}

extension ScalarFormat where Value == String? {
    /// The name of a header field, or `off`.
    static var fieldNameOrOff: Self {
        Self(
            "header name or `off`", expectation: "the name of a header field, or off",
            parse: { text in
                if text == "off" { return .some(nil) }
                return HeaderFieldText.isName(text) ? .some(text) : nil
            },
            print: { $0 ?? "off" })
    }
}

extension Configuration {
    /// Where an endpoint publishes its KV events.
    public struct KVEvents: Hashable, Sendable {
        /// The port of its PUB socket.
        public var port = 5557
        /// The port of its replay socket; nil if it has none.
        public var replayPort: Int?
        /// The beginning of the topics that are listened to; nil for all.
        public var topic: String?

        /// Creates the ecosystem's defaults.
        public init() {}
    }
}

extension Configuration.KVEvents: Section {
    static var fields: [Field<Self>] {
        let port = ScalarFormat<Int>.integer.requiring("between 1 and 65535") { (1...65_535).contains($0) }
        return [
            .scalar(
                "port", \.port, port,
                "Port of its publisher, on the host of `url`; it has to bind there (`tcp://*:5557`)."),
            .optional(
                "replayPort", \.replayPort, port,
                "Port of its replay socket (`replay_endpoint`). Left out: events that were missed, such as all before this "
                    + "process began to listen, are not made up for."),
            .optional("topic", \.topic, .text, "Only topics that begin with this. Left out: all."),
        ]
    }
}

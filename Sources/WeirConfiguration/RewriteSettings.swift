extension Configuration {
    /// A model that requests name and that is another to the endpoints, or several others by weight.
    public struct Rewrite: Hashable, Sendable {
        /// The model that requests name; unique.
        public var model = ""
        /// Where they go.
        public var targets: [Target] = []

        /// Creates a rule without a name or targets.
        public init() {}

        /// One model that requests may go to.
        public struct Target: Hashable, Sendable {
            /// The model that the endpoint is asked for.
            public var model = ""
            /// Its share of the traffic, in relation to the others.
            public var weight = 1.0
            /// Only endpoints that carry all these labels get the request.
            public var endpointLabels: [String: String] = [:]

            /// Creates a target without a name.
            public init() {}
        }
    }
}

extension Configuration.Rewrite: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("model", \.model, .text, required: true, "The model that requests name; unique."),
            .sections("targets", \.targets, required: true, "Where they go, at least one."),
        ]
    }
}

extension Configuration.Rewrite.Target: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "model", \.model, .text, required: true, "The model that the endpoint is asked for; a pool serves it."),
            .scalar(
                "weight", \.weight, .quantity,
                "Its share of the traffic, in relation to the others. A session stays with its target; if all are 0, all get the same."
            ),
            .map(
                "endpointLabels", \.endpointLabels, keys: .text, values: .text,
                "Only endpoints of the pool that carry all these labels get the request."),
        ]
    }
}

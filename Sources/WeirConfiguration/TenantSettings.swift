extension Configuration {
    /// Somebody whose requests are kept apart from those of others.
    public struct Tenant: Hashable, Sendable {
        /// The tenant's name; unique.
        public var name = ""
        /// The API keys whose bearer is this tenant; never empty in a configuration that was read from a file.
        public var keys: [Secret] = []

        /// Creates a tenant without a name or keys.
        public init() {}

        /// A key has at least this many characters.
        public static let shortestKey = 16
    }
}

extension Configuration.Tenant: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "name", \.name,
                .text.requiring("1 to 128 printable ASCII characters without spaces") { name in
                    (1...128).contains(name.utf8.count) && name.utf8.allSatisfy { (0x21...0x7E).contains($0) }
                }, required: true, "The tenant's name in requests and results; unique."),
            .list(
                "keys", \.keys, .secret(minimumCharacters: shortestKey), required: true,
                "The API keys of this tenant, at least one; best written as `${NAME}`. They are never printed."),
        ]
    }
}

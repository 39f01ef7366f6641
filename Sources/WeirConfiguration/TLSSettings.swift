extension Configuration {
    /// How a server proves who it is, and how we prove who we are.
    public struct TLS: Hashable, Sendable {
        /// A PEM file of the authorities that are believed; nil takes those of the system.
        public var caFile: String?
        /// A PEM file with our certificate, and what links it to its authority; nil shows none.
        public var certFile: String?
        /// A PEM file with the key of that certificate.
        public var keyFile: String?
        /// Whether any certificate at all is believed.
        public var insecureSkipVerify = false

        /// Creates the defaults: the authorities of the system, no certificate of our own.
        public init() {}
    }
}

extension Configuration.TLS: Section {
    static var fields: [Field<Self>] {
        [
            .optional(
                "caFile", \.caFile, .text,
                "PEM file of the authorities that are believed. Left out: those of the system."),
            .optional(
                "certFile", \.certFile, .text, "PEM file with our own certificate, for servers that ask for one."),
            .optional("keyFile", \.keyFile, .text, "PEM file with the key of that certificate."),
            .scalar(
                "insecureSkipVerify", \.insecureSkipVerify, .boolean,
                "Believes any certificate, so that anybody on the way can read and answer; for tests only."),
        ]
    }
}

extension Configuration.TLS {
    /// What is wrong with the keys together, for a section at `place`.
    ///
    /// - Parameter isSecure: whether the address these settings are for is spoken to over TLS at all; nil if unknown.
    func faults(at place: String, isSecure: Bool?, secureScheme: String) -> [Configuration.Fault] {
        var faults: [Configuration.Fault] = []
        if certFile != nil, keyFile == nil {
            faults.append(.init(keyPath: "\(place).keyFile", message: "is required with certFile"))
        }
        if keyFile != nil, certFile == nil {
            faults.append(.init(keyPath: "\(place).certFile", message: "is required with keyFile"))
        }
        if isSecure == false {
            faults.append(
                .init(keyPath: place, message: "has no effect: the url does not begin with \(secureScheme)://"))
        }
        return faults
    }
}

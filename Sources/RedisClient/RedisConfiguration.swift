public import Basics
public import NIOCore

extension RedisClient {
    /// How to reach a server and how long to wait for it.
    public struct Configuration: Sendable {
        /// The server.
        public var address: RedisAddress
        /// How to trust the server and to prove who we are; only used if the address asks for TLS.
        public var tls = TLS()
        /// What the server lists the connections as (`CLIENT LIST`); characters it does not allow are replaced.
        public var clientName: String?
        /// How long connecting may take, TLS and login included.
        public var connectTimeout = TimeSpan.seconds(5)
        /// How long a call may take, the wait for a connection included.
        public var commandTimeout = TimeSpan.seconds(10)
        /// After this long without a byte from the server it is asked for a sign of life (`PING`); a connection on which
        /// none comes within the command timeout is given up.
        public var idleTimeout = TimeSpan.seconds(10)
        /// The pauses between attempts to connect.
        public var backoff = Backoff()
        /// The largest reply that is accepted, in bytes on the wire.
        public var maximumReplyBytes = 64 << 20
        /// Whose threads to use; nil for the process-wide ones.
        public var eventLoopGroup: (any EventLoopGroup)?

        /// Creates a configuration with the defaults.
        public init(address: RedisAddress) { self.address = address }
    }

    /// How a TLS connection is made. Files are read anew for every connection, so that they can be renewed in place.
    public struct TLS: Hashable, Sendable {
        /// A PEM file with the authorities to trust; nil for those of the system.
        public var authorityFile: String?
        /// A PEM file with the client's certificate and those that vouch for it; goes with `keyFile`.
        public var certificateFile: String?
        /// A PEM file with the client's private key.
        public var keyFile: String?
        /// The name to ask for and to expect in the server's certificate; nil for the host of the address.
        public var serverName: String?
        /// Accepts any certificate. The connection is encrypted, but whoever sits in between can read it.
        public var insecureSkipVerify = false

        /// Creates the defaults: the system's authorities, no client certificate.
        public init() {}
    }

    /// The pauses between attempts to connect: each is drawn from the upper half of a span that doubles from `first` to
    /// `maximum`; a connection that comes about sets it back to `first`.
    public struct Backoff: Hashable, Sendable {
        /// The first span.
        public var first = TimeSpan.milliseconds(20)
        /// The longest span.
        public var maximum = TimeSpan.seconds(5)

        /// Creates the defaults.
        public init() {}
    }
}

/// What a demo can be told.
public struct DemoOptions: Sendable {
    /// Port of the gateway; another free one is taken if somebody else has it.
    public var gatewayPort = 8080
    /// Port of the admin server; likewise.
    public var adminPort = 9090
    /// Asynchronous messages in each push.
    public var messages = 6000
    /// Messages pushed per second.
    public var messagesPerSecond = 1000.0
    /// Simulated model servers.
    public var servers = 3
    /// Real-time traffic, relative to the Azure conversation trace for each server.
    public var trafficScale = 0.8
    /// Length of the first two acts, in seconds; the third lasts until every message is served.
    public var actSeconds = 25.0
    /// Where the report goes.
    public var reportPath = "weir-demo.html"
    /// Seed of traffic and messages.
    public var seed: UInt64 = 1
    /// Whether the gateway goes on running at the end.
    public var staysUp = false
    /// Whether a person watches: then a live view instead of plain lines.
    public var isTerminal = false

    /// Creates the defaults.
    public init() {}
}

import AsyncHTTPClient
public import Basics
import NIOCore
import NIOHTTP1

/// Follows the capacity feed of a Weir gateway: hears, many times a second, how many requests the gateway would have from this
/// processor, so that just enough wait there to fill what becomes free.
///
/// The dispatcher of the same target has to name the same processor (`RemoteTarget.processor`), so that the gateway can count
/// its requests against its credit. Without a feed (another kind of gateway, a connection that broke, a silence) readings
/// are `unknown`, and a processor goes by its configured concurrency and by what is refused.
public final class CapacityFeed: Sendable {
    /// How a feed is followed.
    public struct Configuration: Sendable {
        /// The pause after the first failure; it doubles with each further one.
        public var firstPause = TimeSpan.milliseconds(200)
        /// The longest pause after a failure that may pass.
        public var longestPause = TimeSpan.seconds(10)
        /// The pause if the gateway has no feed for us, or one that cannot be read.
        public var pauseWithoutFeed = TimeSpan.seconds(60)

        /// Creates the defaults.
        public init() {}
    }

    /// Why a connection ended.
    private struct Ending {
        let reason: String
        var isLasting = false
        var hasBeenRead = false
    }

    private let url: String
    private let headers: HTTPHeaders
    private let connections: GatewayConnections
    private let configuration: Configuration
    private let onChange: @Sendable (CapacityReading) -> Void

    /// Creates a feed; `run()` follows it.
    ///
    /// - Parameters:
    ///   - processor: 1 to 128 visible ASCII characters that no other processor of the gateway has.
    ///   - onChange: told of each reading that is news, one call at a time; it must not block.
    /// - Throws: `badHeader` if the name, or the target's token or headers, cannot be sent.
    public init(
        of target: RemoteTarget, processor: String, connections: GatewayConnections,
        configuration: Configuration = .init(), onChange: @escaping @Sendable (CapacityReading) -> Void
    ) throws(RemoteGatewayError) {
        guard (1...128).contains(processor.utf8.count), processor.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .badHeader(name: CapacityFormat.processorHeader)
        }
        var named = target
        named.processor = processor
        named.objective = nil
        headers = try RequestHeaders(named).fixedFields
        url = target.url.root(CapacityFormat.path)
        self.connections = connections
        self.configuration = configuration
        self.onChange = onChange
    }

    /// Follows the feed until the task is cancelled; connects again whenever the connection ends.
    public func run() async {
        var last: CapacityReading?
        var pause = configuration.firstPause
        func tell(_ reading: CapacityReading) {
            guard reading != last else { return }
            last = reading
            onChange(reading)
        }
        while !Task.isCancelled {
            let ending = await follow(tell)
            tell(.unknown(reason: ending.reason))
            if ending.hasBeenRead { pause = configuration.firstPause }
            // Jitter keeps the processors of a gateway that comes back from arriving at once.
            let span = (ending.isLasting ? configuration.pauseWithoutFeed : pause) * Double.random(in: 0.5...1)
            try? await Task.sleep(for: .nanoseconds(span.nanoseconds))
            pause = min(pause * 2, configuration.longestPause)
        }
    }

    private func follow(_ tell: (CapacityReading) -> Void) async -> Ending {
        var hasBeenRead = false
        do {
            var request = HTTPClientRequest(url: url)
            request.headers = headers
            let response = try await connections.feedClient.execute(request, deadline: .distantFuture)
            guard response.status == .ok else {
                let status = Int(response.status.code)
                let isLasting = (400..<500).contains(status) && status != 429
                return Ending(
                    reason: "the gateway has no capacity feed for this processor (status \(status))",
                    isLasting: isLasting)
            }
            guard response.headers.first(name: "content-type")?.hasPrefix("text/event-stream") == true else {
                return Ending(reason: "the gateway has no capacity feed", isLasting: true)
            }
            var reader = CapacityEventReader()
            for try await piece in response.body {
                for event in try reader.read(piece.readableBytesView) {
                    switch event {
                    case .credits(let credits):
                        hasBeenRead = true
                        tell(.known(credits))
                    case .end(let reason):
                        return Ending(
                            reason: "the gateway ended its capacity feed: \(reason)", hasBeenRead: hasBeenRead)
                    }
                }
            }
            return Ending(reason: "the gateway ended its capacity feed", hasBeenRead: hasBeenRead)
        } catch let fault as CapacityEventReader.Fault {
            return Ending(
                reason: "the capacity feed cannot be read: \(fault.reason)", isLasting: fault.isLasting,
                hasBeenRead: hasBeenRead)
        } catch {
            let cause = error as? HTTPClientError == .readTimeout ? "it has fallen silent" : "the connection failed"
            return Ending(reason: "the capacity feed is lost: \(cause)", hasBeenRead: hasBeenRead)
        }
    }
}

import Basics
import InferenceAPI
import NIOCore
import NIOHTTP1
import Synchronization

/// One processor's connection to the capacity feed, on its event loop.
final class CapacityStream {
    /// Where the feed is.
    static let path = "/weir/v1/capacity"
    /// Names the reader, and the requests that count against its credit.
    static let processorHeader = "x-weir-processor"
    /// Most bytes of events that wait for a processor that does not read; it is disconnected then.
    private static let maximumUnsentBytes = 1 << 20

    private let processor: String
    private let requestID: String
    private let loop: LoopContext
    private weak var connection: ClientConnection?
    private var isOpen = false
    private var unsent = ByteBuffer()

    /// - Parameter processor: the name by which requests refer to the reader.
    init(processor: String, requestID: String, loop: LoopContext, connection: ClientConnection) {
        self.processor = processor
        self.requestID = requestID
        self.loop = loop
        self.connection = connection
    }

    /// Whether a request target is the feed's.
    static func isTarget(_ target: String) -> Bool {
        guard target.hasPrefix(path) else { return false }
        let next = target.utf8.dropFirst(path.utf8.count).first
        return next == nil || next == UInt8(ascii: "?")
    }

    /// What is wrong with a request for the feed.
    static func refusal(of method: HTTPMethod, processor: String?) -> APIError? {
        if method != .GET { return .methodNotAllowed(method.rawValue, allowed: "GET") }
        guard let processor, RequestHeadFacts.isShortName(processor) else {
            return .invalidValue(of: processorHeader, expected: "a name of 1 to 128 visible characters")
        }
        return nil
    }

    /// Begins, or turns the processor away. The first events come with the next tick.
    func begin() {
        guard !loop.core.isDraining.load(ordering: .relaxed) else {
            return refuse(.shuttingDown(retryAfter: .seconds(1)))
        }
        let stream = NIOLoopBound(self, eventLoop: loop.eventLoop)
        let pools = loop.core.directory.pools.count
        guard loop.core.capacityFeeds.connect(stream, as: processor, pools: pools) else {
            return refuse(
                APIError(
                    .saturated, "As many processors follow the capacity feed as may.", retryAfter: .seconds(30)))
        }
        isOpen = true
        connection?.beginEventStream(requestID: requestID)
        connection?.answerFlush()
    }

    func send(_ event: ByteBuffer) {
        guard isOpen, let connection else { return }
        guard connection.isWritable else {
            guard unsent.readableBytes + event.readableBytes <= Self.maximumUnsentBytes else {
                return connection.close()
            }
            unsent.writeImmutableBuffer(event)
            return
        }
        connection.answerBody(event)
        connection.answerFlush()
    }

    func writabilityChanged(isWritable: Bool) {
        guard isWritable, unsent.readableBytes > 0 else { return }
        let event = unsent
        unsent = ByteBuffer()
        send(event)
    }

    /// The gateway stops: the processor is to look for another.
    func beginDrain() { end(reason: "the gateway stops") }

    /// The processor has connected anew.
    func replaced() { end(reason: "another connection has taken the place of this one") }

    func clientLeft() {
        isOpen = false
        connection = nil
        loop.core.capacityFeeds.disconnect(self, name: processor)
    }

    private func end(reason: StaticString) {
        guard isOpen, let connection else { return }
        clientLeft()
        connection.answerBody(ByteBuffer(bytes: CapacityEvent.end(reason: reason).bytes))
        connection.answerEnded()
    }

    private func refuse(_ error: APIError) {
        let headers = HTTPHeaders(error.headers.map { ($0.name, $0.value) })
        connection?.writeWhole(status: error.status, headers, error.jsonBody(), requestID: requestID)
    }
}

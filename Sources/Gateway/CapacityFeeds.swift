import Basics
import NIOCore
import Synchronization

/// The remote processors that follow this gateway's capacity, and what they are told.
///
/// The control plane's tick has the credits worked out and sent, so that a processor hears of changes at most once per tick.
/// Requests come here only if their caller is trusted and names its processor.
final class CapacityFeeds: Sendable {
    typealias Stream = NIOLoopBound<CapacityStream>

    /// More processors are turned away.
    static let maximumProcessors = 64
    /// A processor that has heard nothing for so long is told that the gateway is still there.
    static let keepAlive = TimeSpan.seconds(5)

    fileprivate struct Feed {
        let processor: RemoteProcessor
        var stream: Stream?
        var sequence: UInt64 = 0
        var sentCredits: [Int]?
        var sentLoads: [ProcessorLoad] = []
        var sentModels: [[String]]?
        var sentAt = Instant.zero
    }

    private struct State {
        var feeds: [String: Feed] = [:]
        var planners: [CapacityPlanner] = []
    }

    private let state = Mutex(State())

    /// The processor that a request names, if it follows and the request may count as its message.
    func processor(named name: String) -> RemoteProcessor? {
        state.withLock { $0.feeds[name]?.processor }.flatMap { $0.mayHoldMore ? $0 : nil }
    }

    /// A processor follows from now on, in place of an earlier connection of the same name. False if there are too many.
    func connect(_ stream: Stream, as name: String, pools: Int) -> Bool {
        let (isIn, earlier) = state.withLock { state -> (Bool, Stream?) in
            guard state.feeds[name] != nil || state.feeds.count < Self.maximumProcessors else { return (false, nil) }
            let earlier = state.feeds[name]?.stream
            let processor = state.feeds[name]?.processor ?? RemoteProcessor(name: name, pools: pools)
            processor.follows(true)
            state.feeds[name] = Feed(processor: processor, stream: stream)
            return (true, earlier)
        }
        if let earlier { earlier.eventLoop.execute { earlier.value.replaced() } }
        return isIn
    }

    /// The processor does not follow any more, unless it has come back by another connection.
    func disconnect(_ stream: CapacityStream, name: String) {
        state.withLock { state in
            guard let feed = state.feeds[name], feed.stream?.isOf(stream) == true else { return }
            feed.processor.follows(false)
            state.feeds[name]?.stream = nil
        }
    }

    /// Works out who may have how much, and tells those for whom that is news.
    func publish(_ directory: PoolDirectory, now: Instant) {
        let deliveries = state.withLock { state -> [(Stream, ByteBuffer)] in
            guard !state.feeds.isEmpty else { return [] }
            // Whoever has left stays known until its last request has ended, as it may come back.
            state.feeds = state.feeds.filter {
                $0.value.stream != nil || $0.value.processor.loads.contains { $0.held > 0 }
            }
            if state.planners.isEmpty { state.planners = directory.pools.map { _ in CapacityPlanner() } }
            let following = state.feeds.filter { $0.value.stream != nil }
            guard !following.isEmpty else { return [] }
            let loads = following.mapValues(\.processor.loads)
            let credits = directory.pools.indices.map { pool in
                state.planners[pool].credits(
                    for: loads.mapValues { $0[pool] }, room: directory.pools[pool].roomForMessages(), now: now)
            }
            let models = directory.pools.indices.map { directory.models(of: $0) }
            return following.keys.compactMap { name in
                state.feeds[name]?.news(
                    credits: credits.map { $0[name] ?? 0 }, loads: loads[name] ?? [], models: models,
                    pools: directory.pools.map(\.settings.name), now: now)
            }
        }
        for (stream, event) in deliveries {
            stream.eventLoop.execute { stream.value.send(event) }
        }
    }
}

extension CapacityFeeds.Feed {
    /// What there is to tell, if anything.
    fileprivate mutating func news(
        credits: [Int], loads: [ProcessorLoad], models: [[String]], pools: [String], now: Instant
    ) -> (CapacityFeeds.Stream, ByteBuffer)? {
        guard let stream else { return nil }
        processor.credited(credits)
        var text: [UInt8] = []
        if models != sentModels {
            if sentModels == nil { CapacityEvent.hello(keepAlive: CapacityFeeds.keepAlive).append(to: &text) }
            CapacityEvent.pools(names: pools, models: models).append(to: &text)
            sentModels = models
        }
        if credits != sentCredits || loads != sentLoads {
            sequence += 1
            CapacityEvent.credit(sequence: sequence, pools: pools, credits: credits, loads: loads).append(to: &text)
            sentCredits = credits
            sentLoads = loads
        }
        if text.isEmpty, now - sentAt >= CapacityFeeds.keepAlive { CapacityEvent.keepAlive.append(to: &text) }
        guard !text.isEmpty else { return nil }
        sentAt = now
        return (stream, ByteBuffer(bytes: text))
    }
}

extension NIOLoopBound<CapacityStream> {
    /// Whether it is this stream; to be asked on its event loop.
    fileprivate func isOf(_ stream: CapacityStream) -> Bool { eventLoop.inEventLoop && value === stream }
}

import Basics
import Synchronization

/// Calls about acknowledgement ids, cut to sizes whose answers can be read.
///
/// With exactly-once delivery a call that fails tells of each id what became of it, in the trailers of the answer. Our
/// HTTP/2 transport takes 16 KiB of them and closes the connection, with all calls on it, beyond that; so there calls
/// are small, and several go side by side. On other subscriptions no id is ever named, and calls are large.
final class AcknowledgementCalls: Sendable {
    /// What is asked for.
    enum Request: Hashable, Sendable {
        case acknowledge
        /// The ack deadline becomes so many seconds from now; 0 hands the messages back.
        case setDeadline(seconds: Int32, timeout: TimeSpan)
    }

    /// Makes one call about these ids.
    typealias Send = @Sendable (Request, [String]) async throws(PubSubError) -> Void

    /// Ids in a call that may be answered with a verdict on each: some 200 bytes of id and 40 of verdict, in Base64,
    /// are 10 KiB for 30 of them.
    static let smallCall = 30
    /// Parts of one request that are under way at a time; the service allows 100 calls on a connection.
    static let width = 8

    private let send: Send
    private let isCareful = Atomic(false)

    init(_ send: @escaping Send) { self.send = send }

    init(_ client: PubSubClient, subscription: String) {
        send = { request, ids throws(PubSubError) in
            switch request {
            case .acknowledge: try await client.acknowledge(ids, on: subscription)
            case .setDeadline(let seconds, let timeout):
                try await client.modifyAckDeadline(ids, seconds: seconds, on: subscription, timeout: timeout)
            }
        }
    }

    /// Says whether the subscription delivers exactly once.
    func setExactlyOnce(_ isExactlyOnce: Bool) { isCareful.store(isExactlyOnce, ordering: .relaxed) }

    /// What became of each id, in order.
    func perform(_ request: Request, _ ids: [String]) async -> [Acknowledgement] {
        guard !ids.isEmpty else { return [] }
        return await perform(request, ids, size: isCareful.load(ordering: .relaxed) ? Self.smallCall : ids.count)
    }

    private func perform(_ request: Request, _ ids: [String], size: Int) async -> [Acknowledgement] {
        guard ids.count > size else { return await call(request, ids) }
        var parts = stride(from: 0, to: ids.count, by: size).map { Array(ids[$0..<min($0 + size, ids.count)]) }[...]
        var verdicts: [String: Acknowledgement] = [:]
        await withTaskGroup(of: [(String, Acknowledgement)].self) { group in
            for part in parts.prefix(Self.width) {
                group.addTask { Array(zip(part, await self.call(request, part))) }
            }
            parts = parts.dropFirst(Self.width)
            for await part in group {
                for (id, verdict) in part { verdicts[id] = verdict }
                guard let next = parts.popFirst() else { continue }
                group.addTask { Array(zip(next, await self.call(request, next))) }
            }
        }
        return ids.map { verdicts[$0] ?? .failed }
    }

    private func call(_ request: Request, _ ids: [String]) async -> [Acknowledgement] {
        do throws(PubSubError) {
            try await send(request, ids)
            return ids.map { _ in .confirmed }
        } catch {
            // It may have been the answer that was too large, and the end of the connection.
            if error.kind == .unavailable, ids.count > Self.smallCall {
                return await perform(request, ids, size: Self.smallCall)
            }
            if Acknowledgement.needsSplit(error, count: ids.count) {
                return await perform(request, ids, size: (ids.count + 1) / 2)
            }
            return ids.map { Acknowledgement(of: $0, error: error) }
        }
    }
}

import AsyncProcessor
import Basics
import EngineModel
import Gateway
import NIOCore
import NIOHTTP1
import NIOPosix
import Pool
import RemoteGateway
import Synchronization
import Testing

/// A processor that goes by the capacity feed, as far from its gateway as another process.
@Suite("Harvest by the capacity feed", .timeLimit(.minutes(3)))
struct HarvestTests {
    private static let batchBody =
        #"{"model":"m","max_tokens":64,"ignore_eos":true,"messages":[{"role":"user","content":"batch work"}]}"#

    /// Sends one batch request after the other, as many at a time as the feed gives credit for, until the task is cancelled.
    private func sendByFeed(_ gateway: Gateway) async throws {
        let connections = try GatewayConnections()
        var target = RemoteTarget(
            url: try GatewayURL("http://127.0.0.1:\(gateway.boundPort)"), objective: "batch")
        target.processor = "p"
        let dispatcher = try RemoteDispatcher(target: target, connections: connections)
        let credit = CreditGate()
        let feed = try CapacityFeed(of: target, processor: "p", connections: connections) { credit.set($0.total ?? 0) }
        let following = Task { await feed.run() }
        await withDiscardingTaskGroup { group in
            while await credit.take() {
                group.addTask {
                    _ = await dispatcher.perform(request(Self.batchBody)) {}
                    credit.giveBack()
                }
            }
            group.cancelAll()
        }
        following.cancel()
        await following.value
        await connections.close()
    }

    @Test("every place is taken, a few requests wait to follow at once, and no more than that leave their queue")
    func full() async throws {
        let server = try await TestServer.start()
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        let capacity = EndpointCapacity(stepTime: engine.stepTime, kvTokens: nil, maxConcurrentRequests: 8)
        let endpoint = GatewayEndpoint(host: "127.0.0.1", port: server.port, metrics: .none, capacity: capacity)
        let pool = GatewayPool(name: "pool", models: ["m"], endpoints: [endpoint])
        let gateway = try await Gateway.start(GatewayConfiguration(port: 0, threads: 1, pools: [pool]))
        let sending = Task { try await sendByFeed(gateway) }
        var running: [Arrival] = []
        for _ in 0..<8 { running.append(await server.arrivals.next()) }
        for _ in 0..<20 {
            while gateway.status().pools[0].queue.reduce(0, { $0 + $1.requests }) < 4 { await Task.yield() }
            // Those that wait take the places: the engine has them before their processor has heard of any answer.
            for _ in 0..<4 { running.removeFirst().answer("{}") }
            for _ in 0..<4 { running.append(await server.arrivals.next()) }
            let load = gateway.status().pools[0].endpoints[0].load
            #expect(load.sheddableRequests == 8)
            #expect(gateway.status().pools[0].requests <= 200)
        }
        sending.cancel()
        try await sending.value
        for arrival in running { try await arrival.closed() }
        await gateway.shutdown()
        try await server.stop()
    }
}

/// Lets as many pass as there is credit for.
private final class CreditGate: Sendable {
    private struct State {
        var credit = 0
        var taken = 0
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func set(_ credit: Int) { change { $0.credit = credit } }

    func giveBack() { change { $0.taken -= 1 } }

    /// Waits for credit and takes one; false if the task is cancelled.
    func take() async -> Bool {
        while !Task.isCancelled {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let waits = state.withLock { state in
                        guard state.taken >= state.credit, !Task.isCancelled else { return false }
                        state.waiter = continuation
                        return true
                    }
                    if !waits { continuation.resume() }
                }
            } onCancel: {
                change { _ in }
            }
            let isTaken = state.withLock { state in
                guard state.taken < state.credit else { return false }
                state.taken += 1
                return true
            }
            if isTaken { return true }
        }
        return false
    }

    private func change(_ body: (inout State) -> Void) {
        let waiter = state.withLock { state in
            body(&state)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}

import Admission
import AsyncProcessor
import Basics
import Delivery
import EngineModel
import Foundation
import Gateway
import Harvest
import ModelServer
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
    private static let realtimeBody =
        #"{"model":"m","max_tokens":32,"ignore_eos":true,"messages":[{"role":"user","content":"now"}]}"#

    /// A gateway before two simulated engines, under real-time load, for the length of `body`.
    private func withLoad(_ body: (Gateway) async throws -> Void) async throws {
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        let servers = try await ModelServer.start(
            ModelServerConfiguration(engine: engine, models: ["m"], replicas: 2, speedup: 1),
            group: .singletonMultiThreadedEventLoopGroup)
        let capacity = EndpointCapacity(
            stepTime: engine.stepTime, kvTokens: engine.kvTokens, maxConcurrentRequests: 100)
        // Steps may take so long that about 25 requests fit on an engine, real-time ones included.
        let harvest = HarvestConfiguration(tpotLimitMilliseconds: 7.3, stepShare: 1)
        let pool = GatewayPool(
            name: "pool", models: ["m"],
            endpoints: servers.ports.map { GatewayEndpoint(host: "127.0.0.1", port: $0, capacity: capacity) },
            harvest: harvest)
        let gateway = try await Gateway.start(GatewayConfiguration(port: 0, threads: 1, pools: [pool]))
        let load = Task {
            try await withDispatcher(
                to: "http://127.0.0.1:\(gateway.boundPort)", target: { $0.fairnessAttribute = "" }
            ) { dispatcher in
                await withDiscardingTaskGroup { group in
                    for _ in 0..<20 {
                        group.addTask {
                            while !Task.isCancelled {
                                // All come and go together, so that the room for batch work rises and falls.
                                for _ in 0..<3 { _ = await dispatcher.perform(request(Self.realtimeBody)) {} }
                                try? await Task.sleep(for: .milliseconds(500))
                            }
                        }
                    }
                }
            }
        }
        do { try await body(gateway) } catch { Issue.record(error) }
        load.cancel()
        try? await load.value
        await gateway.shutdown()
        await servers.shutdown()
    }

    /// Batch answers per second once the pool is full, in the process.
    private func inProcess(_ gateway: Gateway) async -> Double {
        let call = InferenceCall(body: ByteBuffer(string: Self.batchBody))
        return await rate { finished in
            await withDiscardingTaskGroup { group in
                for _ in 0..<200 {
                    group.addTask {
                        while !Task.isCancelled {
                            if case .answered = await gateway.perform(call) { finished() }
                        }
                    }
                }
            }
        }
    }

    /// Sends one batch request after the other, as many at a time as the feed gives credit for, until the task is cancelled.
    private func sendByFeed(_ gateway: Gateway, _ finished: @escaping @Sendable () -> Void) async throws {
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
                    let outcome = await dispatcher.perform(request(Self.batchBody)) {}
                    if outcome.response?.statusCode == 200 { finished() }
                    credit.giveBack()
                }
            }
            group.cancelAll()
        }
        following.cancel()
        await following.value
        await connections.close()
    }

    /// How often `finished` is called per second, after a second to warm up.
    private func rate(_ work: @escaping @Sendable (_ finished: @escaping @Sendable () -> Void) async -> Void) async
        -> Double
    {
        let count = Counter()
        let task = Task { await work { count.add() } }
        let clock = ContinuousClock()
        try? await Task.sleep(for: .seconds(1))
        let (before, start) = (count.value, clock.now)
        try? await Task.sleep(for: .seconds(8))
        let (after, end) = (count.value, clock.now)
        task.cancel()
        await task.value
        return Double(after - before) / ((end - start) / .seconds(1))
    }

    @Test("every place is taken, a few requests wait to follow at once, and no more than that leave their queue")
    func full() async throws {
        let server = try await TestServer.start()
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        let capacity = EndpointCapacity(stepTime: engine.stepTime, kvTokens: nil, maxConcurrentRequests: 8)
        let endpoint = GatewayEndpoint(host: "127.0.0.1", port: server.port, metrics: .none, capacity: capacity)
        let pool = GatewayPool(name: "pool", models: ["m"], endpoints: [endpoint])
        let gateway = try await Gateway.start(GatewayConfiguration(port: 0, threads: 1, pools: [pool]))
        let sending = Task { try await sendByFeed(gateway) {} }
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

    /// Takes a minute of an otherwise idle machine, and is therefore made only when asked for:
    /// `WEIR_MEASURE=1 swift test --filter HarvestTests`.
    @Test(
        "a remote processor harvests as much as one in the process",
        .enabled(if: ProcessInfo.processInfo.environment["WEIR_MEASURE"] != nil))
    func throughput() async throws {
        try await withLoad { gateway in
            var (inside, outside) = (0.0, 0.0)
            // In turn, so that both see the same noise of the machine.
            for _ in 0..<3 {
                inside += await inProcess(gateway) / 3
                outside += await rate { finished in try? await sendByFeed(gateway, finished) } / 3
            }
            print("batch answers per second: \(inside) in process, \(outside) by feed, ratio \(outside / inside)")
            #expect(outside > 0.9 * inside)
        }
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

private final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { count.load(ordering: .relaxed) }
    func add() { count.add(1, ordering: .relaxed) }
}

import Admission
import Basics
import Gateway
import Harvest
import Pool
import Testing

/// Keeps what a gateway tells, for tests to await.
final class RecordingObserver: GatewayObserver {
    let records = Mailbox<RequestRecord>()
    let endpointChanges = Mailbox<(endpoint: String, isUp: Bool)>()

    func requestEnded(_ record: RequestRecord) { records.put(record) }
    func endpointChanged(pool: String, endpoint: String, isUp: Bool, reason: String) {
        endpointChanges.put((endpoint, isUp))
    }
}

/// A gateway before the given endpoints, with a client's view of it.
struct TestGateway {
    let gateway: Gateway
    let observer: RecordingObserver

    /// A pool of one model, `m`, on endpoints that each take `slots` requests at once.
    static func pool(
        _ ports: [Int], slots: Int = 100, models: [String] = ["m"], admission: AdmissionConfiguration = .init(),
        metrics: GatewayEndpoint.Metrics = .none
    ) -> GatewayPool {
        let speed = StepTimeModel(
            baseMilliseconds: 5, perDecodeMilliseconds: 0.05, perContextTokenMilliseconds: 0.0001,
            perPrefillTokenMilliseconds: 0.02)
        let capacity = EndpointCapacity(stepTime: speed, kvTokens: nil, maxConcurrentRequests: slots)
        return GatewayPool(
            name: "pool", models: models,
            endpoints: ports.map { GatewayEndpoint(host: "127.0.0.1", port: $0, metrics: metrics, capacity: capacity) },
            admission: admission)
    }

    static func with<Result>(
        _ pool: GatewayPool, change: (inout GatewayConfiguration) -> Void = { _ in },
        _ body: (TestGateway) async throws -> Result
    ) async throws -> Result {
        let observer = RecordingObserver()
        var configuration = GatewayConfiguration(
            port: 0, threads: 1, objectives: ["realtime": 0, "batch": -1, "urgent": 5], pools: [pool])
        // On a machine that stands still for seconds, a kept connection must still be there.
        configuration.limits.upstreamIdle = .seconds(600)
        change(&configuration)
        let gateway = try await Gateway.start(configuration, observer: observer)
        do {
            let result = try await body(TestGateway(gateway: gateway, observer: observer))
            await gateway.shutdown()
            return result
        } catch {
            await gateway.shutdown()
            throw error
        }
    }

    func connect(autoRead: Bool = true) async throws -> TestClient {
        try await TestClient.connect(port: gateway.boundPort, autoRead: autoRead)
    }

    /// The one pool's status.
    var pool: PoolStatus { gateway.status().pools[0] }

    /// Waits until the pool's status is as wanted; the suite's time limit ends a wait in vain.
    func until(_ condition: (PoolStatus) -> Bool) async {
        while !condition(pool) { await Task.yield() }
    }

    /// Waits for the end of what has been answered already, and checks that nothing is left of it.
    func becomesIdle(sourceLocation: SourceLocation = #_sourceLocation) async {
        while gateway.status().requests > 0 || pool.requests > 0 { await Task.yield() }
        expectIdle(sourceLocation: sourceLocation)
    }

    /// Checks that nothing is counted as running, waiting or held.
    func expectIdle(sourceLocation: SourceLocation = #_sourceLocation) {
        let status = gateway.status()
        #expect(status.requests == 0, sourceLocation: sourceLocation)
        #expect(status.heldBodyBytes == 0, sourceLocation: sourceLocation)
        #expect(status.heldResultBytes == 0, sourceLocation: sourceLocation)
        for pool in status.pools {
            #expect(pool.requests == 0, sourceLocation: sourceLocation)
            for endpoint in pool.endpoints {
                #expect(endpoint.load == EndpointLoad(), sourceLocation: sourceLocation)
            }
        }
    }
}

/// The smallest body that names the model.
let smallBody = #"{"model":"m","messages":[]}"#

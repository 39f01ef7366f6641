import AsyncHTTPClient
import Foundation
import NIOCore

/// Reads the admin server's status a few times a second, as anybody could.
struct PoolWatcher: Sendable {
    private static let interval = Duration.milliseconds(250)

    private struct Status: Decodable {
        struct Pool: Decodable { var endpoints: [Endpoint] }
        struct Endpoint: Decodable {
            var url: String
            var realtimeInFlight: Int
            var batchInFlight: Int
        }
        struct Queue: Decodable { var depth: Int }
        var pools: [Pool]
        var queues: [Queue]
    }

    let client: HTTPClient
    let adminURL: String
    let ledger: Ledger

    /// Samples until the task is cancelled; calls `changed` after each sample.
    func run(_ act: Act, changed: @escaping @Sendable () -> Void) async {
        let start = ContinuousClock.now
        while !Task.isCancelled {
            if let status = await read() {
                let servers = status.pools.flatMap(\.endpoints).map {
                    (
                        name: $0.url.replacingOccurrences(of: "http://", with: ""), realtime: $0.realtimeInFlight,
                        batch: $0.batchInFlight
                    )
                }
                let sample = PoolSample(
                    seconds: (ContinuousClock.now - start).milliseconds / 1000,
                    realtime: servers.reduce(0) { $0 + $1.realtime }, batch: servers.reduce(0) { $0 + $1.batch },
                    backlog: status.queues.reduce(0) { $0 + $1.depth }, servers: servers)
                ledger.update(act) { $0.pool.append(sample) }
                changed()
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func read() async -> Status? {
        guard
            let response = try? await client.execute(
                HTTPClientRequest(url: adminURL + "/status.json"), timeout: .seconds(2)),
            let body = try? await response.body.collect(upTo: 1 << 20)
        else { return nil }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try? decoder.decode(Status.self, from: Data(body.readableBytesView))
    }
}

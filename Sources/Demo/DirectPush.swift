import AsyncHTTPClient
import Basics
import NIOCore
import NIOHTTP1

/// Pushes messages straight at the pool as sheddable requests: each is carried now or not at all.
struct DirectPush: Sendable {
    let client: HTTPClient
    let gatewayURL: String
    let ledger: Ledger

    /// Sends every body at its time and returns when each has been served or dropped.
    func run(_ bodies: [[UInt8]], perSecond: Double, act: Act) async {
        let start = ContinuousClock.now
        await withDiscardingTaskGroup { group in
            for (index, body) in bodies.enumerated() {
                try? await Task.sleep(until: start + .seconds(Double(index) / perSecond), clock: .continuous)
                if Task.isCancelled { return }
                ledger.update(act) { $0.submitted += 1 }
                group.addTask {
                    let isServed = await send(body)
                    ledger.update(act) { record in
                        if isServed { record.served += 1 } else { record.dropped += 1 }
                        record.batchSeconds = (ContinuousClock.now - start).milliseconds / 1000
                    }
                }
            }
        }
    }

    private func send(_ body: [UInt8]) async -> Bool {
        var post = HTTPClientRequest(url: gatewayURL + "/v1/chat/completions")
        post.method = .POST
        post.headers.add(name: "content-type", value: "application/json")
        post.headers.add(name: "x-llm-d-inference-objective", value: "batch")
        // No waiting in the gateway either: a push without a queue has one chance.
        post.headers.add(name: "x-llm-d-inference-ttl", value: "0s")
        post.body = .bytes(body)
        guard let response = try? await client.execute(post, timeout: .seconds(120)) else { return false }
        guard (try? await response.body.collect(upTo: 4 << 20)) != nil else { return false }
        return response.status == .ok
    }
}

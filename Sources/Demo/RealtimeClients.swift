import AsyncHTTPClient
import Basics
import Lab
import NIOCore
import NIOHTTP1

/// Replays real-time traffic against the gateway, open loop: nobody waits for anybody else's answer.
struct RealtimeClients: Sendable {
    let client: HTTPClient
    let gatewayURL: String
    let model: String
    let requests: [TraceRequest]
    let ledger: Ledger

    /// Sends every request at its time and returns when all are answered. With `repeatsUntil`, the traffic starts over
    /// until that returns true, so that an act of open length sees the same traffic all along.
    func run(_ act: Act, roundSeconds: Double, repeatsUntil isOver: @escaping @Sendable () -> Bool) async {
        let start = ContinuousClock.now
        await withDiscardingTaskGroup { group in
            var round = 0.0
            repeat {
                for request in requests {
                    let due = round * roundSeconds + request.arrival.seconds
                    try? await Task.sleep(until: start + .seconds(due), clock: .continuous)
                    if Task.isCancelled || (round > 0 && isOver()) { return }
                    group.addTask { await send(request, act: act, at: due) }
                }
                round += 1
            } while !isOver()
        }
    }

    private func send(_ request: TraceRequest, act: Act, at seconds: Double) async {
        var post = HTTPClientRequest(url: gatewayURL + "/v1/chat/completions")
        post.method = .POST
        post.headers.add(name: "content-type", value: "application/json")
        post.body = .bytes(
            PromptText.chat(
                model: model, number: Int.random(in: 1_000_000...9_999_999), promptTokens: request.promptTokens,
                outputTokens: request.outputTokens, streams: true))
        let sent = ContinuousClock.now
        var sample = RealtimeSample(sentSeconds: seconds, isComplete: false)
        do {
            let response = try await client.execute(post, timeout: .seconds(60))
            var first: ContinuousClock.Instant?
            var last = sent
            for try await piece in response.body where response.status == .ok && piece.readableBytes > 0 {
                last = ContinuousClock.now
                if first == nil { first = last }
            }
            if let first {
                sample.firstTokenMilliseconds = (first - sent).milliseconds
                sample.isComplete = true
                if request.outputTokens > 1 {
                    sample.perTokenMilliseconds = (last - first).milliseconds / Double(request.outputTokens - 1)
                }
            }
        } catch {
            // A request that failed counts as one whose user was not well served; the sample says so.
        }
        ledger.update(act) { [sample] in $0.realtime.append(sample) }
    }
}

extension Duration {
    /// The length in milliseconds.
    var milliseconds: Double {
        Double(components.seconds) * 1000 + Double(components.attoseconds) / 1e15
    }
}

import Basics
import Foundation
import MessageQueues
import SwiftProtobuf
import Synchronization

/// Publishes to any number of topics, in batches, and waits for each message to be confirmed.
final class TopicPublisher: Sendable {
    private struct State {
        var batchers: [String: Batcher<PubSub_PubsubMessage, Void>] = [:]
        var published = 0
    }

    private let client: PubSubClient
    private let clock: any DeliveryClock
    private let state = Mutex(State())

    init(client: PubSubClient, clock: any DeliveryClock) {
        self.client = client
        self.clock = clock
    }

    /// Messages that have been confirmed.
    var published: Int { state.withLock { $0.published } }

    /// Returns when the service has stored the message. The topics are those of the configuration, so there are few.
    func publish(data: [UInt8], attributes: [String: String], to topic: String) async throws(PubSubError) {
        let message = PubSub_PubsubMessage.with {
            $0.data = Data(data)
            $0.attributes = attributes
        }
        let bytes = data.count + attributes.reduce(64) { $0 + $1.key.utf8.count + $1.value.utf8.count + 8 }
        do {
            try await batcher(for: topic).submit(message, bytes: bytes)
        } catch {
            throw PubSubError(error, place: topic)
        }
        state.withLock { $0.published += 1 }
    }

    private func batcher(for topic: String) -> Batcher<PubSub_PubsubMessage, Void> {
        state.withLock { state in
            if let batcher = state.batchers[topic] { return batcher }
            let client = client
            let batcher = Batcher<PubSub_PubsubMessage, Void>(limits: .publishing, clock: clock) { messages in
                // One message that is not accepted must not keep the others out.
                let outcomes: [Result<String, PubSubError>] = await bisecting(
                    messages[...], isToBeSplit: { error, _ in error.kind == .invalid }
                ) { part in
                    do throws(PubSubError) {
                        return .success(try await client.publish(part, to: topic))
                    } catch {
                        return .failure(error)
                    }
                }
                return outcomes.map { outcome in
                    switch outcome {
                    case .success: .success(())
                    case .failure(let error): .failure(error)
                    }
                }
            }
            state.batchers[topic] = batcher
            return batcher
        }
    }
}

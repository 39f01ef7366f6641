import Basics
import Delivery
import Foundation
import MessageQueues
import SwiftProtobuf
import Synchronization

@testable import PubSubQueue

/// A request topic, a result topic and a dead-letter topic of one test's own in an emulator, each with a subscription.
final class World: Sendable {
    let connection: PubSubConnectionSettings
    let client: PubSubClient
    let setup: PubSubSetup
    let requests: String
    let requestSubscription: String
    let results: String
    let deadLetters: String
    private let queues = Mutex<[PubSubQueue]>([])

    init(
        on emulator: Emulator? = nil, _ change: (inout SubscriptionSettings) -> Void = { _ in }
    ) async throws {
        let port: Int
        if let emulator { port = emulator.port } else { port = try await Emulator.shared().port }
        connection = PubSubConnectionSettings(
            endpoint: PubSubEndpoint(host: "127.0.0.1", port: port, usesTLS: false))
        client = try PubSubClient(connection)
        let name = "t" + UUID().uuidString.lowercased().prefix(8)
        var setup = try PubSubSetup(project: "weir-tests", name: name)
        requests = "projects/weir-tests/topics/\(name)-requests"
        requestSubscription = "projects/weir-tests/subscriptions/\(name)-requests"
        results = "projects/weir-tests/topics/\(name)-results"
        deadLetters = "projects/weir-tests/topics/\(name)-dead-letters"
        for index in setup.steps.indices {
            guard case .subscription(var settings) = setup.steps[index], settings.name == requestSubscription else {
                continue
            }
            // The pauses of the recommended policy are longer than a test.
            settings.retryPauses = nil
            change(&settings)
            setup.steps[index] = .subscription(settings)
        }
        self.setup = setup
        _ = try await setup.apply(connection)
    }

    /// A queue that has been started; `calls` can stand between it and the emulator.
    func queue(
        _ change: (inout PubSubQueue.Configuration) -> Void = { _ in },
        calls: ((PubSubClient) -> AcknowledgementCalls)? = nil
    ) async throws -> PubSubQueue {
        var configuration = PubSubQueue.Configuration(
            connection: connection, subscription: requestSubscription, results: ResultDestinations(topic: results))
        configuration.requestTopic = requests
        configuration.deadLetterTopic = deadLetters
        configuration.ackDeadline = .seconds(10)
        change(&configuration)
        let queue = try calls.map { try PubSubQueue(configuration, calls: $0) } ?? PubSubQueue(configuration)
        try await queue.start()
        queues.withLock { $0.append(queue) }
        return queue
    }

    /// Ends what the test has opened.
    func end() async {
        for queue in queues.withLock({ $0 }) { await queue.close(within: .seconds(5)) }
        await client.close(within: .seconds(1))
    }

    func publish(
        _ bodies: [String], attributes: [String: String] = [:], orderingKey: String = ""
    ) async throws -> [String] {
        try await client.publish(
            bodies.map { body in
                .with {
                    $0.data = Data(body.utf8)
                    $0.attributes = attributes
                    $0.orderingKey = orderingKey
                }
            }, to: requests)
    }

    static func body(_ id: String, deadline: Int = 1_999_999_999, model: String = "llama") -> String {
        "{\"id\":\"\(id)\",\"deadline\":\(deadline),\"payload\":{\"model\":\"\(model)\",\"prompt\":\"hi\"}}"
    }
}

/// Runs a test in a world of its own and ends the world in any case.
func withWorld(
    on emulator: Emulator? = nil, _ change: (inout SubscriptionSettings) -> Void = { _ in },
    _ body: (World) async throws -> Void
) async throws {
    let world = try await World(on: emulator, change)
    do {
        try await body(world)
    } catch {
        await world.end()
        throw error
    }
    await world.end()
}

/// Reads a subscription by a client of its own, and acknowledges what comes.
final class Reader: Sendable {
    private struct State {
        var messages: [PubSub_PubsubMessage] = []
    }

    private let state = Mutex(State())
    private let change = ChangeSignal()
    private let client: PubSubClient
    private let task: Mutex<Task<Void, Never>?> = Mutex(nil)

    init(_ world: World, topic: String) throws {
        client = try PubSubClient(world.connection)
        let subscription = topic.replacingOccurrences(of: "/topics/", with: "/subscriptions/")
        let opening = PubSub_StreamingPullRequest.with {
            $0.subscription = subscription
            $0.streamAckDeadlineSeconds = 60
        }
        let reading: Task<Void, Never> = Task { [client] in
            _ = try? await client.pull(opening, until: ChangeSignal()) { response in
                self.state.withLock { $0.messages += response.receivedMessages.map(\.message) }
                self.change.notify()
                try? await client.acknowledge(response.receivedMessages.map(\.ackID), on: subscription)
            }
        }
        task.withLock { $0 = reading }
    }

    /// Waits for so many messages; fewer only if the test is cancelled, by its time limit.
    func messages(_ count: Int) async -> [PubSub_PubsubMessage] {
        while !Task.isCancelled {
            let version = change.version
            let messages = state.withLock { $0.messages }
            if messages.count >= count { return messages }
            await change.wait(past: version)
        }
        return []
    }

    func stop() async {
        task.withLock { $0 }?.cancel()
        await client.close(within: .milliseconds(200))
    }
}

extension PubSubQueue {
    /// Leases exactly so many messages, waiting for them.
    func take(_ count: Int, duration: TimeSpan = .seconds(30)) async throws -> [LeasedMessage] {
        var taken: [LeasedMessage] = []
        while taken.count < count, !Task.isCancelled {
            try await waitUntilReady(excluding: [])
            taken += try await lease(limit: count - taken.count, duration: duration, excluding: [])
        }
        return taken
    }

    /// Whether nothing comes within a while: the only way to see that something does not happen.
    func staysEmpty(for span: TimeSpan) async throws -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                try? await self.waitUntilReady(excluding: [])
                return Task.isCancelled
            }
            group.addTask {
                try? await Task.sleep(for: .nanoseconds(span.nanoseconds))
                return true
            }
            let first = await group.next() ?? true
            group.cancelAll()
            return first
        }
    }
}

/// The answer of a model server that has none to give.
func answer(to leased: LeasedMessage, text: String = "{\"ok\":true}") -> InferenceResult {
    var result = InferenceResult(
        for: leased, queue: "test", attempts: leased.attempts, finished: SystemClock().now())
    result.statusCode = 200
    result.payload = Array(text.utf8)
    result.contentType = "application/json"
    return result
}

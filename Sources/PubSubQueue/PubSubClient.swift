import Basics
import GRPCCore
import GRPCNIOTransportHTTP2
import GRPCProtobuf
import MessageQueues
import SwiftProtobuf

/// The calls of Pub/Sub that are used here, over one connection that is made anew when it breaks.
///
/// Every error is a `PubSubError`. `close` ends the connection; until then a failed call may be repeated.
final class PubSubClient: Sendable {
    typealias Transport = HTTP2ClientTransport.Posix

    /// Pub/Sub carries messages of up to 10 MB; several may come in one answer.
    static let maximumMessageBytes = 20 << 20

    private let client: GRPCClient<Transport>
    private let publisher: PubSub_Publisher.Client<Transport>
    private let subscriber: PubSub_Subscriber.Client<Transport>
    private let settings: PubSubConnectionSettings
    private let connections: Task<Void, Never>

    init(_ settings: PubSubConnectionSettings) throws(PubSubError) {
        self.settings = settings
        let endpoint = settings.endpoint
        var service = ServiceConfig()
        var everyMethod = MethodConfig(names: [MethodConfig.Name(service: "")])
        everyMethod.maxRequestMessageBytes = Self.maximumMessageBytes
        everyMethod.maxResponseMessageBytes = Self.maximumMessageBytes
        service.methodConfig = [everyMethod]
        do {
            let transport = try Transport(
                target: .dns(host: endpoint.host, port: endpoint.port),
                transportSecurity: Self.security(settings),
                config: .defaults { configuration in
                    configuration.backoff = .init(
                        initial: .milliseconds(100), max: .seconds(10), multiplier: 1.6, jitter: 0.2)
                    // What lies unread in the connection runs out unseen: no more than a moment's worth of messages.
                    configuration.http2.targetWindowSize = 1 << 20
                    if endpoint.usesTLS {
                        configuration.http2.authority = endpoint.host
                        // As Google's clients do; an emulator would take it for abuse.
                        configuration.connection.keepalive = .init(
                            time: .seconds(30), timeout: .seconds(20), allowWithoutCalls: false)
                    }
                },
                serviceConfig: service)
            let client = GRPCClient(transport: transport)
            self.client = client
            publisher = PubSub_Publisher.Client(wrapping: client)
            subscriber = PubSub_Subscriber.Client(wrapping: client)
            connections = Task { try? await client.runConnections() }
        } catch {
            throw PubSubError(.invalid, place: endpoint.description, detail: "\(error)")
        }
    }

    deinit { connections.cancel() }

    private static func security(_ settings: PubSubConnectionSettings) -> Transport.TransportSecurity {
        guard settings.endpoint.usesTLS else { return .plaintext }
        guard let file = settings.trustedCertificatesFile else { return .tls }
        return .tls { $0.trustRoots = .certificates([.file(path: file, format: .pem)]) }
    }

    /// Ends the connection: calls under way may finish within `limit`.
    func close(within limit: TimeSpan) async {
        client.beginGracefulShutdown()
        let connections = connections
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await connections.value }
            group.addTask {
                try? await Task.sleep(for: .nanoseconds(max(0, limit.nanoseconds)))
                connections.cancel()
            }
            await group.next()
            group.cancelAll()
        }
        await connections.value
    }

    // MARK: Topics

    func createTopic(_ topic: PubSub_Topic) async throws(PubSubError) -> PubSub_Topic {
        try await call(topic.name, routing: "name") {
            try await self.publisher.createTopic(topic, metadata: $0, options: $1)
        }
    }

    func topic(_ name: String) async throws(PubSubError) -> PubSub_Topic {
        try await call(name, routing: "topic") {
            try await self.publisher.getTopic(.with { $0.topic = name }, metadata: $0, options: $1)
        }
    }

    /// Publishes up to 1000 messages in one call; when this returns the service has stored them.
    func publish(_ messages: [PubSub_PubsubMessage], to topic: String) async throws(PubSubError) -> [String] {
        let request = PubSub_PublishRequest.with {
            $0.topic = topic
            $0.messages = messages
        }
        let response = try await call(topic, routing: "topic", timeout: .seconds(60)) {
            try await self.publisher.publish(request, metadata: $0, options: $1)
        }
        guard response.messageIds.count == messages.count else {
            throw PubSubError(.other, place: topic, detail: "not every message was confirmed")
        }
        return response.messageIds
    }

    // MARK: Subscriptions

    func createSubscription(_ subscription: PubSub_Subscription) async throws(PubSubError) -> PubSub_Subscription {
        try await call(subscription.name, routing: "name") {
            try await self.subscriber.createSubscription(subscription, metadata: $0, options: $1)
        }
    }

    func subscription(_ name: String) async throws(PubSubError) -> PubSub_Subscription {
        try await call(name, routing: "subscription", timeout: .seconds(10)) {
            try await self.subscriber.getSubscription(.with { $0.subscription = name }, metadata: $0, options: $1)
        }
    }

    func updateSubscription(
        _ subscription: PubSub_Subscription, fields: [String]
    ) async throws(PubSubError) -> PubSub_Subscription {
        let request = PubSub_UpdateSubscriptionRequest.with {
            $0.subscription = subscription
            $0.updateMask.paths = fields
        }
        return try await call(subscription.name, routing: "subscription.name") {
            try await self.subscriber.updateSubscription(request, metadata: $0, options: $1)
        }
    }

    func acknowledge(_ ids: [String], on subscription: String) async throws(PubSubError) {
        let request = PubSub_AcknowledgeRequest.with {
            $0.subscription = subscription
            $0.ackIds = ids
        }
        _ = try await call(subscription, routing: "subscription") {
            try await self.subscriber.acknowledge(request, metadata: $0, options: $1)
        }
    }

    /// Sets the ack deadline to so many seconds from now, 0...600; 0 hands the messages back.
    func modifyAckDeadline(
        _ ids: [String], seconds: Int32, on subscription: String, timeout: TimeSpan = .seconds(30)
    ) async throws(PubSubError) {
        let request = PubSub_ModifyAckDeadlineRequest.with {
            $0.subscription = subscription
            $0.ackIds = ids
            $0.ackDeadlineSeconds = seconds
        }
        _ = try await call(subscription, routing: "subscription", timeout: timeout) {
            try await self.subscriber.modifyAckDeadline(request, metadata: $0, options: $1)
        }
    }

    /// Opens a stream of messages and feeds `receive` with what comes until the stream ends; while `receive` has not
    /// returned nothing more is read. From the first notification of `end` on our side of the stream is closed: the
    /// service sends what is on its way, and then ends the stream.
    func pull(
        _ opening: PubSub_StreamingPullRequest, until end: ChangeSignal,
        receive: @escaping @Sendable (PubSub_StreamingPullResponse) async -> Void
    ) async throws(PubSubError) {
        do {
            let metadata = try await metadata(routing: "subscription", place: opening.subscription)
            try await subscriber.streamingPull(metadata: metadata) { writer in
                try await writer.write(opening)
                // The service and what lies between take a stream for dead on which nothing is said (Google's clients
                // likewise send an empty request every 30 seconds). The call is not over before this returns.
                while true {
                    await end.wait(past: 0, atMost: .seconds(30))
                    if end.version > 0 || Task.isCancelled { return }
                    try await writer.write(PubSub_StreamingPullRequest())
                }
            } onResponse: { response in
                defer { end.notify() }
                for try await message in response.messages { await receive(message) }
            }
        } catch {
            throw PubSubError(error, place: opening.subscription)
        }
    }

    // MARK: Calls

    private func call<Answer: Sendable>(
        _ place: String, routing key: String, timeout: TimeSpan = .seconds(30),
        _ body: @Sendable (Metadata, CallOptions) async throws -> Answer
    ) async throws(PubSubError) -> Answer {
        do {
            var options = CallOptions.defaults
            options.timeout = .nanoseconds(timeout.nanoseconds)
            return try await body(try await metadata(routing: key, place: place), options)
        } catch {
            throw PubSubError(error, place: place)
        }
    }

    /// Who calls, and the header by which Google's front ends find the right place (`x-goog-request-params`, AIP-4222).
    private func metadata(routing key: String, place: String) async throws -> Metadata {
        var metadata = Metadata()
        metadata.addString("\(key)=\(Self.percentEncoded(place))", forKey: "x-goog-request-params")
        if let project = settings.userProject { metadata.addString(project, forKey: "x-goog-user-project") }
        if let tokens = settings.tokens {
            do {
                metadata.addString("Bearer \(try await tokens.token())", forKey: "authorization")
            } catch {
                throw PubSubError(.unauthenticated, place: place, detail: "no access token: \(error)")
            }
        }
        return metadata
    }

    static func percentEncoded(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"):
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                encoded += "%" + (byte < 0x10 ? "0" : "") + digits
            }
        }
        return encoded
    }
}

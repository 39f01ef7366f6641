import AsyncProcessor
import Basics
import Delivery
import MessageQueues
import RemoteGateway
import Testing

/// The body of most requests here.
let smallBody = #"{"model":"m","messages":[]}"#

/// A request as the processor makes it.
func request(
    _ body: String = smallBody, path: String = "/v1/chat/completions", headers: [String: String] = [:],
    metadata: [String: String] = [:], tenant: String = "", stamps: [String: String] = [:],
    deadlineIn: TimeSpan = .seconds(600)
) -> AsyncRequest {
    let now = SystemClock().now()
    let message = InferenceMessage(
        id: "id", created: now, deadline: now + deadlineIn, path: path, payload: Array(body.utf8), headers: headers,
        metadata: metadata, tenant: tenant)
    var request = AsyncRequest(
        LeasedMessage(
            lease: Lease(sequence: 1, token: 1), message: message, attempts: AttemptRecord(), generation: "1",
            enqueued: now))
    request.stamps = stamps
    return request
}

/// A dispatcher before a server, for the length of a test.
func withDispatcher(
    to url: String, transforms: [any RequestTransform] = [], target change: (inout RemoteTarget) -> Void = { _ in },
    connections adjust: (inout GatewayConnections.Configuration) -> Void = { _ in },
    _ body: (RemoteDispatcher) async throws -> Void
) async throws {
    var configuration = GatewayConnections.Configuration()
    adjust(&configuration)
    let connections = try GatewayConnections(configuration)
    var target = RemoteTarget(url: try GatewayURL(url))
    change(&target)
    do {
        try await body(try RemoteDispatcher(target: target, connections: connections, transforms: transforms))
    } catch {
        await connections.close()
        throw error
    }
    await connections.close()
}

/// The answer, or a failed test.
func answer(_ outcome: AttemptOutcome, sourceLocation: SourceLocation = #_sourceLocation) throws -> AttemptResponse {
    try #require(outcome.response, "no answer but \(outcome)", sourceLocation: sourceLocation)
}

extension AttemptOutcome {
    /// The answer, if there is one.
    var response: AttemptResponse? { if case .answered(let response) = self { response } else { nil } }
}

struct NoAnswer: Error {}

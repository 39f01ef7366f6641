import Basics
import Delivery
import MessageQueues

/// Where results are published.
public struct ResultDestinations: Hashable, Sendable {
    /// The whole name of the topic for results without a route of their own.
    public var topic: String
    /// Whole names of topics by the value of `result_route` in a message's metadata. Others than these are never
    /// published to, whatever a message asks for.
    public var topicsByRoute: [String: String]

    /// Publishes everything to one topic, except for the routes that are named.
    public init(topic: String, topicsByRoute: [String: String] = [:]) {
        self.topic = topic
        self.topicsByRoute = topicsByRoute
    }

    /// The topic for the result of a message with this metadata.
    public func topic(for metadata: [String: String]) -> String {
        metadata[ResultPublication.routeAttribute].flatMap { topicsByRoute[$0] } ?? topic
    }
}

/// A result as it goes to its topic.
struct ResultPublication: Hashable {
    /// The attribute of a request that its result carries as well, for the filters of result subscriptions.
    static let routeAttribute = "result_route"
    /// Pub/Sub takes 10 MB for data and attributes together ("Quotas and limits").
    static let maximumDataBytes = 9_900_000
    /// An attribute's value may be this long ("Quotas and limits").
    static let maximumAttributeBytes = 1024

    let data: [UInt8]
    let attributes: [String: String]

    /// The result as JSON (`ResultCodec`), and what a consumer needs to drop a duplicate without reading it:
    /// `result_key` is the same however often a message was delivered and run.
    init(_ result: InferenceResult) {
        var result = result
        let route = result.metadata[Self.routeAttribute]
        var line = ResultCodec.encode(result)
        if line.count > Self.maximumDataBytes {
            result.payload = nil
            result.metadata = [:]
            result.errorCode = .inferenceError
            result.errorMessage =
                "the result has \(line.count) bytes, more than the \(Self.maximumDataBytes) Pub/Sub takes"
            line = ResultCodec.encode(result)
        }
        data = line
        var attributes = [
            "id": result.id, "generation": result.generation, "result_key": "\(result.id)/\(result.generation)",
            "status": result.errorCode?.rawValue ?? result.statusCode.map { String($0) } ?? "",
        ]
        if let route { attributes[Self.routeAttribute] = route }
        self.attributes = attributes.filter { !$1.isEmpty && $1.utf8.count <= Self.maximumAttributeBytes }
    }
}

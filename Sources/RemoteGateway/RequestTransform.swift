public import Basics

/// What a transform sees of a message.
public struct TransformSubject: Hashable, Sendable {
    /// The payload.
    public var body: [UInt8]
    /// The producer's notes.
    public var metadata: [String: String]
    /// When the answer stops being of use, since the Unix epoch.
    public var deadline: Instant

    /// Creates a subject.
    public init(body: [UInt8], metadata: [String: String], deadline: Instant) {
        self.body = body
        self.metadata = metadata
        self.deadline = deadline
    }
}

/// A body as it is to be sent.
public struct TransformedBody: Hashable, Sendable {
    /// Its bytes.
    public var body: [UInt8]
    /// The `Content-Type` that goes with it.
    public var contentType: String

    /// Creates a body.
    public init(body: [UInt8], contentType: String) {
        self.body = body
        self.contentType = contentType
    }
}

/// Why a message cannot be sent in the form that its provider wants; no repetition can help.
public struct TransformFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// The fault, in words that follow "The request": they name no secret part of the message.
    public let description: String

    /// Creates a fault.
    public init(_ description: String) { self.description = description }
}

/// Rewrites the bodies of some messages on their way to a gateway (shared reference `async-processor.md` 5.3).
public protocol RequestTransform: Sendable {
    /// The body to send instead; nil if the message is none of this transform's business.
    func transform(_ subject: TransformSubject) throws(TransformFault) -> TransformedBody?
}

/// One entry of a transforms file.
public enum TransformConfiguration: Hashable, Sendable {
    /// `gcs_uri_multipart`: see `GCSMultipartTransform`.
    case gcsURIMultipart(providers: [String])

    /// The types that there are, as files name them.
    public static let types = ["gcs_uri_multipart"]

    /// Reads an entry's type and its one parameter, `providers`.
    ///
    /// - Throws: `badTransform` if the type is unknown, or no provider is named.
    public init(name: String, type: String, providers: [String]) throws(RemoteGatewayError) {
        guard Self.types.contains(type) else {
            throw .badTransform(
                name: name, reason: "there is no type \"\(type)\"; it is one of \(Self.types.joined(separator: ", "))")
        }
        guard !providers.isEmpty, providers.allSatisfy({ !$0.isEmpty }) else {
            throw .badTransform(name: name, reason: "parameters.providers must list at least one provider, none empty")
        }
        self = .gcsURIMultipart(providers: providers)
    }

    /// The transform that it describes.
    public var transform: any RequestTransform {
        switch self {
        case .gcsURIMultipart(let providers): GCSMultipartTransform(providers: Set(providers))
        }
    }
}

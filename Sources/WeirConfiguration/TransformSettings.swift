public import DispatchGates

extension Configuration {
    /// A change that requests undergo before they are sent.
    public struct Transform: Hashable, Sendable {
        /// Its name, in messages.
        public var name = ""
        /// What it does.
        public var type = TransformType.gcsURIMultipart
        /// What it is told, by name.
        public var parameters: [String: GateParameter] = [:]

        /// Creates a change without a name.
        public init() {}
    }

    /// The changes that are known.
    public enum TransformType: String, Hashable, Sendable, CaseIterable {
        /// Sends a file in Google Cloud Storage by its signed URL, as a form.
        case gcsURIMultipart = "gcs_uri_multipart"
    }
}

extension Configuration.Transform {
    /// The metadata `provider` values whose requests are changed; the one parameter of `gcs_uri_multipart`.
    public var providers: [String] {
        guard case .list(let elements) = parameters[Self.providersKey] else { return [] }
        return elements.compactMap { if case .text(let text) = $0 { text } else { nil } }
    }

    fileprivate static let providersKey = "providers"

    /// What is wrong with the parameters, for a transform at `place`.
    func faults(at place: String) -> [Configuration.Fault] {
        var faults: [Configuration.Fault] = []
        for key in parameters.keys.sorted() where key != Self.providersKey {
            let near = Suggestion.nearest(to: key, among: [Self.providersKey]).map { "; did you mean \($0)?" } ?? ""
            faults.append(
                .init(keyPath: "\(place).parameters.\(key)", message: "unknown key; the key here is providers\(near)"))
        }
        guard case .list(let elements)? = parameters[Self.providersKey], !elements.isEmpty,
            providers.count == elements.count
        else {
            let message = "must be a list of at least one text, as it stands in the metadata entry provider"
            return faults + [.init(keyPath: "\(place).parameters.providers", message: message)]
        }
        return faults
    }
}

extension Configuration.Transform: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("name", \.name, .text, required: true, "Its name in messages; unique."),
            .scalar(
                "type", \.type, .word, required: true,
                "`gcs_uri_multipart`: a request with a `gcs_uri` is sent as a form that holds the signed URL."),
            .tree(
                "parameters", \.parameters,
                "`providers`: the values of the metadata entry `provider` whose requests are changed, a list."),
        ]
    }
}

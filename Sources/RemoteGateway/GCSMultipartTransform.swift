import Basics

/// Sends the JSON body of a message as a form for servers that fetch their input themselves (transcription, OCR): the signed
/// URL in `gcs_uri` becomes the field `url`, the other members become fields of their names.
///
/// It takes on messages whose metadata names one of its providers and that have a `gcs_uri`. A message whose signed URL will
/// have expired by its deadline is refused before it is sent: it might be tried too late, and would then fail for good.
public struct GCSMultipartTransform: RequestTransform {
    private static let urlMember = "gcs_uri"
    private static let inlineMember = "file_base64"
    private static let urlField = "url"

    private let providers: Set<String>

    /// Creates the transform of these providers, as `metadata.provider` names them.
    public init(providers: Set<String>) { self.providers = providers }

    /// The form that is sent instead of the body; nil if the message is another provider's, or has no `gcs_uri`.
    public func transform(_ subject: TransformSubject) throws(TransformFault) -> TransformedBody? {
        guard let provider = subject.metadata["provider"], providers.contains(provider) else { return nil }
        let members: [JSONMembers.Member]
        do throws(JSONMembers.Fault) {
            members = try JSONMembers.read(subject.body)
        } catch {
            throw TransformFault("has a payload that is not a JSON object, which this provider's form is made of")
        }
        guard let url = members.last(where: { $0.name == Self.urlMember })?.text, !url.isEmpty else { return nil }
        if let inline = members.last(where: { $0.name == Self.inlineMember })?.text, !inline.isEmpty {
            throw TransformFault("has a file_base64, which cannot be sent together with a gcs_uri")
        }
        if let expiry = SignedURLExpiry.expiry(of: url), expiry <= subject.deadline {
            throw TransformFault("has a gcs_uri whose signature expires before, or at, the deadline of the message")
        }
        var fields = [(name: Self.urlField, value: Array(url.utf8))]
        for member in members where member.name != Self.urlMember && member.name != Self.inlineMember {
            fields.append((member.name, member.text.map { Array($0.utf8) } ?? member.json))
        }
        return MultipartForm.encode(fields)
    }
}

/// Where calls to Google's services get their access tokens from.
public protocol AccessTokenSource: Sendable {
    /// A token (OAuth 2.0 bearer, scope `pubsub` or `cloud-platform`) that is valid for a while yet. Asked for with
    /// every call, so the source keeps it until it is to be renewed.
    func token() async throws -> String
}

public import Basics

/// Results that are still to be posted to somebody, stored together with the results themselves.
public protocol WebhookOutbox: Sendable {
    /// Up to `limit` notifications whose time has come, oldest first. They stay where they are until they are settled; one
    /// poster at a time is assumed.
    func dueWebhooks(limit: Int) async throws -> [PendingWebhook]

    /// Suspends until a notification may be due, or the task is cancelled.
    func waitForWebhooks() async throws

    /// Removes a notification: it was delivered, or has been given up.
    func settleWebhook(_ number: Int64) async throws

    /// Puts a notification off. `countsAsTry` says whether it was posted in vain, or only has to wait for others.
    func deferWebhook(_ number: Int64, until due: Instant, error: String, countsAsTry: Bool) async throws
}

/// A result that is to be posted.
public struct PendingWebhook: Hashable, Sendable {
    /// Its number in the outbox.
    public let number: Int64
    /// The id of the request.
    public let id: String
    /// Which use of the id.
    public let generation: String
    /// Whose request it was.
    public let tenant: String
    /// The absolute URL to post to.
    public let url: String
    /// Posts in vain so far.
    public let tries: Int
    /// When the request finished.
    public let finished: Instant
    /// The result as one line of JSON; nil if it has been removed meanwhile.
    public let line: [UInt8]?

    /// Describes a notification.
    public init(
        number: Int64, id: String, generation: String, tenant: String, url: String, tries: Int, finished: Instant,
        line: [UInt8]?
    ) {
        self.number = number
        self.id = id
        self.generation = generation
        self.tenant = tenant
        self.url = url
        self.tries = tries
        self.finished = finished
        self.line = line
    }
}

import AsyncHTTPClient
public import Basics
public import Logging
public import MessageQueues
import NIOCore
import NIOHTTP1
import Synchronization

/// How results are posted.
public struct WebhookConfiguration: Sendable {
    /// Where they may be posted.
    public var allowList: WebhookAllowList
    /// What signs the posts.
    public var signer: WebhookSigner
    /// A result that could not be delivered for so long after its request finished is given up.
    public var giveUpAfter = TimeSpan.seconds(86_400)
    /// Longest time for one post, connecting included.
    public var timeout = TimeSpan.seconds(10)
    /// Shortest pause after the first failure; it doubles with each further one.
    public var firstPause = TimeSpan.seconds(5)
    /// Longest pause, unless a `Retry-After` asks for more.
    public var longestPause = TimeSpan.seconds(3600)

    /// Creates the defaults.
    public init(allowList: WebhookAllowList, signer: WebhookSigner) {
        self.allowList = allowList
        self.signer = signer
    }

    /// Posts nothing anywhere. A poster with it empties the outbox: messages may have come in with webhooks by a way that
    /// does not look at them, or when they were still allowed.
    public static let refusingAll = WebhookConfiguration(
        allowList: WebhookAllowList([]), signer: WebhookSigner(key: []))
}

/// What posters have done since the process started.
public struct WebhookCounters: Hashable, Sendable {
    /// Results that arrived: their receiver answered with 2xx.
    public var delivered: Int
    /// Posts that failed and are repeated later.
    public var retried: Int
    /// Results that are not posted any more, because it took too long, is not allowed, or the result is gone.
    public var givenUp: Int

    /// Creates counters.
    public init(delivered: Int = 0, retried: Int = 0, givenUp: Int = 0) {
        self.delivered = delivered
        self.retried = retried
        self.givenUp = givenUp
    }
}

/// Posts the results in an outbox to those who asked for it, each at least once, until it is told to stop.
///
/// The body is the result's line of JSON, signed as `WebhookSigner` says. A notification leaves the outbox only when its
/// receiver has answered with 2xx, or it is given up; a process that dies in between posts it again. Posts are bounded
/// in number (eight, two for each receiver) and time; redirects are not followed, and of the answer only the status and
/// `Retry-After` count.
public final class WebhookPoster: Sendable {
    private static let pageLimit = 32
    private static let pageBytes = 8 << 20
    /// The outbox goes on showing what is being posted; while something is, this is how often it is looked at for more.
    private static let lookWhileBusy = TimeSpan.milliseconds(200)
    private static let pauseAfterOutboxFailure = Duration.seconds(1)

    private let outbox: any WebhookOutbox
    private let configuration: WebhookConfiguration
    private let clock: any DeliveryClock
    private let logger: Logger
    private let schedule: Mutex<WebhookSchedule>
    private let tally = Mutex(WebhookCounters())
    private let released = ChangeSignal()

    /// Creates the poster of an outbox; there must be no other one of the same outbox running.
    public init(
        outbox: any WebhookOutbox, configuration: WebhookConfiguration, clock: any DeliveryClock = SystemClock(),
        logger: Logger
    ) {
        self.outbox = outbox
        self.configuration = configuration
        self.clock = clock
        self.logger = logger
        var limits = WebhookSchedule.Limits()
        limits.firstPause = configuration.firstPause
        limits.longestPause = configuration.longestPause
        limits.giveUpAfter = configuration.giveUpAfter
        schedule = Mutex(
            WebhookSchedule(
                limits: limits, allowList: configuration.allowList,
                generator: SeededGenerator(seed: .random(in: .min ... .max))))
    }

    /// What has been done so far.
    public var counters: WebhookCounters { tally.withLock { $0 } }

    /// Posts until the task is cancelled; posts under way are then broken off, and made again by the next poster.
    public func run() async {
        var settings = HTTPClient.Configuration(redirectConfiguration: .disallow)
        settings.connectionPool.retryConnectionEstablishment = false
        settings.timeout.connect = .nanoseconds(configuration.timeout.nanoseconds)
        settings.httpVersion = .http1Only
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                let version = released.version
                do {
                    let plan = try await nextPlan()
                    for post in plan.posts { group.addTask { await self.carryOut(post, client) } }
                    guard plan.isEmpty else { continue }
                    if schedule.withLock({ $0.isIdle }) {
                        try await outbox.waitForWebhooks()
                    } else {
                        await released.wait(past: version, atMost: Self.lookWhileBusy)
                    }
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("webhooks cannot be read", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: Self.pauseAfterOutboxFailure)
                }
            }
        }
        do {
            try await client.shutdown()
        } catch {
            logger.warning("the webhooks' HTTP client did not shut down", metadata: ["error": "\(error)"])
        }
    }

    /// Looks at what is due, and does away with what needs no post.
    private func nextPlan() async throws -> WebhookSchedule.Plan {
        schedule.withLock { $0.beginLook() }
        let due = try await outbox.dueWebhooks(limit: Self.pageLimit)
        // An outbox bounds its answers in bytes, too.
        let isLong = due.count >= Self.pageLimit || due.reduce(0) { $0 + ($1.line?.count ?? 0) } >= Self.pageBytes
        let plan = schedule.withLock { $0.plan(due, hidesOthers: isLong, now: clock.now()) }
        do {
            for refusal in plan.refused {
                try await outbox.settleWebhook(refusal.webhook.number)
                noteGivenUp(refusal.webhook, reason: refusal.reason)
            }
            for (number, until) in plan.putOff {
                try await outbox.deferWebhook(
                    number, until: until, error: "waits for others to the same receiver", countsAsTry: false)
            }
        } catch {
            schedule.withLock { schedule in plan.posts.forEach { schedule.release($0) } }
            throw error
        }
        return plan
    }

    private func carryOut(_ post: WebhookSchedule.Post, _ client: HTTPClient) async {
        let number = post.webhook.number
        let started = clock.steady()
        let outcome = await send(post, client)
        let took = clock.steady() - started
        let verdict = schedule.withLock { $0.judge(post, outcome, took: took, now: clock.now()) }
        let outbox = outbox
        // A post that was broken off says nothing about its receiver.
        let wasBrokenOff = Task.isCancelled && verdict != .delivered
        switch verdict {
        case _ where wasBrokenOff: break
        case .delivered:
            await tell { try await outbox.settleWebhook(number) }
            tally.withLock { $0.delivered += 1 }
        case .retry(let due, let reason):
            await tell { try await outbox.deferWebhook(number, until: due, error: reason, countsAsTry: true) }
            tally.withLock { $0.retried += 1 }
            logger.debug("webhook failed", metadata: Self.metadata(post.webhook, reason: reason))
        case .givenUp(let reason):
            await tell { try await outbox.settleWebhook(number) }
            noteGivenUp(post.webhook, reason: reason)
        }
        schedule.withLock { $0.release(post) }
        released.notify()
    }

    /// Tells the outbox something until it has taken it: a notification that it goes on showing would be posted again at
    /// once. Not cut short by cancellation, so that what has arrived is not posted again by the next process.
    private func tell(_ message: @escaping @Sendable () async throws -> Void) async {
        while true {
            do {
                try await Task { try await message() }.value
                return
            } catch {
                logger.warning("webhooks cannot be written", metadata: ["error": "\(error)"])
                guard !Task.isCancelled else { return }
                try? await Task.sleep(for: Self.pauseAfterOutboxFailure)
            }
        }
    }

    private func noteGivenUp(_ webhook: PendingWebhook, reason: String) {
        tally.withLock { $0.givenUp += 1 }
        logger.warning("webhook given up", metadata: Self.metadata(webhook, reason: reason))
    }

    /// Without the URL, whose query may hold a key of the receiver's.
    private static func metadata(_ webhook: PendingWebhook, reason: String) -> Logger.Metadata {
        ["id": "\(webhook.id)", "tries": "\(webhook.tries)", "reason": "\(reason)"]
    }
}

extension WebhookPoster {
    /// Bytes of an answer that are read so that its connection can be used again; a longer answer closes it.
    private static let answerLimit = 16 << 10
    private static let answerPatience = TimeSpan.seconds(1)

    private func send(_ post: WebhookSchedule.Post, _ client: HTTPClient) async -> WebhookSchedule.Outcome {
        let now = clock.now()
        let fields = configuration.signer.fields(
            for: post.webhook, unixSeconds: now.nanoseconds / 1_000_000_000, body: post.body)
        guard post.url.isReadAlikeByFoundation else { return .impossible("its URL can be read in two ways") }
        var request = HTTPClientRequest(url: post.url.description)
        request.method = .POST
        request.headers = [
            "content-type": "application/json", "user-agent": "weir", "webhook-id": fields.id,
            "webhook-timestamp": fields.timestamp, "webhook-signature": fields.signature,
        ]
        request.body = .bytes(ByteBuffer(bytes: post.body))
        do {
            let call = request
            let answer = try await Self.within(configuration.timeout) {
                try await client.execute(call, deadline: .distantFuture)
            }
            guard let answer else { return .failed("no answer within \(configuration.timeout.seconds) s") }
            _ = try? await Self.within(Self.answerPatience) {
                var bytes = 0
                for try await chunk in answer.body {
                    bytes += chunk.readableBytes
                    if bytes > Self.answerLimit { break }
                }
            }
            let retryAfter = answer.headers.first(name: "retry-after").flatMap { RetryAfter.wait($0, now: now) }
            return .answered(status: Int(answer.status.code), retryAfter: retryAfter)
        } catch {
            return .failed(String("\(error)".prefix(200)))
        }
    }

    /// The value of `work`, or nil if it takes longer than `limit`; it is cancelled then.
    private static func within<Value: Sendable>(
        _ limit: TimeSpan, _ work: @escaping @Sendable () async throws -> Value
    ) async throws -> Value? {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                try await Task.sleep(for: .nanoseconds(limit.nanoseconds))
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }
}

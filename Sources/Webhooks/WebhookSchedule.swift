import Basics
import MessageQueues

/// Decides which results are posted when, and what follows from how a post ended. Pure: it is told the time.
struct WebhookSchedule {
    /// Bounds and pauses.
    struct Limits: Hashable, Sendable {
        /// Most posts at a time.
        var posts = 8
        /// Most posts at a time to one host and port, so that one that is slow does not hold up the others.
        var postsPerReceiver = 2
        /// Shortest pause after the first failure; it doubles with each further one.
        var firstPause = TimeSpan.seconds(5)
        /// Longest pause, unless a `Retry-After` asks for more.
        var longestPause = TimeSpan.seconds(3600)
        /// After this long since the request finished a failed post is not repeated.
        var giveUpAfter = TimeSpan.seconds(86_400)
    }

    /// One post to be made.
    struct Post: Hashable, Sendable {
        let webhook: PendingWebhook
        let url: WebhookURL
        let body: [UInt8]
    }

    /// How a post ended.
    enum Outcome: Hashable, Sendable {
        /// The receiver answered.
        case answered(status: Int, retryAfter: TimeSpan?)
        /// There was no answer; why, for people.
        case failed(String)
        /// It could not be made, and never can; why, for people.
        case impossible(String)
    }

    /// What becomes of a notification.
    enum Verdict: Hashable, Sendable {
        /// It arrived.
        case delivered
        /// It is tried again.
        case retry(at: Instant, reason: String)
        /// It is not tried again.
        case givenUp(reason: String)
    }

    /// What to do about the notifications that are due.
    struct Plan: Hashable, Sendable {
        /// Posts to make now.
        var posts: [Post] = []
        /// Notifications that make room for others: their receiver is busy for longer than they should stand at the head.
        var putOff: [Int64: Instant] = [:]
        /// Notifications that cannot be delivered, and why.
        var refused: [Refusal] = []

        /// A notification that cannot be delivered.
        struct Refusal: Hashable, Sendable {
            let webhook: PendingWebhook
            let reason: String
        }

        var isEmpty: Bool { posts.isEmpty && putOff.isEmpty && refused.isEmpty }
    }

    private struct Receiver {
        var inFlight = 0
        /// How long a post takes there, smoothed.
        var duration = TimeSpan.seconds(1)
        /// When a post that is put off next would have its turn.
        var turn = Instant.zero
    }

    private let limits: Limits
    private let allowList: WebhookAllowList
    private var generator: SeededGenerator
    private var inFlight: Set<Int64> = []
    /// Released since the outbox was last begun to be looked at: what the look shows of them may be out of date.
    private var releasedMeanwhile: Set<Int64> = []
    /// By authority; as many as the allow-list names.
    private var receivers: [String: Receiver] = [:]

    init(limits: Limits, allowList: WebhookAllowList, generator: SeededGenerator) {
        self.limits = limits
        self.allowList = allowList
        self.generator = generator
    }

    /// Whether no post is under way.
    var isIdle: Bool { inFlight.isEmpty }

    /// To be called before the outbox is asked for what is due.
    mutating func beginLook() { releasedMeanwhile.removeAll() }

    /// Goes through the notifications that are due, oldest first. What is planned counts as under way until it is released.
    ///
    /// - Parameter hidesOthers: there may be more that are due behind these.
    mutating func plan(_ due: [PendingWebhook], hidesOthers: Bool, now: Instant) -> Plan {
        var plan = Plan()
        for webhook in due where !inFlight.contains(webhook.number) && !releasedMeanwhile.contains(webhook.number) {
            let url: WebhookURL
            do throws(WebhookRefusal) {
                // Looked at again at the time of the post: the operator may have changed the list since.
                url = try allowList.permit(webhook.url)
            } catch {
                plan.refused.append(Plan.Refusal(webhook: webhook, reason: error.description))
                continue
            }
            guard let body = webhook.line else {
                plan.refused.append(Plan.Refusal(webhook: webhook, reason: "the result has been removed"))
                continue
            }
            guard inFlight.count < limits.posts else { break }
            var receiver = receivers[url.authority] ?? Receiver()
            if receiver.inFlight < limits.postsPerReceiver {
                receiver.inFlight += 1
                inFlight.insert(webhook.number)
                plan.posts.append(Post(webhook: webhook, url: url, body: body))
            } else if hidesOthers {
                let spacing = receiver.duration * (1 / Double(limits.postsPerReceiver))
                receiver.turn = max(receiver.turn, now) + max(spacing, .milliseconds(50))
                plan.putOff[webhook.number] = min(receiver.turn, now + limits.longestPause)
            }
            receivers[url.authority] = receiver
        }
        return plan
    }

    /// Judges how a post ended after so long.
    mutating func judge(_ post: Post, _ outcome: Outcome, took: TimeSpan, now: Instant) -> Verdict {
        if let duration = receivers[post.url.authority]?.duration {
            receivers[post.url.authority]?.duration = duration * 0.75 + took * 0.25
        }
        let reason: String
        var wished = TimeSpan.zero
        switch outcome {
        case .answered(200..<300, _): return .delivered
        case .answered(let status, let retryAfter):
            reason = "answered \(status)"
            wished = retryAfter ?? .zero
        case .failed(let description): reason = description
        case .impossible(let description): return .givenUp(reason: description)
        }
        let end = post.webhook.finished + limits.giveUpAfter
        guard now < end else { return .givenUp(reason: reason) }
        // The last post is made at the very end, however long the pause would be. Bounded before it is added: a receiver
        // may wish for the end of time.
        let pause = min(max(backoff(failure: post.webhook.tries + 1), wished), end - now)
        return .retry(at: now + pause, reason: reason)
    }

    /// Forgets a post, once the outbox knows what became of it.
    mutating func release(_ post: Post) {
        guard inFlight.remove(post.webhook.number) != nil else { return }
        releasedMeanwhile.insert(post.webhook.number)
        receivers[post.url.authority]?.inFlight -= 1
    }

    /// Exponential with equal jitter: evenly from [t/2, t) with t twice the first pause, doubled with each failure, up to
    /// the longest pause.
    private mutating func backoff(failure: Int) -> TimeSpan {
        let doublings = min(max(failure, 1), 30)
        return min(limits.longestPause, limits.firstPause * Double(1 << doublings)) * (0.5 + 0.5 * generator.unit())
    }
}

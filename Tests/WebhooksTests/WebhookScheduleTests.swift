import Basics
import MessageQueues
import Testing

@testable import Webhooks

@Suite struct WebhookScheduleTests {
    private static let start = Instant(seconds: 1_800_000_000)
    private let list = WebhookAllowList([
        .init(isSecure: true, host: "a", port: 443, path: "/"), .init(isSecure: true, host: "b", port: 443, path: "/"),
        .init(isSecure: true, host: "c", port: 443, path: "/"), .init(isSecure: true, host: "d", port: 443, path: "/"),
        .init(isSecure: true, host: "e", port: 443, path: "/"),
    ])

    private func schedule(_ change: (inout WebhookSchedule.Limits) -> Void = { _ in }) -> WebhookSchedule {
        var limits = WebhookSchedule.Limits()
        change(&limits)
        return WebhookSchedule(limits: limits, allowList: list, generator: SeededGenerator(seed: 7))
    }

    private func webhook(_ number: Int64, to host: String, tries: Int = 0, line: [UInt8]? = [1]) -> PendingWebhook {
        PendingWebhook(
            number: number, id: "id\(number)", generation: "1", tenant: "", url: "https://\(host)/", tries: tries,
            finished: Self.start, line: line)
    }

    @Test func oneReceiverHasTwoPostsAtATimeAndAllTogetherEight() {
        var schedule = schedule()
        let due = "aaabbbcccdddeee".enumerated().map { webhook(Int64($0.offset + 1), to: String($0.element)) }
        let plan = schedule.plan(due, hidesOthers: false, now: Self.start)
        #expect(plan.posts.map(\.webhook.number) == [1, 2, 4, 5, 7, 8, 10, 11])
        #expect(plan.putOff.isEmpty && plan.refused.isEmpty)
        // What is under way is not planned twice.
        #expect(schedule.plan(due, hidesOthers: false, now: Self.start).isEmpty)
        schedule.release(plan.posts[0])
        schedule.beginLook()
        #expect(schedule.plan(due, hidesOthers: false, now: Self.start).posts.map(\.webhook.number) == [1])
    }

    @Test func whatEndedDuringALookAtTheOutboxIsNotPostedAgain() {
        var schedule = schedule()
        let due = [webhook(1, to: "a")]
        schedule.beginLook()
        let plan = schedule.plan(due, hidesOthers: false, now: Self.start)
        schedule.beginLook()
        schedule.release(plan.posts[0])
        #expect(schedule.plan(due, hidesOthers: false, now: Self.start).isEmpty)
        #expect(schedule.isIdle)
    }

    @Test func aBusyReceiversNotificationsStepAsideForThoseBehindThem() {
        var schedule = schedule()
        let due = (1...6).map { webhook($0, to: "a") }
        #expect(schedule.plan(due, hidesOthers: false, now: Self.start).putOff.isEmpty)
        var turns = schedule.plan(due, hidesOthers: true, now: Self.start).putOff
        #expect(Set(turns.keys) == [3, 4, 5, 6])
        // A post takes a second until it is known better, and there are two at a time.
        #expect(turns[3] == Self.start + .milliseconds(500) && turns[6] == Self.start + .milliseconds(2000))
        turns = schedule.plan([webhook(7, to: "a")], hidesOthers: true, now: Self.start).putOff
        #expect(turns[7] == Self.start + .milliseconds(2500))
    }

    @Test func theWaitForATurnFollowsHowLongPostsTake() {
        var schedule = schedule()
        let due = (1...3).map { webhook($0, to: "a") }
        let plan = schedule.plan(due, hidesOthers: false, now: Self.start)
        for _ in 0..<40 { _ = schedule.judge(plan.posts[0], .failed("x"), took: .seconds(10), now: Self.start) }
        let turn = schedule.plan(due, hidesOthers: true, now: Self.start).putOff[3]
        #expect(abs(((turn ?? .zero) - Self.start).seconds - 5) < 0.01)
    }

    @Test(arguments: [200, 202, 204, 299])
    func successIsDelivery(status: Int) {
        var schedule = schedule()
        let post = schedule.plan([webhook(1, to: "a")], hidesOthers: false, now: Self.start).posts[0]
        #expect(
            schedule.judge(post, .answered(status: status, retryAfter: nil), took: .zero, now: Self.start) == .delivered
        )
    }

    @Test(arguments: [
        (0, 5.0, 10.0), (1, 10, 20), (2, 20, 40), (8, 1280, 2560), (9, 1800, 3600), (30, 1800, 3600),
        (1000, 1800, 3600),
    ])
    func thePauseDoublesWithEqualJitterUpToAnHour(tries: Int, least: Double, most: Double) {
        var schedule = schedule {
            $0.posts = 1000; $0.postsPerReceiver = 1000
        }
        var pauses: [Double] = []
        for number in 1...200 {
            let webhook = webhook(Int64(number), to: "a", tries: tries)
            let post = schedule.plan([webhook], hidesOthers: false, now: Self.start).posts[0]
            guard
                case .retry(let due, "answered 500") = schedule.judge(
                    post, .answered(status: 500, retryAfter: nil), took: .zero, now: Self.start)
            else {
                Issue.record("expected a retry")
                return
            }
            pauses.append((due - Self.start).seconds)
        }
        #expect(pauses.allSatisfy { $0 >= least && $0 < most })
        #expect((pauses.max() ?? 0) - (pauses.min() ?? 0) > (most - least) * 0.8)
    }

    @Test func retryAfterCountsWhenItIsLonger() {
        var schedule = schedule()
        let post = schedule.plan([webhook(1, to: "a")], hidesOthers: false, now: Self.start).posts[0]
        let longer = WebhookSchedule.Outcome.answered(status: 429, retryAfter: .seconds(7000))
        #expect(
            schedule.judge(post, longer, took: .zero, now: Self.start)
                == .retry(at: Self.start + .seconds(7000), reason: "answered 429"))
        let shorter = WebhookSchedule.Outcome.answered(status: 429, retryAfter: .seconds(1))
        guard case .retry(let due, _) = schedule.judge(post, shorter, took: .zero, now: Self.start) else {
            Issue.record("expected a retry")
            return
        }
        #expect(due - Self.start >= .seconds(5))
    }

    @Test func theLastPostIsMadeAtTheVeryEnd() {
        var schedule = schedule()
        let end = Self.start + .seconds(86_400)
        let post = schedule.plan([webhook(1, to: "a", tries: 20)], hidesOthers: false, now: Self.start).posts[0]
        let outcome = WebhookSchedule.Outcome.failed("no connection")
        #expect(
            schedule.judge(post, outcome, took: .zero, now: end - .seconds(5))
                == .retry(at: end, reason: "no connection"))
        #expect(schedule.judge(post, outcome, took: .zero, now: end) == .givenUp(reason: "no connection"))
    }

    @Test func aWishForTheEndOfTimeIsBoundedByTheLastPost() throws {
        var schedule = schedule()
        let end = Self.start + .seconds(86_400)
        let post = schedule.plan([webhook(1, to: "a")], hidesOthers: false, now: Self.start).posts[0]
        // The date is read before the post and judged after it.
        for date in ["Fri, 11 Apr 2262 23:47:16 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            let wait = try #require(RetryAfter.wait(date, now: Self.start))
            let verdict = schedule.judge(
                post, .answered(status: 503, retryAfter: wait), took: .seconds(2), now: Self.start + .seconds(2))
            guard case .retry(let due, "answered 503") = verdict else {
                Issue.record("expected a retry")
                continue
            }
            #expect(wait == .zero ? due < end : due == end)
        }
    }

    @Test func whatCanNeverBePostedIsGivenUp() {
        var schedule = schedule()
        let post = schedule.plan([webhook(1, to: "a")], hidesOthers: false, now: Self.start).posts[0]
        #expect(
            schedule.judge(post, .impossible("why"), took: .zero, now: Self.start) == .givenUp(reason: "why"))
    }

    @Test func whatCannotBePostedIsRefusedAtOnce() {
        var schedule = schedule()
        let plan = schedule.plan(
            [webhook(1, to: "z"), webhook(2, to: "a", line: nil)], hidesOthers: false, now: Self.start)
        #expect(plan.posts.isEmpty)
        #expect(plan.refused.map(\.webhook.number) == [1, 2])
        #expect(schedule.isIdle)
    }
}

@Suite struct RetryAfterTests {
    @Test(arguments: [
        ("0", 0.0), ("120", 120.0), ("7", 7.0), ("Sun, 06 Nov 1994 08:49:37 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:07 GMT", 0.0),
        ("Tue, 06 Dec 1994 08:49:27 GMT", 2_592_000.0), ("Sunday, 06-Nov-94 08:49:37 GMT", 10.0),
    ])
    func secondsAndDatesAreRead(text: String, seconds: Double) {
        #expect(RetryAfter.wait(text, now: Instant(seconds: 784_111_767)) == .seconds(seconds))
    }

    @Test(arguments: ["99999999999", "9223372036854775807", "Fri, 11 Apr 2262 23:47:16 GMT"])
    func aWishForTheEndOfTimeCanBeAddedToATime(text: String) throws {
        let wait = try #require(RetryAfter.wait(text, now: .zero))
        #expect(wait > .seconds(86_400) && Instant(seconds: 1_800_000_000) + wait > .zero)
    }

    @Test(arguments: ["", "soon", "-1", "1.5", "Sun, 06 Foo 1994 08:49:37 GMT"])
    func whatIsNeitherIsIgnored(text: String) {
        #expect(RetryAfter.wait(text, now: .zero) == nil)
    }
}

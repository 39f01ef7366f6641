import Basics
import Crypto
import EmbeddedQueue
import Foundation
import Logging
import MessageQueues
import NIOHTTP1
import Testing

@testable import Webhooks

@Suite(.timeLimit(.minutes(5))) struct WebhookPosterTests {
    private let fixture: PosterFixture

    init() throws { fixture = try PosterFixture() }

    @Test func aResultIsPostedAsItIsSignedAndOnlyOnce() async throws {
        let receiver = try await TestReceiver.start()
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        let lines = try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x?key=1", in: queue)
        let poster = try fixture.poster(of: outbox, to: [receiver])
        try await withRunning(poster) {
            let post = await receiver.arrivals.next()
            #expect(post.head.method == .POST)
            #expect(post.head.uri == "/hooks/x?key=1")
            #expect(post.body == lines["a"])
            #expect(post.header("content-type") == "application/json")
            let id = try #require(post.header("webhook-id"))
            let timestamp = try #require(post.header("webhook-timestamp"))
            let age = SystemClock().now() - Instant(seconds: try #require(Double(timestamp)))
            #expect(abs(age.seconds) < 30)
            let key = SymmetricKey(data: try #require(Data(base64Encoded: String(PosterFixture.secret.dropFirst(6)))))
            let signed = Data("\(id).\(timestamp).".utf8) + Data(post.body)
            let code = Data(HMAC<SHA256>.authenticationCode(for: signed, using: key)).base64EncodedString()
            #expect(post.header("webhook-signature") == "v1,\(code)")
            post.answer(200)
            #expect(await outbox.events.next() == .settled(1))
        }
        #expect(poster.counters == WebhookCounters(delivered: 1, retried: 0, givenUp: 0))
        #expect(try await queue.dueWebhooks(limit: 10).isEmpty)
        #expect(receiver.arrivals.count == 0)
    }

    @Test func anErrorIsFollowedByAnotherPostWithTheSameID() async throws {
        let receiver = try await TestReceiver.start()
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x", in: queue)
        let poster = try fixture.poster(of: outbox, to: [receiver])
        try await withRunning(poster) {
            let first = await receiver.arrivals.next()
            first.answer(500)
            guard case .deferred(1, _, "answered 500") = await outbox.events.next() else {
                Issue.record("expected the post to be put off")
                return
            }
            let second = await receiver.arrivals.next()
            #expect(second.header("webhook-id") == first.header("webhook-id"))
            second.answer(204)
            #expect(await outbox.events.next() == .settled(1))
        }
        #expect(poster.counters == WebhookCounters(delivered: 1, retried: 1, givenUp: 0))
    }

    @Test func aPathThatTheClientWouldDropIsNotPostedAnywhere() async throws {
        let receiver = try await TestReceiver.start(answersItself: true)
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/hooks/%ff?k=v", in: queue)
        let poster = try fixture.poster(of: outbox, to: [receiver])
        try await withRunning(poster) { #expect(await outbox.events.next() == .settled(1)) }
        #expect(poster.counters == WebhookCounters(delivered: 0, retried: 0, givenUp: 1))
        #expect(receiver.arrivals.count == 0)
    }

    @Test func aReceiverMayWishForTheEndOfTime() async throws {
        let receiver = try await TestReceiver.start()
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x", in: queue)
        let poster = try fixture.poster(of: outbox, to: [receiver])
        try await withRunning(poster) {
            await receiver.arrivals.next().answer(503, [("retry-after", "Fri, 11 Apr 2262 23:47:16 GMT")])
            guard case .deferred(1, let due, "answered 503") = await outbox.events.next() else {
                Issue.record("expected the post to be put off")
                return
            }
            let wait = due - SystemClock().now()
            #expect(wait > .seconds(86_000) && wait <= .seconds(86_400))
        }
    }

    @Test func aRedirectIsNotFollowed() async throws {
        let (receiver, other) = (try await TestReceiver.start(), try await TestReceiver.start(answersItself: true))
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x", in: queue)
        try await withRunning(try fixture.poster(of: outbox, to: [receiver, other])) {
            await receiver.arrivals.next().answer(307, [("location", other.url + "/hooks/x")])
            guard case .deferred(1, _, "answered 307") = await outbox.events.next() else {
                Issue.record("expected the post to be put off")
                return
            }
        }
        #expect(other.arrivals.count == 0)
    }

    @Test func retryAfterLengthensThePause() async throws {
        let receiver = try await TestReceiver.start()
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x", in: queue)
        let start = SystemClock().now()
        try await withRunning(try fixture.poster(of: outbox, to: [receiver])) {
            await receiver.arrivals.next().answer(503, [("retry-after", "300")])
            guard case .deferred(_, let due, _) = await outbox.events.next() else {
                Issue.record("expected the post to be put off")
                return
            }
            #expect(due - start >= .seconds(300) && due - start < .seconds(330))
        }
    }

    @Test func aReceiverThatHangsIsTriedAgainAndHoldsUpNobodyElse() async throws {
        let (slow, quick) = (try await TestReceiver.start(), try await TestReceiver.start(answersItself: true))
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        // More than one look at the outbox shows, all of them older than the others.
        try await fixture.finish((0..<100).map { "slow\($0)" }, webhook: slow.url + "/hooks/x", in: queue)
        let lines = try await fixture.finish(["b", "c", "d"], webhook: quick.url + "/hooks/x", in: queue)
        let poster = try fixture.poster(of: outbox, to: [slow, quick])
        try await withRunning(poster) {
            var bodies: Set<[UInt8]> = []
            for _ in 0..<3 { bodies.insert(await quick.arrivals.next().body) }
            #expect(bodies == Set(lines.values))
            // The two posts that one receiver may have at a time, and no third.
            _ = await (slow.arrivals.next(), slow.arrivals.next())
            #expect(slow.arrivals.count == 0)
        }
    }

    @Test func aPostIsBrokenOffWhenItTakesTooLong() async throws {
        let receiver = try await TestReceiver.start()
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x", in: queue)
        let poster = try fixture.poster(of: outbox, to: [receiver]) { $0.timeout = .milliseconds(50) }
        try await withRunning(poster) {
            let post = await receiver.arrivals.next()
            guard case .deferred(1, _, "no answer within 0.05 s") = await outbox.events.next() else {
                Issue.record("expected the post to be put off")
                return
            }
            try await post.closed()
        }
    }

    @Test func anAnswerWhoseBodyNeverComesCounts() async throws {
        let receiver = try await TestReceiver.start()
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x", in: queue)
        try await withRunning(try fixture.poster(of: outbox, to: [receiver])) {
            await receiver.arrivals.next().begin(200, [("content-length", "1000")])
            #expect(await outbox.events.next() == .settled(1))
        }
    }

    @Test func aReceiverThatWasDownGetsItsResultWhenItIsBack() async throws {
        let first = try await TestReceiver.startToComeBack()
        try await first.stop()
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: first.url + "/hooks/x", in: queue)
        try await withRunning(try fixture.poster(of: outbox, to: [first])) {
            guard case .deferred = await outbox.events.next() else {
                Issue.record("expected the post to be put off")
                return
            }
            let again = try await TestReceiver.start(port: first.port, answersItself: true)
            _ = await again.arrivals.next()
        }
    }

    @Test func aNewPosterOnTheSameFileGoesOn() async throws {
        let receiver = try await TestReceiver.start()
        let queue = try fixture.open()
        let lines = try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x", in: queue)
        let first = try fixture.poster(of: queue, to: [receiver])
        let id = Mailbox<String?>()
        try await withRunning(first) { id.put(await receiver.arrivals.next().header("webhook-id")) }
        #expect(first.counters == WebhookCounters())
        try queue.close()

        let reopened = try fixture.open()
        let outbox = ObservedOutbox(queue: reopened)
        try await withRunning(try fixture.poster(of: outbox, to: [receiver])) {
            let post = await receiver.arrivals.next()
            #expect(post.body == lines["a"])
            #expect(post.header("webhook-id") == (await id.next()))
            post.answer(200)
            #expect(await outbox.events.next() == .settled(1))
        }
    }

    @Test func whatCannotBeDeliveredInTimeIsGivenUpAndItsResultStays() async throws {
        let receiver = try await TestReceiver.start()
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/hooks/x", in: queue)
        let poster = try fixture.poster(of: outbox, to: [receiver]) { $0.giveUpAfter = .zero }
        try await withRunning(poster) {
            await receiver.arrivals.next().answer(500)
            #expect(await outbox.events.next() == .settled(1))
        }
        #expect(poster.counters == WebhookCounters(delivered: 0, retried: 0, givenUp: 1))
        #expect(try await queue.result(of: "a", tenant: "t") != nil)
    }

    @Test func whatIsNotAllowedAnyMoreOrHasNoResultIsNotPosted() async throws {
        let (receiver, other) = (try await TestReceiver.start(), try await TestReceiver.start())
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: receiver.url + "/elsewhere", in: queue)
        try await fixture.finish(["b"], webhook: other.url + "/hooks/x", in: queue)
        try await fixture.finish(["c"], webhook: receiver.url + "/hooks/x", in: queue)
        _ = try await queue.purge(.ids(["c"]))
        let poster = try fixture.poster(of: outbox, to: [receiver])
        try await withRunning(poster) {
            for _ in 0..<3 {
                guard case .settled = await outbox.events.next() else {
                    Issue.record("expected it to be settled")
                    return
                }
            }
        }
        #expect(poster.counters.givenUp == 3)
        #expect(receiver.arrivals.count == 0 && other.arrivals.count == 0)
    }

    @Test func withoutAnyWebhooksAllowedTheOutboxIsEmptied() async throws {
        let queue = try fixture.open()
        let outbox = ObservedOutbox(queue: queue)
        try await fixture.finish(["a"], webhook: "https://hooks.example.com/", in: queue)
        let poster = WebhookPoster(
            outbox: outbox, configuration: .refusingAll, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await withRunning(poster) { #expect(await outbox.events.next() == .settled(1)) }
        #expect(poster.counters == WebhookCounters(givenUp: 1))
    }
}

import Basics
import Foundation
import NIOHTTP1
import Synchronization
import Testing

@testable import GoogleAuth

/// What a subscription's backlog is asked with, and what the answers mean.
@Suite struct BacklogQuestionTests {
    /// In the form of Google's reference of `projects.timeSeries.list`.
    static let answer = #"""
        {
          "timeSeries": [
            {
              "metric": {"type": "pubsub.googleapis.com/subscription/num_undelivered_messages"},
              "resource": {
                "type": "pubsub_subscription",
                "labels": {"subscription_id": "batch-requests", "project_id": "my-project"}
              },
              "metricKind": "GAUGE",
              "valueType": "INT64",
              "points": [
                {
                  "interval": {"startTime": "2026-11-22T10:03:00Z", "endTime": "2026-11-22T10:03:00Z"},
                  "value": {"int64Value": "1234"}
                },
                {
                  "interval": {"startTime": "2026-11-22T10:02:00Z", "endTime": "2026-11-22T10:02:00Z"},
                  "value": {"int64Value": "99"}
                }
              ]
            }
          ],
          "unit": "1"
        }
        """#

    private func values(_ text: String) -> [Double]? { BacklogAnswer.values(Array(text.utf8)) }

    @Test func oneMetricOfOneSubscriptionIsAskedForOverTheLastFiveMinutes() throws {
        let question = BacklogQuestion(project: "my-project", subscription: "batch-requests")
        let path = question.path(.unacknowledged, now: Instant(seconds: 1_790_000_000.75))
        let parts = try #require(URLComponents(string: path))
        #expect(parts.path == "/v3/projects/my-project/timeSeries")
        let query = Dictionary(
            uniqueKeysWithValues: (parts.queryItems ?? []).map { ($0.name, $0.value ?? "") })
        #expect(
            query == [
                "filter": "metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
                    + " AND resource.type = \"pubsub_subscription\""
                    + " AND resource.labels.subscription_id = \"batch-requests\"",
                "interval.startTime": "2026-09-21T14:08:20Z", "interval.endTime": "2026-09-21T14:13:20Z",
            ])
        #expect(question.path(.oldestAge, now: .zero).contains("%2Foldest_unacked_message_age"))
    }

    @Test func theNewestPointOfEachSeriesCounts() {
        #expect(values(Self.answer) == [1234])
        #expect(values(#"{"timeSeries":[{"points":[{"value":{"doubleValue":1.5}}]},{"points":[]},{}]}"#) == [1.5])
        #expect(values(#"{"timeSeries":[{"points":[{"value":{"int64Value":"-1"}}]}]}"#) == [])
        #expect(values("{}") == [])
        #expect(values("<html>") == nil)
    }

    @Test func severalSeriesAreOneBacklogAndNoneIsUnknown() {
        #expect(
            SubscriptionBacklog(unacknowledged: [3, 4], oldestAge: [10, 20])
                == SubscriptionBacklog(unacknowledged: 7, oldestAge: .seconds(20)))
        #expect(SubscriptionBacklog(unacknowledged: [0], oldestAge: []) == SubscriptionBacklog(unacknowledged: 0))
        #expect(SubscriptionBacklog(unacknowledged: [], oldestAge: [1]) == nil)
        #expect(
            SubscriptionBacklog(unacknowledged: [1e15, 1e15], oldestAge: [1e15])?.unacknowledged
                == 1_000_000_000_000_000)
    }

    @Test func onlyAWholeNameNamesASubscription() throws {
        let fixture = try CredentialFixture()
        let credentials = try fixture.credentials()
        #expect(BacklogMonitor.Configuration(credentials: credentials, subscription: "batch-requests") == nil)
        let whole = BacklogMonitor.Configuration(credentials: credentials, subscription: "projects/p/subscriptions/s")
        #expect(whole?.project == "p" && whole?.subscription == "s")
    }
}

/// Against a real HTTP server that plays Cloud Monitoring, and the metadata server beside it.
@Suite(.timeLimit(.minutes(1))) struct BacklogMonitorTests {
    /// A monitor whose questions are answered by `answer`, what it told of, and the server.
    private func withMonitor(
        _ answer: @escaping @Sendable (TestHTTPServer.Request) -> TestHTTPServer.Answer,
        _ body: (BacklogMonitor, Problems, TestHTTPServer) async throws -> Void
    ) async throws {
        let fixture = try CredentialFixture()
        let tokens = try await TestHTTPServer.tokens(life: 3600)
        let server = try await TestHTTPServer.start { answer($0) }
        let credentials = try fixture.credentials(nil, ["GCE_METADATA_HOST": "127.0.0.1:\(tokens.port)"])
        var configuration = try #require(
            BacklogMonitor.Configuration(credentials: credentials, subscription: "projects/p/subscriptions/s"))
        configuration.endpoint = server.url
        let problems = Problems()
        configuration.reportsProblem = { problem in problems.told.withLock { $0.append(problem) } }
        try await body(BacklogMonitor(configuration), problems, server)
        try await server.stop()
        try await tokens.stop()
    }

    private final class Problems: Sendable {
        let told = Mutex<[String]>([])

        var all: [String] { told.withLock { $0 } }
    }

    private static func number(_ number: Int) -> TestHTTPServer.Answer {
        .init(body: #"{"timeSeries":[{"points":[{"value":{"int64Value":"\#(number)"}}]}]}"#)
    }

    @Test func bothNumbersAreReadWithTheTokenOfTheQueue() async throws {
        try await withMonitor { request in
            guard request.headers.first(name: "authorization") == "Bearer token-1" else { return .init(status: 401) }
            return request.uri.contains("oldest_unacked_message_age") ? Self.number(90) : Self.number(1234)
        } _: { monitor, problems, server in
            #expect(monitor.backlog == nil)
            #expect(await monitor.ask() == .seconds(60))
            #expect(monitor.backlog == SubscriptionBacklog(unacknowledged: 1234, oldestAge: .seconds(90)))
            #expect(problems.all.isEmpty)
            #expect(server.requests.allSatisfy { $0.method == "GET" && $0.uri.hasPrefix("/v3/projects/p/timeSeries?") })
        }
    }

    @Test func aRefusalIsToldOnceWithTheRoleThatIsMissingAndAskedAgainRarely() async throws {
        let isAllowed = Atomic(false)
        try await withMonitor { _ in
            if isAllowed.load(ordering: .relaxed) { return Self.number(5) }
            return .init(
                status: 403,
                body: #"{"error":{"code":403,"message":"Permission denied.","status":"PERMISSION_DENIED"}}"#)
        } _: { monitor, problems, _ in
            #expect(await monitor.ask() == .seconds(600))
            #expect(await monitor.ask() == .seconds(600))
            #expect(monitor.backlog == nil)
            #expect(problems.all.count == 1)
            let sentence = try #require(problems.all.first)
            #expect(sentence.contains("403 (Permission denied.)") && sentence.contains("roles/monitoring.viewer"))
            #expect(!sentence.contains("token-1"))
            isAllowed.store(true, ordering: .relaxed)
            #expect(await monitor.ask() == .seconds(60))
            #expect(monitor.backlog?.unacknowledged == 5)
        }
    }

    @Test func aServerThatFailsOrSaysNothingLeavesTheLastNumbers() async throws {
        let step = Atomic(0)
        try await withMonitor { _ in
            switch step.load(ordering: .relaxed) {
            case 0: Self.number(5)
            case 1: .init(status: 503)
            case 2: .init(body: "{}")
            default: .init(body: "<html>")
            }
        } _: { monitor, problems, _ in
            for next in 0...3 {
                step.store(next, ordering: .relaxed)
                #expect(await monitor.ask() == .seconds(60))
                #expect(monitor.backlog?.unacknowledged == 5)
            }
            #expect(problems.all.count == 2)
        }
    }

    @Test func aTokenThatIsNotTakenIsReplaced() async throws {
        try await withMonitor { request in
            request.headers.first(name: "authorization") == "Bearer token-2" ? Self.number(5) : .init(status: 401)
        } _: { monitor, _, _ in
            #expect(await monitor.ask() == .seconds(60))
            #expect(monitor.backlog == nil)
            #expect(await monitor.ask() == .seconds(60))
            #expect(monitor.backlog?.unacknowledged == 5)
        }
    }

    @Test func askingEndsWithItsTaskThoughNobodyAnswers() async throws {
        try await withMonitor { _ in
            .init(neverEnds: true)
        } _: { monitor, problems, server in
            let running = Task { await monitor.run() }
            while server.requests.isEmpty { await Task.yield() }
            running.cancel()
            await running.value
            #expect(problems.all.isEmpty)
        }
    }
}

public import Basics
import Foundation
import NIOHTTP1
import Synchronization

/// Asks Cloud Monitoring, over and over, what waits in a subscription; Pub/Sub itself does not say.
///
/// Nothing depends on the answer: whatever goes wrong is told once, and asked again.
public final class BacklogMonitor: Sendable {
    /// What is asked, how often, and as whom.
    public struct Configuration: Sendable {
        /// Who asks; the tokens need the scope `cloud-platform` or `monitoring.read`, the account the role
        /// `roles/monitoring.viewer` in the project.
        public var credentials: GoogleCredentials
        /// The project of the subscription.
        public var project: String
        /// The subscription, without its project.
        public var subscription: String
        /// The pause between two questions.
        public var interval = TimeSpan.seconds(60)
        /// Root of Cloud Monitoring.
        public var endpoint = "https://monitoring.googleapis.com"
        /// Longest time for one question, connecting included.
        public var timeout = TimeSpan.seconds(10)
        /// Told once of each reason why the backlog is not known, in a sentence.
        public var reportsProblem: @Sendable (String) -> Void = { _ in }

        /// Names the subscription by its whole name, `projects/PROJECT/subscriptions/NAME`; nil if that is none.
        public init?(credentials: GoogleCredentials, subscription: String) {
            let parts = subscription.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 4, parts[0] == "projects", parts[2] == "subscriptions" else { return nil }
            self.credentials = credentials
            project = parts[1]
            self.subscription = parts[3]
        }
    }

    /// Why there is no answer.
    private enum Problem: Error {
        /// Someone has to change something first.
        case refused(String)
        /// It may work the next time.
        case passing(String)

        var isRefusal: Bool { if case .refused = self { true } else { false } }

        var reason: String {
            switch self {
            case .refused(let reason), .passing(let reason): reason
            }
        }
    }

    private struct State {
        var last: (backlog: SubscriptionBacklog, read: ContinuousClock.Instant)?
        /// The kind of problem that was told last, since the last answer.
        var toldOfRefusal: Bool?
    }

    /// Numbers older than this are none.
    private static let longestKept = TimeSpan.seconds(600)
    /// The longest pause after a refusal.
    private static let longestPause = TimeSpan.seconds(3600)

    private let configuration: Configuration
    private let question: BacklogQuestion
    private let http: TokenHTTP
    private let state = Mutex(State())

    /// Prepares the questions; `run()` asks them.
    public init(_ configuration: Configuration) {
        self.configuration = configuration
        question = BacklogQuestion(project: configuration.project, subscription: configuration.subscription)
        http = TokenHTTP(timeout: configuration.timeout)
    }

    /// What was last said; nil if that is unknown or too long ago.
    public var backlog: SubscriptionBacklog? {
        let kept = max(Self.longestKept, configuration.interval * 2)
        return state.withLock { state in
            guard let last = state.last, ContinuousClock.now - last.read < .nanoseconds(kept.nanoseconds) else {
                return nil
            }
            return last.backlog
        }
    }

    /// Asks until the task is cancelled.
    public func run() async {
        while !Task.isCancelled {
            let pause = await ask()
            // Cancellation ends the loop.
            try? await Task.sleep(for: .nanoseconds(pause.nanoseconds))
        }
    }

    /// Asks once; returns how long to wait before the next time.
    func ask() async -> TimeSpan {
        do {
            let now = Instant(seconds: Date().timeIntervalSince1970)
            let unacknowledged = try await values(of: .unacknowledged, now: now)
            let oldestAge = try await values(of: .oldestAge, now: now)
            state.withLock { state in
                state.toldOfRefusal = nil
                // A moment without samples is no news.
                guard let found = SubscriptionBacklog(unacknowledged: unacknowledged, oldestAge: oldestAge) else {
                    return
                }
                state.last = (found, .now)
            }
            return configuration.interval
        } catch {
            guard !Task.isCancelled else { return configuration.interval }
            let problem = error as? Problem ?? .passing("\(error)")
            return handle(problem)
        }
    }

    private func handle(_ problem: Problem) -> TimeSpan {
        let isNews = state.withLock { state in
            defer { state.toldOfRefusal = problem.isRefusal }
            return state.toldOfRefusal != problem.isRefusal
        }
        if isNews { configuration.reportsProblem(problem.reason) }
        let interval = configuration.interval
        return problem.isRefusal ? max(interval, min(interval * 10, Self.longestPause)) : interval
    }

    private func values(of metric: BacklogMetric, now: Instant) async throws -> [Double] {
        let token = try await configuration.credentials.token()
        var headers: HTTPHeaders = ["authorization": "Bearer \(token)"]
        if let project = configuration.credentials.quotaProject {
            headers.add(name: "x-goog-user-project", value: project)
        }
        let answer: TokenHTTP.Answer
        do {
            answer = try await http.get(configuration.endpoint + question.path(metric, now: now), headers: headers)
        } catch let failure as TokenHTTP.Failure {
            throw Problem.passing("Cloud Monitoring cannot be asked: \(failure.reason)")
        }
        guard answer.status == 200 else { throw problem(answer, token: token) }
        guard let values = BacklogAnswer.values(answer.body) else {
            throw Problem.passing("Cloud Monitoring's answer is none that can be read")
        }
        return values
    }

    private func problem(_ answer: TokenHTTP.Answer, token: String) -> Problem {
        let reason = BacklogAnswer.reason(answer.body)
        var sentence = "Cloud Monitoring answered \(answer.status)"
        if !reason.isEmpty { sentence += " (\(reason))" }
        switch answer.status {
        case 403, 404:
            return .refused(
                sentence + "; the \(configuration.credentials) needs the role roles/monitoring.viewer in the project "
                    + "\(configuration.project), and the Cloud Monitoring API has to be enabled there")
        case 400: return .refused(sentence)
        case 401: configuration.credentials.discard(token)
        default: break
        }
        return .passing(sentence)
    }
}

import Basics
import Foundation

/// A metric of a subscription that Cloud Monitoring is asked for
/// (https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-pubsub).
enum BacklogMetric: String {
    case unacknowledged = "pubsub.googleapis.com/subscription/num_undelivered_messages"
    /// In seconds.
    case oldestAge = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
}

/// A subscription in the words of Cloud Monitoring's `projects.timeSeries.list`
/// (https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list).
struct BacklogQuestion: Hashable {
    let project: String
    /// The last part of the subscription's name.
    let subscription: String

    /// Samples come once a minute and can be seen up to four minutes later.
    private static let window = TimeSpan.seconds(300)

    /// Path and query of the question for one metric, at a time in Unix seconds.
    func path(_ metric: BacklogMetric, now: Instant) -> String {
        let filter =
            "metric.type = \"\(metric.rawValue)\" AND resource.type = \"pubsub_subscription\""
            + " AND resource.labels.subscription_id = \"\(subscription)\""
        let query = TokenHTTP.encode([
            ("filter", filter), ("interval.startTime", Self.text(now - Self.window)),
            ("interval.endTime", Self.text(now)),
        ])
        return "/v3/projects/\(TokenHTTP.escape(project))/timeSeries?\(query)"
    }

    /// RFC 3339, in whole seconds.
    private static func text(_ instant: Instant) -> String {
        Date(timeIntervalSince1970: instant.seconds.rounded(.down)).formatted(.iso8601)
    }
}

/// An answer of `projects.timeSeries.list`
/// (https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TimeSeries), as far as it matters here.
struct BacklogAnswer: Decodable {
    private struct Series: Decodable {
        let points: [Point]?
    }

    private struct Point: Decodable {
        let value: Value
    }

    private struct Value: Decodable {
        /// 64-bit numbers are texts in Google's JSON.
        let int64Value: String?
        let doubleValue: Double?

        var number: Double? {
            guard let number = int64Value.flatMap(Double.init) ?? doubleValue, number.isFinite, number >= 0 else {
                return nil
            }
            // No count is larger; what is could not be written as one.
            return min(number, 1e15)
        }
    }

    private struct Refusal: Decodable {
        struct Problem: Decodable {
            let message: String?
        }

        let error: Problem?
    }

    private let timeSeries: [Series]?

    /// The newest value of each series, which is its first; none where nothing was measured. Nil if this is no answer.
    static func values(_ body: [UInt8]) -> [Double]? {
        guard let answer = try? JSONDecoder().decode(BacklogAnswer.self, from: Data(body)) else { return nil }
        return (answer.timeSeries ?? []).compactMap { $0.points?.first?.value.number }
    }

    /// What an error says for people, in one line; empty if it says nothing.
    static func reason(_ body: [UInt8]) -> String {
        let refusal = try? JSONDecoder().decode(Refusal.self, from: Data(body))
        let text = refusal?.error?.message ?? ""
        return String(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? " " : Character($0) }.prefix(300))
    }
}

extension SubscriptionBacklog {
    /// The newest numbers; nil if no number of messages was measured.
    init?(unacknowledged: [Double], oldestAge: [Double]) {
        guard !unacknowledged.isEmpty else { return nil }
        self.init(
            unacknowledged: Int(min(unacknowledged.reduce(0, +), 1e15)),
            oldestAge: oldestAge.max().map { .seconds(min($0, 1e9)) })
    }
}

import AsyncHTTPClient
public import Basics
public import DispatchGates
import Foundation
import NIOCore
import NIOHTTP1
import Pool
import RedisClient
import Synchronization

/// How gates' sources are asked.
public struct GateWatcherConfiguration: Sendable {
    /// From the beginning of one question to that of the next one to the same source; each is up to a tenth shorter or longer.
    public var interval = TimeSpan.seconds(1)
    /// Longest time for a question to Prometheus or Redis.
    public var timeout = TimeSpan.seconds(5)
    /// Longest time to fetch a page of metrics (shared reference `async-processor.md` 1.2).
    public var scrapeTimeout = TimeSpan.seconds(10)
    /// The server for queries; without one they fail.
    public var prometheus: PrometheusServer?
    /// Longest answer in bytes.
    public var longestAnswerBytes = 16 << 20

    /// Creates the defaults.
    public init() {}

    /// However short the interval: how long a source is left alone between two questions.
    static let shortestPause = TimeSpan.milliseconds(20)
}

/// How a source does.
public struct GateSourceCounters: Hashable, Sendable {
    /// Questions that ended, with whatever answer.
    public internal(set) var asked = 0
    /// Those of them that failed.
    public internal(set) var failed = 0
    /// Whether the last one succeeded; nil before the first.
    public internal(set) var isAvailable: Bool?
}

/// Keeps the readings of gates fresh, away from requests: asks every source again and again and tells what it said.
///
/// Never more than one question is under way to a source, and one that hangs ends after its timeout without holding up the
/// others. Metrics on the same page are fetched together.
public final class GateWatcher: Sendable {
    private let configuration: GateWatcherConfiguration
    private let questions: [GateQuestion]
    private let redis: RedisClients
    private let onReading: @Sendable (GateSource, GateReading) -> Void
    private let availability: Availability<GateSource>
    private let tally: Mutex<[GateSource: GateSourceCounters]>

    /// Creates a watcher that asks once `run()` is called.
    ///
    /// - Parameters:
    ///   - redis: the clients for keys; the caller closes them.
    ///   - onChange: is called when a source fails, with the reason, and with nil when it answers again; from any thread. The
    ///     first text says which source, without a password.
    ///   - onReading: is called for every answer, from any thread, never twice at a time for one source.
    public init(
        _ configuration: GateWatcherConfiguration, sources: Set<GateSource>, redis: RedisClients,
        onChange: @escaping @Sendable (_ source: String, _ failure: String?) -> Void = { _, _ in },
        onReading: @escaping @Sendable (GateSource, GateReading) -> Void
    ) {
        self.configuration = configuration
        self.redis = redis
        self.onReading = onReading
        availability = Availability { source, failure in onChange("\(source)", failure) }
        questions = GateQuestion.covering(sources)
        tally = Mutex(Dictionary(uniqueKeysWithValues: sources.map { ($0, GateSourceCounters()) }))
    }

    /// What was asked so far, by source.
    public var counters: [GateSource: GateSourceCounters] { tally.withLock { $0 } }

    /// Asks until the task is cancelled.
    public func run() async {
        let prometheus = configuration.prometheus
        let api = BoundedHTTP(
            authorityFile: prometheus?.authorityFile, insecureSkipVerify: prometheus?.insecureSkipVerify ?? false,
            longestBodyBytes: configuration.longestAnswerBytes)
        let pages = BoundedHTTP(
            authorityFile: nil, insecureSkipVerify: false, longestBodyBytes: configuration.longestAnswerBytes)
        await withDiscardingTaskGroup { group in
            for question in questions {
                group.addTask { await self.keepAsking(question, api: api, pages: pages) }
            }
        }
        await api.shutdown()
        await pages.shutdown()
    }

    private func keepAsking(_ question: GateQuestion, api: BoundedHTTP, pages: BoundedHTTP) async {
        while !Task.isCancelled {
            let asked = ContinuousClock.now
            let readings = await readings(of: question, api: api, pages: pages)
            // An answer that was broken off says nothing about its source.
            if Task.isCancelled { return }
            for (source, reading) in zip(question.sources, readings) {
                note(reading, of: source)
                onReading(source, reading)
            }
            let interval = configuration.interval * Double.random(in: 0.9...1.1)
            let next = asked + .nanoseconds(interval.nanoseconds)
            let earliest = ContinuousClock.now + .nanoseconds(GateWatcherConfiguration.shortestPause.nanoseconds)
            try? await Task.sleep(until: max(next, earliest))
        }
    }

    private func note(_ reading: GateReading, of source: GateSource) {
        var failure: String?
        if case .failed(let reason) = reading { failure = reason }
        let isFailure = failure != nil
        tally.withLock { tally in
            tally[source]?.asked += 1
            tally[source]?.failed += isFailure ? 1 : 0
            tally[source]?.isAvailable = !isFailure
        }
        availability.note(source, failure: failure)
    }

    /// One reading for each of the question's sources.
    private func readings(of question: GateQuestion, api: BoundedHTTP, pages: BoundedHTTP) async -> [GateReading] {
        do {
            switch question {
            case .query(let query, _): return [try await ask(query, api)]
            case .page(let url, let entries): return try await fetch(url, entries.map(\.spec), pages)
            case .key(let address, let key, _): return [await read(key, at: address)]
            }
        } catch {
            return question.sources.map { _ in .failed("\(error)") }
        }
    }

    private func ask(_ query: String, _ http: BoundedHTTP) async throws -> GateReading {
        guard let server = configuration.prometheus else {
            return .failed("no Prometheus server is configured, so its queries cannot be asked")
        }
        let seconds = max(1, Int(configuration.timeout.seconds.rounded(.up)))
        let form = "query=" + Self.escape(query) + "&timeout=\(seconds)s"
        var request = HTTPClientRequest(url: server.url + "/api/v1/query")
        request.method = .POST
        request.headers = ["content-type": "application/x-www-form-urlencoded", "user-agent": "weir"]
        // Also bounded in time: a token may have to be asked for.
        guard let authorization = try await within(configuration.timeout, { try await server.authorizationHeader() })
        else { throw GateSourceError("there was no token for Prometheus within \(configuration.timeout.seconds) s") }
        if let authorization { request.headers.add(name: "authorization", value: authorization) }
        request.body = .bytes(ByteBuffer(string: form))
        var answer = try await http.ask(request, atMost: configuration.timeout)
        // Some proxies, and stores that only imitate the API, take no POST.
        if answer.status == 405 {
            request.method = .GET
            request.url += "?" + form
            request.headers.remove(name: "content-type")
            request.body = nil
            answer = try await http.ask(request, atMost: configuration.timeout)
        }
        return PrometheusAnswer.reading(status: answer.status, body: answer.body)
    }

    private static func escape(_ text: String) -> String {
        // Every well-formed text can be encoded.
        text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
    }

    /// RFC 3986 section 2.3.
    private static let unreserved = CharacterSet(
        charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")

    private func fetch(_ url: String, _ specs: [MetricSpec], _ http: BoundedHTTP) async throws -> [GateReading] {
        guard let parts = LoginURL(url) else {
            throw GateSourceError("the page of metrics has no URL with http:// or https:// and a host")
        }
        var request = HTTPClientRequest(url: parts.plain)
        request.headers = ["accept": "text/plain;version=0.0.4", "user-agent": "weir"]
        if let authorization = parts.authorization { request.headers.add(name: "authorization", value: authorization) }
        let answer = try await http.ask(request, atMost: configuration.scrapeTimeout)
        guard answer.status == 200 else {
            throw GateSourceError("the page of metrics was answered with status \(answer.status)")
        }
        return MetricsPage.readings(of: specs, on: answer.body)
    }

    private func read(_ key: String, at address: String) async -> GateReading {
        do {
            let reply = try await redis.client(at: address)
                .send(RedisCommand("GET", [.text(key)]), timeout: configuration.timeout)
            return RedisNumber.reading(reply)
        } catch {
            return .failed("\(error)")
        }
    }
}

import Basics
import DispatchGates
import Foundation
import GateSources
import NIOHTTP1
import Synchronization
import Testing

/// Against real HTTP servers of the test.
@Suite(.timeLimit(.minutes(5))) struct GateWatcherTests {
    private static func scrape(_ url: String, _ metric: String, _ labels: [String: String] = [:]) -> GateSource {
        .scrape(url: url, metric: metric, labels: labels)
    }

    private static let page = """
        # TYPE running gauge
        running{pod="a",zone="x"} 3
        running{pod="b",zone="x"} 4
        running{pod="b",zone="y"} 5 1700000000000
        strange NaN
        endless +Inf
        """

    @Test func theFirstSampleWithAllLabelsIsTheReading() async throws {
        let server = try await TestHTTPServer.start { _ in .init(body: Self.page) }
        let (first, second) = (Self.scrape(server.url, "running"), Self.scrape(server.url, "running", ["pod": "b"]))
        let third = Self.scrape(server.url, "running", ["pod": "b", "zone": "y"])
        let absent = [
            Self.scrape(server.url, "running", ["pod": "c"]), Self.scrape(server.url, "run"),
            Self.scrape(server.url, "strange"), Self.scrape(server.url, "endless"),
        ]
        try await withWatcher(of: Set([first, second, third] + absent)) { log, watcher in
            #expect(await log.next(of: first) == .value(3))
            #expect(await log.next(of: second) == .value(4))
            #expect(await log.next(of: third) == .value(5))
            for source in absent { #expect(await log.next(of: source) == .absent) }
            let asked = watcher.counters.values.map(\.asked).max() ?? 0
            // One page serves all seven.
            #expect(server.requests.count <= asked + 2)
        }
        try await server.stop()
    }

    @Test func aPageThatDiesFailsAndIsReadAgainWhenItComesBack() async throws {
        let server = try await TestHTTPServer.start { _ in .init(body: "free 1\n") }
        let source = Self.scrape(server.url + "/metrics", "free")
        try await withWatcher(of: [source]) { log, watcher in
            #expect(await log.next(of: source) == .value(1))
            #expect(watcher.counters[source]?.isAvailable == true)
            try await server.stop()
            #expect(await log.failure(of: source)?.isEmpty == false)
            #expect(watcher.counters[source]?.isAvailable == false)
            #expect(watcher.counters[source].map { $0.failed > 0 && $0.asked > $0.failed } == true)
            let second = try await TestHTTPServer.start(port: server.port) { _ in .init(body: "free 2\n") }
            #expect(await log.next(of: source) { $0 == .value(2) } == .value(2))
            try await second.stop()
        }
    }

    @Test func aSourcesFailureIsToldOnceAndSoIsItsEnd() async throws {
        let server = try await TestHTTPServer.start { _ in .init(body: "free 1\n") }
        let source = Self.scrape(server.url.replacing("http://", with: "http://u:secret@"), "free")
        let told = Mutex<[(source: String, failure: String?)]>([])
        try await withWatcher(
            of: [source], onChange: { source, failure in told.withLock { $0.append((source, failure)) } }
        ) { log, watcher in
            #expect(await log.next(of: source) == .value(1))
            try await server.stop()
            for _ in 1...3 { #expect(await log.failure(of: source) != nil) }
            let second = try await TestHTTPServer.start(port: server.port) { _ in .init(body: "free 2\n") }
            #expect(await log.next(of: source) { $0 == .value(2) } == .value(2))
            try await second.stop()
            #expect(await log.failure(of: source) != nil)
        }
        let changes = told.withLock { $0 }
        #expect(changes.map { $0.failure != nil } == [true, false, true])
        #expect(changes.allSatisfy { $0.source == "\(source)" && !$0.source.contains("secret") })
    }

    @Test func aLoginInAPagesAddressIsSentAsAHeader() async throws {
        let server = try await TestHTTPServer.start { _ in .init(body: "free 1\n") }
        let source = Self.scrape("http://me:p%3Aw@127.0.0.1:\(server.port)/metrics?x=y", "free")
        let wrong = Self.scrape("ftp://me:secret@host/", "free")
        try await withWatcher(of: [source, wrong]) { log, _ in
            #expect(await log.next(of: source) == .value(1))
            #expect(
                await log.failure(of: wrong) == "the page of metrics has no URL with http:// or https:// and a host")
        }
        let request = try #require(server.requests.first)
        #expect(request.uri == "/metrics?x=y" && request.headers.first(name: "authorization") == "Basic bWU6cDp3")
        try await server.stop()
    }

    @Test func wrongStatusesLongPagesAndRedirectsFail() async throws {
        let server = try await TestHTTPServer.start { request in
            switch request.uri {
            case "/long": .init(body: "free 1\n" + String(repeating: "#\n", count: 2 << 20))
            case "/moved": .init(status: 301)
            default: .init(status: 503, body: "free 1\n")
            }
        }
        let sources = ["/long", "/moved", "/broken"].map { Self.scrape(server.url + $0, "free") }
        try await withWatcher(of: Set(sources)) { configuration in
            configuration.longestAnswerBytes = 2 << 20
        } body: { log, _ in
            #expect(await log.failure(of: sources[0]) == "the answer is longer than 2 MiB")
            #expect(await log.failure(of: sources[1]) == "the page of metrics was answered with status 301")
            #expect(await log.failure(of: sources[2]) == "the page of metrics was answered with status 503")
        }
        try await server.stop()
    }

    @Test func aSourceThatHangsIsAskedOnceAtATimeAndHoldsUpNobody() async throws {
        let never = AsyncStream<Void>.makeStream()
        let mute = try await TestHTTPServer.start { _ in
            for await _ in never.stream {}
            return .init()
        }
        let stalling = try await TestHTTPServer.start { _ in .init(body: "free 1\n", neverEnds: true) }
        // It takes longer to answer than the pause between two questions.
        let lively = try await TestHTTPServer.start { _ in
            try? await Task.sleep(for: .milliseconds(60))
            return .init(body: "free 1\n")
        }
        let hanging = [Self.scrape(mute.url, "free"), Self.scrape(stalling.url, "free")]
        let source = Self.scrape(lively.url, "free")
        try await withWatcher(of: Set(hanging + [source])) { configuration in
            configuration.scrapeTimeout = .seconds(60)
        } body: { log, watcher in
            for _ in 0..<5 { #expect(await log.next(of: source) == .value(1)) }
            #expect(hanging.allSatisfy { watcher.counters[$0]?.asked == 0 })
            #expect(lively.mostAtOnce == 1)
        }
        try await withWatcher(of: Set(hanging)) { configuration in
            configuration.scrapeTimeout = .milliseconds(300)
        } body: { log, _ in
            for source in hanging { #expect(await log.failure(of: source) == "no answer within 0.3 s") }
            #expect(await log.failure(of: hanging[0]) != nil)
        }
        never.continuation.finish()
        for server in [mute, stalling, lively] { try await server.stop() }
    }

    @Test func cancellationEndsItAtOnceAndIsNoFailure() async throws {
        let never = AsyncStream<Void>.makeStream()
        let arrived = AsyncStream<Void>.makeStream()
        let mute = try await TestHTTPServer.start { _ in
            arrived.continuation.yield()
            for await _ in never.stream {}
            return .init()
        }
        let source = Self.scrape(mute.url, "free")
        let reported = Mutex(0)
        let watcher = GateWatcher(.init(), sources: [source], redis: RedisClients()) { _, _ in
            reported.withLock { $0 += 1 }
        }
        let running = Task { await watcher.run() }
        for await _ in arrived.stream { break }
        running.cancel()
        await running.value
        #expect(reported.withLock { $0 } == 0)
        #expect(watcher.counters[source]?.asked == 0)
        never.continuation.finish()
        try await mute.stop()
    }

    @Test func queriesLogInAsConfigured() async throws {
        let server = try await TestHTTPServer.start { request in
            .init(body: #"{"status":"success","data":{"resultType":"scalar","result":[1,"0.5"]}}"#)
        }
        let folder = try ServerProcess.makeFolder()
        let file = folder.appendingPathComponent("token")
        try "from-file\n".write(to: file, atomically: true, encoding: .utf8)
        let cases: [(PrometheusServer.Authorization, String?)] = [
            (.none, nil), (.bearer("given"), "Bearer given"), (.bearerFile(path: file.path), "Bearer from-file"),
            (.basic(user: "me", password: "p:w"), "Basic bWU6cDp3"), (.provider { "fresh" }, "Bearer fresh"),
        ]
        let source = GateSource.prometheus(query: #"sum(x{a="b & c"}) + 1"#)
        for (authorization, header) in cases {
            try await withWatcher(of: [source]) { configuration in
                configuration.prometheus = try PrometheusServer(server.url + "/prefix/")
                configuration.prometheus?.authorization = authorization
            } body: { log, _ in
                #expect(await log.next(of: source) == .value(0.5))
                let request = try #require(server.requests.last)
                #expect(request.headers.first(name: "authorization") == header)
                #expect(request.uri == "/prefix/api/v1/query" && request.method == "POST")
                #expect(request.body == "query=sum%28x%7Ba%3D%22b%20%26%20c%22%7D%29%20%2B%201&timeout=5s")
            }
        }
        try FileManager.default.removeItem(at: folder)
        try await server.stop()
    }

    @Test func aServerThatTakesNoPostIsAskedWithGet() async throws {
        let server = try await TestHTTPServer.start { request in
            request.method == "GET" && request.uri == "/api/v1/query?query=up&timeout=5s"
                ? .init(body: #"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#)
                : .init(status: 405)
        }
        let source = GateSource.prometheus(query: "up")
        try await withWatcher(of: [source]) { configuration in
            configuration.prometheus = try PrometheusServer(server.url)
        } body: { log, _ in
            #expect(await log.next(of: source) == .value(1))
        }
        try await server.stop()
    }

    @Test func aTokenThatDoesNotComeIsAFailure() async throws {
        let source = GateSource.prometheus(query: "up")
        let never = AsyncStream<Void>.makeStream()
        try await withWatcher(of: [source]) { configuration in
            configuration.timeout = .milliseconds(200)
            configuration.prometheus = try PrometheusServer("http://127.0.0.1:1")
            configuration.prometheus?.authorization = .provider {
                for await _ in never.stream {}
                return "late"
            }
        } body: { log, _ in
            #expect(await log.failure(of: source) == "there was no token for Prometheus within 0.2 s")
        }
    }

    @Test func queriesWithoutAServerFail() async throws {
        let source = GateSource.prometheus(query: "up")
        try await withWatcher(of: [source]) { log, _ in
            #expect(
                await log.failure(of: source) == "no Prometheus server is configured, so its queries cannot be asked")
        }
    }

    @Test func addressesOfServersAreChecked() throws {
        #expect(try PrometheusServer("https://me:secret@host:9090/a/").url == "https://host:9090/a")
        guard case .basic(let user, let password) = try PrometheusServer("http://me:s%40cret@host").authorization else {
            Issue.record("no login")
            return
        }
        #expect(user == "me" && password == "s@cret")
        for wrong in ["prometheus:9090", "ftp://host", "http://", "http://host/?x=y", ""] {
            #expect(throws: GateSourceError.self) { try PrometheusServer(wrong) }
        }
    }
}

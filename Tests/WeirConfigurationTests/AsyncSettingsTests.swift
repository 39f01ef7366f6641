import Basics
import DispatchGates
import Testing
import Yams

@testable import WeirConfiguration

private func parse(
    _ yaml: String, environment: [String: String] = [:]
) throws(ConfigurationError) -> Configuration {
    try Configuration.parse(yaml, file: "weir.yaml", environment: environment)
}

private func complaints(_ yaml: String, environment: [String: String] = [:]) -> [String] {
    do {
        _ = try parse(yaml, environment: environment)
        return []
    } catch {
        return error.problems.map { $0.description.replacing(#/^weir.yaml:\d+:\d+: /#, with: "") }
    }
}

/// A sound asynchronous path whose requests go elsewhere, with more keys for it and for its one queue.
private func async(_ keys: String = "", queue: String = "embedded: {path: q.db}") -> String {
    "async: {target: {url: 'http://gw'}, queues: [{name: q, \(queue)}]\(keys.isEmpty ? "" : ", \(keys)")}"
}

/// A gate with parameters read from a node.
private func gate(_ parameters: Node) -> Configuration.Gate? {
    var reader = ConfigurationReader(file: "weir.yaml", environment: ["N": "7"])
    return reader.section(
        Configuration.Gate.self, Node([(Node("type"), Node("any")), (Node("parameters"), parameters)]), at: "")
}

@Suite struct AsyncSettingsTests {
    private static let everything = """
        admin: {healthListen: "127.0.0.1:8081"}
        async:
          queues:
            - name: sorted
              redis:
                url: rediss://weir:hush@cache.example:6380/2
                queue: requests
                resultQueue: results
                retryQueue: retries
                resultTTL: 2h
                deadLetterQueue: dead
                tls: {caFile: ca.pem, certFile: weir.pem, keyFile: weir.key, insecureSkipVerify: true}
              path: /v1/chat/completions
              labels: {tier: interactive, "team a": "1"}
              workerPool: big
              gate: {type: redis, parameters: {address: "redis://:hush@cache:6379", budget_key: "7"}}
            - name: flying
              redis: {transport: channel}
            - name: cloud
              pubsub:
                project: p
                subscription: s
                resultTopic: r
                requestTopic: t
                deadLetterTopic: d
                credentialsFile: /etc/key.json
                endpoint: http://localhost:8085
                maxOutstanding: 10
                maxOutstandingBytes: 1MiB
                ackDeadline: 30s
                completionWindow: 1h
              target: {url: "http://other:8080/base/", objective: bulk, maxAnswerBytes: 1MiB}
          target:
            url: https://GATEWAY.example/llm
            path: /v1/responses
            tls: {caFile: gw.pem}
            bearerToken: "${TOKEN}"
            headers: {X-Team: blue}
            forwardHeaders: [x-request-id, "*"]
            connectTimeout: 1s
            capacityFeed: off
          workerPools:
            - {name: big, workers: 200, gate: {type: constant}}
          merge:
            policy: tier-priority
            ageing: 5m
            tierLabel: level
            priorityHeader: x-gateway-priority
            laneObjectives: {reserved-interactive: premium, overflow-batch: best-effort}
            objectiveHeader: x-objective
          fairness: {header: off, attribute: team}
          prometheus:
            url: https://prometheus.example/prefix
            refresh: 500ms
            staleness: 30s
            bearerToken: abc
            tls: {insecureSkipVerify: true}
          transforms:
            - {name: files, type: gcs_uri_multipart, parameters: {providers: [whisper, "2"]}}
        """
    private static let environment = ["TOKEN": "t0ken", "REDIS_URL": "redis://user:hush@env:6379"]

    @Test func everyKeyOfTheAsynchronousPathReachesItsField() throws {
        let configuration = try parse(Self.everything, environment: Self.environment)
        #expect(!configuration.runsGateway)
        #expect(configuration.admin.healthListen == ListenAddress(host: "127.0.0.1", port: 8081))
        let async = try #require(configuration.async)
        let sorted = async.queues[0]
        #expect(sorted.redis?.url?.secret.value == "rediss://weir:hush@cache.example:6380/2")
        #expect(sorted.redis?.transport == .sortedSet)
        #expect(sorted.redis?.resultTTL == .seconds(7200))
        #expect(sorted.redis?.tls?.certFile == "weir.pem")
        let keys = try #require(sorted.redisKeys)
        #expect(
            [keys.requests, keys.results, keys.retries, keys.deadLetters] == ["requests", "results", "retries", "dead"])
        #expect(sorted.path == "/v1/chat/completions")
        #expect(sorted.labels == ["tier": "interactive", "team a": "1"])
        #expect(sorted.workerPool == "big")
        #expect(
            sorted.gate?.parameters == ["address": .text("redis://:hush@cache:6379"), "budget_key": .text("7")])
        let flying = async.queues[1]
        #expect(flying.redis?.transport == .channel)
        #expect(flying.redis?.url?.secret.value == "redis://user:hush@env:6379")
        #expect(flying.workerPool == "default")
        let pubsub = try #require(async.queues[2].pubsub)
        #expect(pubsub.project == "p")
        #expect(pubsub.subscription == "s")
        #expect([pubsub.resultTopic, pubsub.requestTopic, pubsub.deadLetterTopic] == ["r", "t", "d"])
        #expect(pubsub.credentialsFile == "/etc/key.json")
        #expect(pubsub.endpoint?.description == "http://localhost:8085")
        #expect(pubsub.maxOutstanding == 10)
        #expect(pubsub.maxOutstandingBytes == 1 << 20)
        #expect(pubsub.ackDeadline == .seconds(30))
        #expect(pubsub.completionWindow == .seconds(3600))
        let target = try #require(async.target(of: sorted))
        #expect(target.url == ServiceURL(isSecure: true, host: "gateway.example", port: 443, path: "/llm"))
        #expect(target.path == "/v1/responses")
        #expect(target.bearerToken?.value == "t0ken")
        #expect(target.headers["X-Team"]?.value == "blue")
        #expect(target.forwardHeaders == ["x-request-id", "*"])
        #expect(target.connectTimeout == .seconds(1))
        #expect(target.capacityFeed == .off)
        let other = try #require(async.target(of: async.queues[2]))
        #expect(other.url.description == "http://other:8080/base")
        #expect(other.objective == .named("bulk"))
        #expect(other.maxAnswerBytes == 1 << 20)
        #expect(async.allWorkerPools.map(\.name) == ["default", "big"])
        #expect(async.workerPools[0].workers == 200)
        #expect(async.merge.policy == .tierPriority)
        #expect(async.merge.ageing == .seconds(300))
        #expect(async.merge.tierLabel == "level")
        #expect(async.merge.priorityHeader == "x-gateway-priority")
        #expect(async.merge.laneObjectives["overflow-batch"] == "best-effort")
        #expect(async.merge.objectiveHeader == "x-objective")
        #expect(async.fairness.header == nil)
        #expect(async.fairness.attribute == "team")
        #expect(async.prometheus?.url.description == "https://prometheus.example/prefix")
        #expect(async.prometheus?.refresh == .milliseconds(500))
        #expect(async.prometheus?.staleness == .seconds(30))
        #expect(async.transforms[0].providers == ["whisper", "2"])
    }

    @Test func whatIsLeftOutHasItsDefault() throws {
        let configuration = try parse(
            "async: {queues: [{name: q, redis: {url: 'redis://r'}}, {name: p, redis: {url: 'redis://r', transport: channel}}]"
                + ", target: {url: 'http://gw'}}")
        let async = try #require(configuration.async)
        let keys = try #require(async.queues[0].redisKeys)
        #expect(keys.requests == "q")
        #expect(keys.results == "result-list")
        #expect(keys.retries == "retry-sortedset")
        #expect(keys.deadLetters == "q:dead-letter")
        #expect(async.queues[1].redisKeys?.results == "result-queue")
        #expect(async.merge.policy == .deadline)
        #expect(async.merge.ageing == .zero)
        #expect(async.fairness.header == "x-llm-d-inference-fairness-id")
        #expect(async.fairness.attribute == "userid")
        #expect(async.allWorkerPools == [.init(name: "default")])
        #expect(async.target?.path == "/v1/completions")
        #expect(async.target?.capacityFeed == .auto)
        #expect(async.prometheus == nil)
    }

    @Test func theEffectiveFormReadsBackAndHoldsNoSecret() throws {
        let configuration = try parse(Self.everything, environment: Self.environment)
        let text = configuration.effectiveYAML()
        for secret in ["hush", "t0ken", "blue", "abc"] { #expect(!text.contains(secret), "\(secret) in \(text)") }
        #expect(text.contains("rediss://weir:***@cache.example:6380/2"))
        let again = try parse(text)
        #expect(again.effectiveYAML() == text)
        #expect(try parse(configuration.briefYAML()).effectiveYAML() == text)
        #expect(!configuration.briefYAML().contains("maxHeld"))
        #expect(again.async?.transforms == configuration.async?.transforms)
        #expect(again.async?.queues[0].labels == configuration.async?.queues[0].labels)
        #expect(again.async?.merge == configuration.async?.merge)
        var dumped = ""
        dump(configuration, to: &dumped)
        // Parameters of gates are printed as they are only by those who ask for them one by one.
        for page in [dumped, "\(configuration.async?.target as Any)", "\(configuration.async?.prometheus as Any)"] {
            #expect(!page.contains("t0ken"))
        }
        #expect(!dumped.contains("weir:hush"))
    }

    @Test func parametersKeepTheirShape() throws {
        let yaml = async(
            "transforms: [{name: n, type: gcs_uri_multipart, parameters: {providers: [a, '1', 'true', \"null\", x: {y: 1}]}}]"
        )
        #expect(
            complaints(yaml) == [
                "async.transforms[0].parameters.providers: must be a list of at least one text, as it stands in the "
                    + "metadata entry provider"
            ])
        let read = try parse(
            """
            async:
              queues: [{name: q, embedded: {path: q}}]
              target: {url: "http://gw"}
              transforms:
                - name: n
                  type: gcs_uri_multipart
                  parameters:
                    providers: [x, "${N}"]
            """, environment: ["N": "7"])
        #expect(read.async?.transforms[0].parameters == ["providers": .list([.text("x"), .text("7")])])
        let node = try #require(
            try Yams.compose(
                yaml: "{a: 0.5, b: '0.5', c: true, d: [1e3, x], e: {f: {g: off}}, h: ~, i: '$${N}', j: \"${N}\"}"))
        let free = try #require(gate(node))
        #expect(
            free.parameters == [
                "a": .number(0.5), "b": .text("0.5"), "c": .bool(true), "d": .list([.number(1000), .text("x")]),
                "e": .object(["f": .object(["g": .text("off")])]), "i": .text("${N}"), "j": .text("7"),
            ])
        let text = try Yams.serialize(node: try #require(free.node(.full)["parameters"]))
        let printed = try #require(try Yams.compose(yaml: text))
        #expect(gate(printed) == free)
    }

    @Test func theFrontDoorNeedsAGatewayAndAnEmbeddedQueue() throws {
        let pool = "pools: [{name: p, endpoints: [{url: 'http://x'}]}]\n"
        #expect(try parse(async()).frontDoorQueue == nil)
        #expect(try parse(pool + async()).frontDoorQueue?.name == "q")
        #expect(try parse(pool + async("frontDoor: {enabled: false}")).frontDoorQueue == nil)
        let both = "async: {queues: [{name: r, redis: {url: 'redis://r'}}, {name: e, embedded: {path: e}}]}"
        #expect(try parse(pool + both).frontDoorQueue?.name == "e")
        #expect(
            complaints(pool + both.dropLast() + ", frontDoor: {queue: r}}") == [
                "async.frontDoor.queue: needs an embedded queue; \"r\" is kept elsewhere"
            ])
    }

    @Test(arguments: [
        ("user:sword fish@host:6379", "user:***@host:6379"), ("redis://:sw/ord?fish@h", "redis://:***@h"),
        ("redis://swordfish@h", "redis://***@h"), (":sword@fish@h", ":***@h"),
        (
            #"{"gates":[{"address":"u:swordfish@h:1"},{"a":"redis://v:swordfish@h"}]}"#,
            #"{"gates":[{"address":"u:***@h:1"},{"a":"redis://v:***@h"}]}"#
        ),
        ("host:6379", "host:6379"), ("http://h/metrics", "http://h/metrics"),
        ("up{a=\"b\"} @ start()", "up{a=\"b\"} @ start()"),
        ("12:swordfish@h", "12:***@h"),
    ])
    func noParameterShowsAPassword(text: String, shown: String) throws {
        #expect(Secret.maskingPasswords(in: text) == shown)
        var gate = Configuration.Gate(type: "x")
        gate.parameters = ["a": .text(text), "b": .list([.object(["c": .text(text)])])]
        let printed = try Yams.serialize(node: gate.node(.full))
        #expect(!printed.contains("fish"))
    }

    @Test func requestsDoNotStarveUnlessThatIsWritten() throws {
        func ageing(_ merge: String) throws -> TimeSpan? {
            try parse(async("merge: {\(merge)}")).async?.merge.ageing
        }
        #expect(try ageing("policy: deadline") == .zero)
        #expect(try ageing("policy: random-robin") == .seconds(60))
        #expect(try ageing("policy: tier-priority") == .seconds(60))
        #expect(try ageing("policy: tier-priority, ageing: 0s") == .zero)
        #expect(try ageing("policy: tier-priority, ageing: 5m") == .seconds(300))
        #expect(try ageing("ageing: 5m") == .seconds(300))
    }

    @Test(arguments: [
        ("", "result-list"), (", transport: channel", "result-queue"), (", resultQueue: a", "a"),
        (", resultQueueOverride: b", "b"), (", resultQueue: a, resultQueueOverride: b", "b"),
    ])
    func resultsGoWhereTheQueueSays(keys: String, results: String) throws {
        let queue = try #require(try parse(async(queue: "redis: {url: 'redis://r'\(keys)}")).async?.queues.first)
        #expect(queue.redisKeys?.results == results)
        #expect(queue.redis?.resultQueueOverride == (keys.contains("Override") ? "b" : nil))
    }

    @Test(arguments: [
        ("redis://host", "redis://host", false), ("redis://host:1/3", "redis://host:1/3", false),
        ("rediss://user@[::1]:2", "rediss://user@[::1]:2", true),
        ("REDIS://:p@ss/w:ord@host", "REDIS://:***@host", false),
    ])
    func redisURLsShowNoPassword(text: String, shown: String, isSecure: Bool) throws {
        let url = try #require(RedisURL(text))
        #expect("\(url)" == shown)
        #expect(url.secret.value == text)
        #expect(url.isSecure == isSecure)
        #expect(url.hasPassword == shown.contains(Secret.mask))
    }

    @Test(arguments: [
        "swordfish:6379", "http://swordfish", "redis://:swordfish@", "redis://swordfish:0", "redis://h/swordfish",
        "redis://:sword fish@h", "redis://h:swordfish",
    ])
    func whatIsNoRedisURLIsRefusedWithoutRepeatingIt(text: String) {
        let found = complaints(async(queue: "redis: {url: '\(text)'}"))
        #expect(found.count == 1)
        #expect(found.allSatisfy { $0.hasPrefix("async.queues[0].redis.url: ") && !$0.contains("fish") })
    }

    @Test("what a target is told of a queue's objective", arguments: [("", "bulk"), ("x", "x"), ("off", nil)])
    func objectives(setting: String, expected: String?) throws {
        let target = "{url: 'http://other'\(setting.isEmpty ? "" : ", objective: \(setting)")}"
        let parsed = try parse(async(queue: "embedded: {path: q.db}, objective: bulk, target: \(target)"))
        let settings = try #require(parsed.async)
        let queue = try #require(settings.queues.first)
        #expect(settings.target(of: queue)?.objectiveName(for: queue) == expected)
    }
}

import Basics
import Testing

@testable import WeirConfiguration

/// A pool that is complete, so that a test names only the key it is about.
private let pool = """
    pools:
      - name: chat
        endpoints: [{url: "http://10.0.0.7:8000"}]

    """

private func parse(
    _ yaml: String, environment: [String: String] = [:], presets: [String] = []
) throws(ConfigurationError) -> Configuration {
    try Configuration.parse(yaml, file: "weir.yaml", environment: environment, enginePresets: presets)
}

private func complaints(_ yaml: String, environment: [String: String] = [:], presets: [String] = []) -> [String] {
    do {
        _ = try parse(yaml, environment: environment, presets: presets)
        return []
    } catch {
        return error.problems.map(\.description)
    }
}

@Suite struct ReadingTests {
    @Test func everyKeyOfTheFileReachesItsField() throws {
        let configuration = try parse(
            """
            gateway:
              listen: "[::1]:0"
              threads: 3
              trustedCallers: [10.0.0.0/8, 192.168.1.5]
              accessLog: /var/log/weir.log
              limits: {requestBodyBytes: 1MiB, requestBodyWindowBytes: 64KiB, headTimeout: 1m30s, connections: 7}
              drain: {delay: 5s, timeout: 1h}
              tenants:
                - {name: red, keys: ["${RED_KEY}", red-key-0123456789]}
                - {name: blue, keys: [blue-key-0123456789]}
              tenantHeader: true
            admin:
              listen: localhost:9091
            pools:
              - name: chat
                models: [a, "1.5"]
                endpoints:
                  - {url: "http://gpu-1.example", engine: sglang}
                  - {url: "http://[fd00::7]:8000/", engine: triton-tensorrt-llm}
                engine: {preset: llama-70b-h100x4, baseMilliseconds: 18, kvTokens: 500000}
                slo: {ttft: 2s, tpot: 80ms}
                admission: {maxConcurrentRequestsPerEndpoint: 64, queue: {maxRequests: 0, maxBytes: 2GB, ttl: 1m}}
                harvest: {enabled: false, stepShare: .4, maxInFlightPerEndpoint: 9}
                scrape: {interval: 50ms, timeout: 200ms, path: /stats}
            objectives:
              - {name: urgent, priority: 10}
              - {name: bulk, priority: -5}
            async:
              queues:
                - name: q
                  embedded: {path: q.db, keepResults: 1d, keepDeadLetters: 2d, maxResultBytes: 1GiB, maxFileBytes: 2GiB}
                  objective: bulk
                  lease: 20s
                  maxHeld: 5
                  maxInFlight: 3
              retry:
                {base: 1s, cap: 30s, maxFailures: 4, attemptTimeout: 5m, breakerFailures: 2, breakerCap: 10s}
              frontDoor: {enabled: false, queue: q, completionWindow: 1h, longestWait: 1m, maxWaiting: 9}
              webhooks:
                allow: ["https://hooks.example.com/weir/", "http://[::1]:8080"]
                secret: "${HUSH}"
                giveUpAfter: 2h
                timeout: 3s
            """, environment: ["RED_KEY": "red-key-from-outside", "HUSH": "abcdefghijklmnopqrstuvwxyz"])
        #expect(configuration.gateway.listen == ListenAddress(host: "::1", port: 0))
        #expect(configuration.gateway.threads == 3)
        #expect(configuration.gateway.trustedCallers.map(\.description) == ["10.0.0.0/8", "192.168.1.5/32"])
        #expect(configuration.gateway.accessLog == .file(path: "/var/log/weir.log"))
        #expect(configuration.gateway.limits.requestBodyBytes == 1_048_576)
        #expect(configuration.gateway.limits.headTimeout == .seconds(90))
        #expect(configuration.gateway.limits.connections == 7)
        #expect(configuration.gateway.limits.keepAliveIdle == .seconds(75))
        #expect(configuration.gateway.drain.timeout == .seconds(3600))
        #expect(configuration.admin.listen == ListenAddress(host: "localhost", port: 9091))
        let pool = try #require(configuration.pools.first)
        #expect(pool.models == ["a", "1.5"])
        #expect(
            pool.endpoints == [
                .init(url: EndpointURL(host: "gpu-1.example", port: 80), engine: .sglang),
                .init(url: EndpointURL(host: "fd00::7", port: 8000), engine: .tritonTensorRTLLM),
            ])
        #expect(pool.engine.preset == "llama-70b-h100x4")
        #expect(pool.engine.baseMilliseconds == 18)
        #expect(pool.engine.perDecodeMilliseconds == nil)
        #expect(pool.engine.kvTokens == 500_000)
        #expect(pool.slo.ttft == .seconds(2))
        #expect(pool.slo.tpot == .milliseconds(80))
        #expect(pool.admission.queue.maxRequests == 0)
        #expect(pool.admission.queue.maxBytes == 2_000_000_000)
        #expect(!pool.harvest.enabled)
        #expect(pool.harvest.stepShare == 0.4)
        #expect(pool.harvest.maxInFlightPerEndpoint == 9)
        #expect(pool.scrape.interval == .milliseconds(50))
        #expect(pool.scrape.path == "/stats")
        #expect(configuration.objectives == [.init(name: "urgent", priority: 10), .init(name: "bulk", priority: -5)])
        let queue = try #require(configuration.async?.queues.first)
        #expect(queue.embedded?.path == "q.db")
        #expect(queue.lease == .seconds(20))
        #expect(queue.embedded?.keepResults == .seconds(86_400))
        #expect(queue.embedded?.keepDeadLetters == .seconds(172_800))
        #expect(queue.embedded?.maxResultBytes == 1 << 30)
        #expect(queue.embedded?.maxFileBytes == 2 << 30)
        #expect(queue.maxInFlight == 3)
        let async = try #require(configuration.async)
        #expect(async.retry.maxFailures == 4)
        #expect(async.retry.attemptTimeout == .seconds(300))
        #expect(async.retry.breakerFailures == 2)
        #expect(async.retry.breakerCap == .seconds(10))
        #expect(!async.frontDoor.enabled)
        #expect(async.frontDoor.queue == "q")
        #expect(async.frontDoor.completionWindow == .seconds(3600))
        #expect(async.frontDoor.longestWait == .seconds(60))
        #expect(async.frontDoor.maxWaiting == 9)
        #expect(async.webhooks.allow.map(\.description) == ["https://hooks.example.com/weir/", "http://[::1]:8080/"])
        #expect(async.webhooks.secret?.value == "abcdefghijklmnopqrstuvwxyz")
        #expect(async.webhooks.giveUpAfter == .seconds(7200))
        #expect(async.webhooks.timeout == .seconds(3))
        #expect(configuration.gateway.tenantHeader)
        #expect(configuration.gateway.tenants.map(\.name) == ["red", "blue"])
        #expect(configuration.gateway.tenants[0].keys.map(\.value) == ["red-key-from-outside", "red-key-0123456789"])
    }

    @Test func whatIsLeftOutHasItsDefault() throws {
        let configuration = try parse(pool)
        var expected = Configuration()
        var pool = Configuration.Pool()
        pool.name = "chat"
        pool.endpoints = [.init(url: EndpointURL(host: "10.0.0.7", port: 8000))]
        expected.pools = [pool]
        #expect(configuration == expected)
        #expect(configuration.gateway.trustedCallers.count == 2)
        #expect(!configuration.gateway.tenantHeader)
        #expect(configuration.objectives.map(\.name) == ["realtime", "batch"])
        #expect(configuration.async == nil)
    }

    @Test func aKeyWithoutAValueCountsAsNotWritten() throws {
        #expect(try parse(pool + "gateway:\nadmin: ~\n") == parse(pool))
        let missing = "pools: is required, unless there are queues whose requests go to another gateway"
        #expect(complaints("pools:\n") == ["weir.yaml:1:1: \(missing)"])
    }

    @Test func environmentReferencesAreReplacedInScalars() throws {
        let text =
            pool + "gateway: {listen: \"${HOST}:${PORT:-0}\", threads: \"${N}\", accessLog: \"/tmp/$${x}$y${EMPTY:-}\"}"
        let configuration = try parse(text, environment: ["HOST": "localhost", "N": "2"])
        #expect(configuration.gateway.listen == ListenAddress(host: "localhost", port: 0))
        #expect(configuration.gateway.threads == 2)
        #expect(configuration.gateway.accessLog == .file(path: "/tmp/${x}$y"))
    }

    @Test(arguments: [
        ("gateway: {listen: \"${HOST}:80\"}", "gateway.listen: the environment variable HOST is not set"),
        ("gateway: {listen: \"${HOST\"}", "gateway.listen: the reference that starts with ${ has no closing brace"),
        ("gateway: {listen: \"${A-b}\"}", "gateway.listen: expected ${NAME} or ${NAME:-default}, found ${A-b}"),
        ("gateway: {listen: \"${A:b}\"}", "gateway.listen: expected ${NAME} or ${NAME:-default}, found ${A:b}"),
    ])
    func badEnvironmentReferencesAreNamed(line: String, complaint: String) {
        #expect(complaints(pool + line).map { $0.replacing(#/^weir.yaml:4:\d+: /#, with: "") } == [complaint])
    }

    @Test(arguments: [
        ("gateway: {lisen: x}", "4:11: gateway.lisen: unknown key; did you mean listen?"),
        (
            "gateway: {limits: {requestbodyBytes: 1}}",
            "4:20: gateway.limits.requestbodyBytes: unknown key; did you mean requestBodyBytes?"
        ),
        ("admin: {colour: red}", "4:9: admin.colour: unknown key; the keys here are listen, healthListen"),
        ("pols: []", "4:1: pols: unknown key; did you mean pools?"),
        ("gateway: 5", "4:10: gateway: expected a mapping with keys, found \"5\""),
        ("objectives: {name: x}", "4:13: objectives: expected a list, found a mapping"),
        ("gateway: {threads: many}", "4:20: gateway.threads: expected a whole number, found \"many\""),
        ("gateway: {threads: -1}", "4:20: gateway.threads: must be 0 or more, found \"-1\""),
        ("gateway: {threads: [1]}", "4:20: gateway.threads: expected one value (integer, 0 or more), found a list"),
        (
            "gateway: {listen: 8080}",
            "4:19: gateway.listen: expected host:port such as 127.0.0.1:8080 or [::1]:8080, found \"8080\""
        ),
        (
            "gateway: {trustedCallers: [10.0.0.0/33]}",
            "4:28: gateway.trustedCallers[0]: expected a CIDR block such as 10.0.0.0/8 or ::1/128, found \"10.0.0.0/33\""
        ),
        (
            "gateway: {accessLog: stdout}",
            "4:22: gateway.accessLog: expected off, stderr or a path that contains a /, found \"stdout\""
        ),
        (
            "gateway: {limits: {headTimeout: 30}}",
            "4:33: gateway.limits.headTimeout: expected a duration such as 500ms, 30s or 10m, found \"30\""
        ),
        (
            "gateway: {limits: {bodyTimeout: 0s}}",
            "4:33: gateway.limits.bodyTimeout: must be longer than 0s, found \"0s\""
        ),
        (
            "gateway: {limits: {headerBytes: -4KiB}}",
            "4:33: gateway.limits.headerBytes: expected a size such as 64KiB, 32MiB or 1GiB, found \"-4KiB\""
        ),
        (
            "gateway: {limits: {bufferedBodyBytes: 1KiB}}",
            "4:39: gateway.limits.bufferedBodyBytes: must not be smaller than requestBodyWindowBytes (1MiB)"
        ),
        ("admin: {listen: \"127.0.0.1:8080\"}", "4:17: admin.listen: is the same address as gateway.listen"),
        ("objectives: [{priority: 1}]", "4:14: objectives[0].name: is required"),
        ("objectives: [{name: a}, {name: a}]", "4:32: objectives[1].name: \"a\" is used twice"),
        ("async: {queues: []}", "4:17: async.queues: needs at least one queue"),
        (
            "async: {queues: [{name: q}]}",
            "4:18: async.queues[0]: says nothing about where it is kept; add embedded, redis or pubsub"
        ),
        (
            "async: {queues: [{name: q, embedded: {path: q}, objective: bach}]}",
            "4:60: async.queues[0].objective: there is no objective \"bach\"; did you mean batch?"
        ),
        (
            "async: {queues: [{name: q, embedded: {path: q}, objective: realtime}]}",
            "4:60: async.queues[0].objective: \"realtime\" has priority 0; asynchronous work needs one below 0"
        ),
        (
            "async: {queues: [{name: bulk, embedded: {path: q}}], frontDoor: {queue: bluk}}",
            "4:73: async.frontDoor.queue: there is no queue \"bluk\"; did you mean bulk?"
        ),
        (
            "async: {queues: [{name: q, embedded: {path: q}}], webhooks: {allow: [\"https://a\"]}}",
            "4:61: async.webhooks.secret: is required where webhooks are allowed"
        ),
        (
            "async: {queues: [{name: q, embedded: {path: q}}], webhooks: {secret: swordfish}}",
            "4:70: async.webhooks.secret: must have at least 24 characters, found 9"
        ),
        (
            "async: {queues: [{name: q, embedded: {path: q}}], webhooks: {secret: whsec_abcdefghijklmnopqrstuvwxy}}",
            "4:70: async.webhooks.secret: what follows whsec_ must be base64"
        ),
        ("gateway: {tenants: [{name: a, keys: []}]}", "4:37: gateway.tenants[0].keys: needs at least one key"),
        (
            "gateway: {tenants: [{name: a b, keys: [swordfish-in-the-sea]}]}",
            "4:28: gateway.tenants[0].name: must be 1 to 128 printable ASCII characters without spaces, found \"a b\""
        ),
        ("gateway: {tenants: [{name: a}]}", "4:21: gateway.tenants[0].keys: is required"),
        (
            "gateway: {tenants: [{name: a, keys: swordfish}]}",
            "4:37: gateway.tenants[0].keys: expected a list, found something else"
        ),
        (
            "gateway: {tenants: [{name: a, keys: [\"sword fish in the sea\"]}]}",
            "4:38: gateway.tenants[0].keys[0]: must be printable ASCII without spaces"
        ),
        (
            "gateway: {tenants: [{name: a, keys: [swordfish-in-the-sea]}, {name: b, keys: [swordfish-in-the-sea]}]}",
            "4:79: gateway.tenants[1].keys[0]: is already a key of the tenant \"a\""
        ),
        (
            "gateway: {tenants: [{name: a, keys: [swordfish-in-the-sea]}, {name: a, keys: [swordfish-in-the-net]}]}",
            "4:69: gateway.tenants[1].name: \"a\" is used twice"
        ),
        ("gateway: {threads: 1, threads: 2}", "4:11: the key threads appears twice in one mapping"),
        ("gateway: [", "5:1: is not valid YAML: did not find expected node content"),
    ])
    func oneMistakeGivesOneSentenceWithItsPlace(line: String, complaint: String) {
        let found = complaints(pool + line + "\n")
        #expect(found.count == 1)
        #expect(found.first == "weir.yaml:\(complaint)")
    }

    @Test(arguments: [
        ("{url: \"ftp://x\"}", "[0].url: expected a URL such as http://10.0.0.7:8000, found \"ftp://x\""),
        ("{url: \"http://u:secret@x\"}", "[0].url: a URL here must not contain credentials"),
        ("{url: \"u:secret@x\"}", "[0].url: expected a URL such as http://10.0.0.7:8000"),
        (
            "{url: \"http://x:8000/v1\"}",
            "[0].url: leave out \"/v1\": the path of each request is added to scheme, host and port"
        ),
        ("{url: \"http://x:99999\"}", "[0].url: expected a URL such as http://10.0.0.7:8000, found \"http://x:99999\""),
        ("{url: \"http://\"}", "[0].url: expected a URL such as http://10.0.0.7:8000, found \"http://\""),
        ("{engine: vllm}", "[0].url: is required"),
        (
            "{url: \"http://x\", engine: vlm}",
            "[0].engine: expected one of auto, vllm, sglang, trtllm, triton-tensorrt-llm, triton, llamacpp, none, "
                + "found \"vlm\"; did you mean vllm?"
        ),
        (
            "{url: \"https://x\"}",
            "[0].url: model servers are spoken to in plain HTTP; https is not supported"
        ),
        (
            "{url: \"http://x\"}, {url: \"http://x:80/\"}",
            "[1].url: http://x:80 is already an endpoint of the pool \"p\""
        ),
        ("", ": needs at least one endpoint"),
    ])
    func badEndpointsAreNamed(endpoints: String, complaint: String) {
        let found = complaints("pools: [{name: p, endpoints: [\(endpoints)]}]")
        #expect(found.map { $0.replacing(#/^weir.yaml:1:\d+: /#, with: "") } == ["pools[0].endpoints" + complaint])
    }

    @Test(arguments: [
        "hooks.example.com", "ftp://a/", "https://", "https://user@a/", "https://a:0/", "https://a:99999/",
        "https://A/",
        "https://a/x?y", "https://a/#x", "https://a/../b", "https://a//b/", "https://a/%2e/", "https://a\\b/",
        "https:// a/", "HTTPS://a/", "https://a/./",
    ])
    func aWebhookPrefixThatCouldMeanTwoThingsIsRefused(url: String) {
        let found = complaints(
            pool + "async: {queues: [{name: q, embedded: {path: q}}], webhooks: {allow: ['\(url)'], secret: '${S}'}}",
            environment: ["S": "abcdefghijklmnopqrstuvwxyz"])
        #expect(found.count == 1)
        #expect(found.first?.contains("async.webhooks.allow[0]: expected a URL such as") == true)
    }

    @Test func aModelBelongsToOnePool() {
        let found = complaints(
            """
            pools:
              - {name: a, models: [m, n, m], endpoints: [{url: "http://x:1"}]}
              - {name: a, models: [o], endpoints: [{url: "http://x:2"}]}
              - {name: b, models: [n], endpoints: [{url: "http://x:3"}]}
            """)
        #expect(
            found == [
                "weir.yaml:3:12: pools[1].name: \"a\" is used twice",
                "weir.yaml:2:30: pools[0].models[2]: the model \"m\" is listed twice",
                "weir.yaml:4:24: pools[2].models[0]: the model \"n\" is already served by the pool \"a\"",
            ])
    }

    @Test func enginePresetsAreCheckedAgainstTheGivenNames() {
        let text = "pools: [{name: p, endpoints: [{url: \"http://x\"}], engine: {preset: llama-8b-h10}}]"
        #expect(complaints(text).isEmpty)
        #expect(
            complaints(text, presets: ["llama-8b-h100", "other"]) == [
                "weir.yaml:1:68: pools[0].engine.preset: there is no preset \"llama-8b-h10\"; did you mean llama-8b-h100?"
            ])
    }

    @Test func allProblemsAreReportedAtOnceInTheOrderOfTheFile() {
        let found = complaints(
            """
            gateway:
              listen: nowhere
              thread: 4
            pools:
              - endpoints:
                  - url: http://x/v1
            colour: red
            """)
        #expect(
            found == [
                "weir.yaml:2:11: gateway.listen: expected host:port such as 127.0.0.1:8080 or [::1]:8080, found \"nowhere\"",
                "weir.yaml:3:3: gateway.thread: unknown key; did you mean threads?",
                "weir.yaml:6:14: pools[0].endpoints[0].url: leave out \"/v1\": the path of each request is added to scheme, host and port",
                "weir.yaml:5:5: pools[0].name: is required",
                "weir.yaml:7:1: colour: unknown key; the keys here are gateway, admin, pools, objectives, async",
            ])
    }

    @Test func problemsAreBounded() {
        let keys = (0..<200).map { "zzzzzzzz\($0): 1" }.joined(separator: "\n")
        #expect(complaints(keys).count == ConfigurationError.limit)
    }

    @Test func aFileThatIsMissingIsNamed() {
        let error = #expect(throws: ConfigurationError.self) { try Configuration.load(path: "/nowhere/weir.yaml") }
        #expect(error?.description == "/nowhere/weir.yaml: cannot be read: no such file")
    }
}

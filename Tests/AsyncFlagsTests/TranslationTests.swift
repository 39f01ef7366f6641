import Basics
import DispatchGates
import Testing
import WeirConfiguration

@testable import AsyncFlags

/// Files by name, in the place of a disk.
private func translate(
    _ arguments: [String], files: [String: String] = [:], environment: [String: String] = [:]
) throws(ConfigurationError) -> AsyncFlags {
    try AsyncFlags(
        arguments, environment: environment,
        read: { path throws(ConfigurationError) in
            guard let text = files[path] else {
                throw ConfigurationError(problems: [.init(file: path, keyPath: "", message: "no such file")])
            }
            return text
        })
}

private func complaints(
    _ arguments: [String], files: [String: String] = [:], environment: [String: String] = [:]
) -> [String] {
    do {
        _ = try translate(arguments, files: files, environment: environment)
        return []
    } catch {
        return error.problems.map(\.description)
    }
}

private let smallest = #"{"url":"redis://r:6379","queues":[{"queue_name":"work","igw_base_url":"http://gw"}]}"#

@Suite struct TranslationTests {
    @Test func theSmallestCommandLineRuns() throws {
        let flags = try translate(
            ["--transport", "redis-sortedset", "--transport-config-file", "x.json"], files: ["x.json": smallest])
        #expect(flags.notes.isEmpty)
        #expect(flags.verbosity == nil)
        let configuration = flags.configuration
        #expect(!configuration.runsGateway)
        #expect(configuration.admin.listen.description == "0.0.0.0:9090")
        #expect(configuration.admin.healthListen?.description == "0.0.0.0:8081")
        #expect(configuration.gateway.drain.timeout == .seconds(120))
        let async = try #require(configuration.async)
        #expect(async.retry.attemptTimeout == .seconds(300))
        #expect(async.merge.policy == .randomRobin)
        #expect(async.merge.ageing == .seconds(60))
        #expect(async.target?.url.description == "http://gw")
        #expect(async.target?.path == "/v1/completions")
        #expect(async.target?.forwardHeaders == ["*"])
        // No objective goes out that nobody asked for, also when this is written as a file and read again.
        #expect(async.target?.objective == .nothing)
        let queue = try #require(async.queues.first)
        #expect(queue.name == "work")
        #expect(queue.redis?.url?.secret.value == "redis://r:6379")
        #expect(queue.redis?.transport == .sortedSet)
        #expect(queue.redisKeys?.requests == "work")
        #expect(queue.redisKeys?.results == "result-list")
        #expect(queue.redisKeys?.retries == "retry-sortedset")
    }

    @Test func theTranslationIsAFileThatMeansTheSame() throws {
        let flags = try translate(
            ["-transport=redis-sortedset", "-transport-config=\(smallest)", "-concurrency=8", "-request-timeout=90s"])
        let yaml = flags.configuration.briefYAML()
        let again = try Configuration.parse(yaml, file: "weir.yaml", environment: [:])
        #expect(again == flags.configuration)
        #expect(yaml.split(separator: "\n").count < 40)
        #expect(!yaml.contains("maxHeld"))
    }

    @Test func thePrintedFileHoldsNoPasswordAndSaysWhatToDo() throws {
        let document = smallest.replacing("redis://r", with: "redis://u:hush@r")
            .replacing("}]", with: #","gate_type":"redis","gate_params":{"address":"redis://:hush@r"}}]"#)
        let flags = try translate(["--transport=redis-sortedset", "--transport-config", document])
        let (yaml, notes) = flags.file
        #expect(!yaml.contains("hush"))
        #expect(notes.count == 2)
        let again = try Configuration.parse(
            yaml, file: "weir.yaml", environment: ["REDIS_URL": "redis://u:hush@r:6379"])
        #expect(again.async?.queues[0].redis?.url == flags.configuration.async?.queues[0].redis?.url)
        let plain = try translate(["--transport=redis-sortedset", "--transport-config", smallest]).file
        #expect(plain.notes.isEmpty)
    }

    @Test func everyKeyOfASortedSetDocumentIsUsed() throws {
        let document = #"""
            {
              "url": "rediss://u:p@r", "retry_queue_name": "again", "result_queue_name": "done",
              "poll_interval_ms": 50, "batch_size": 64, "enable_tracing": true, "mode": "standalone",
              "claim_lease_ttl_seconds": 60, "claim_reclaim_interval_ms": 1, "result_ttl_seconds": 3600,
              "queues": [
                {"id": "a", "queue_name": "requests-a", "result_queue_name": "done-a", "igw_base_url": "https://gw/llm/",
                 "request_path_url": "v1/chat/completions", "inference_objective": "bulk", "worker_pool_id": "big",
                 "labels": {"tier": "batch"}, "gate_type": "composite",
                 "gate_params": {"gates": [{"gate_type": "constant"},
                                           {"gate_type": "local-max-concurrency", "gate_params": {"limit": "40"}}]}},
                {"queue_name": "b", "igw_base_url": "http://other", "gate_type": "constant", "gate_params": null}
              ]
            }
            """#
        let pools =
            #"[{"id":"big","workers":7,"gate_type":"constant","gate_params":{"budget":0.5}},{"id":"default","workers":3}]"#
        let flags = try translate(
            [
                "--transport=redis-sortedset", "--transport-config-file=t.json", "--pool-config-file", "p.json",
                "--tls-ca-cert=ca.pem", "--tls-cert=c.pem", "--tls-key=k.pem", "--concurrency=9",
            ], files: ["t.json": document, "p.json": pools])
        #expect(
            flags.notes.map { $0.prefix { $0 != " " } } == [
                "poll_interval_ms", "batch_size", "claim_reclaim_interval_ms", "enable_tracing",
            ])
        let async = try #require(flags.configuration.async)
        #expect(async.target == nil)
        let first = async.queues[0]
        #expect(first.name == "a")
        #expect(first.redisKeys?.requests == "requests-a")
        #expect(first.redisKeys?.results == "done-a")
        // A queue's own list wins over what its messages name, the transport's does not.
        #expect(first.redis?.resultQueueOverride == "done-a" && first.redis?.resultQueue == "done")
        #expect(first.redisKeys?.retries == "again")
        #expect(first.redis?.resultTTL == .seconds(3600))
        #expect(first.lease == .seconds(60))
        #expect(first.path == "/v1/chat/completions")
        #expect(first.workerPool == "big")
        #expect(first.labels == ["tier": "batch"])
        #expect(first.gate?.type == "composite")
        #expect(first.target?.url.description == "https://gw/llm")
        #expect(first.target?.objective == .named("bulk"))
        #expect(first.target?.tls?.caFile == "ca.pem")
        #expect(first.target?.tls?.keyFile == "k.pem")
        let second = async.queues[1]
        #expect(second.name == "b")
        #expect(second.redisKeys?.results == "done")
        #expect(second.redis?.resultQueueOverride == nil && second.redis?.resultQueue == "done")
        #expect(second.target?.tls == nil)
        #expect(second.gate == .init(type: "constant"))
        #expect(async.workerPools.map(\.workers) == [7, 3])
        #expect(async.workerPools[0].gate?.parameters == ["budget": .number(0.5)])
    }

    @Test func channelsAndGoogleAreTranslatedToo() throws {
        let channel = try translate(["--transport-config", smallest]).configuration.async?.queues.first
        #expect(channel?.redis?.transport == .channel)
        #expect(channel?.redisKeys?.results == "result-queue")
        let document = #"""
            {"project_id":"p","result_topic_id":"r","batch_size":5,
             "topics":[{"subscriber_id":"s","igw_base_url":"http://gw","gate_type":"constant"},
                       {"id":"two","subscriber_id":"t","result_topic_id":"own","igw_base_url":"http://gw"}]}
            """#
        let google = try translate(["--transport", "gcp-pubsub", "--transport-config", document])
        let queues = try #require(google.configuration.async?.queues)
        #expect(queues.map(\.name) == ["s", "two"])
        #expect(queues.map { $0.pubsub?.project } == ["p", "p"])
        #expect(queues.map { $0.pubsub?.subscription } == ["s", "t"])
        #expect(queues.map { $0.pubsub?.resultTopic } == ["r", "own"])
        #expect(google.configuration.async?.target?.url.description == "http://gw")
    }

    @Test func theEnvironmentNamesTheServerOnlyWhereNobodyElseDoes() throws {
        let without = smallest.replacing(#""url":"redis://r:6379","#, with: "")
        let environment = ["REDIS_URL": "redis://env", "OTEL_SERVICE_NAME": "x"]
        let arguments = ["--transport", "redis-sortedset", "--transport-config"]
        let flags = try translate(arguments + [without], environment: environment)
        #expect(flags.configuration.async?.queues[0].redis?.url?.description == "redis://env")
        #expect(flags.notes == ["OTEL_SERVICE_NAME has no effect: Weir exports no traces"])
        let both = try translate(arguments + [smallest], environment: environment)
        #expect(both.configuration.async?.queues[0].redis?.url?.description == "redis://r:6379")
        #expect(
            complaints(arguments + [without]) == [
                "--transport-config: url: is required: give it, or set REDIS_URL"
            ])
        #expect(
            complaints(arguments + [without], environment: ["REDIS_URL": "swordfish"]) == [
                "REDIS_URL: expected a URL such as redis://host:6379 or rediss://user:password@host/0"
            ])
    }

    @Test(arguments: [
        (#""gate_type":"prometheus-saturation","gate_params":{"pool":"p"}"#, 1),
        (#""gate_type":"prometheus-saturation","gate_params":{"pool":"p","fallback":"0"}"#, 0),
        (
            #""gate_type":"wait-on-refuse","gate_params":{"gate":"#
                + #""{\"gate_type\":\"prometheus-saturation\",\"gate_params\":{\"pool\":\"p\"}}"}"#, 1
        ),
        (#""gate_type":"constant""#, 0), (#""gate_type":"redis","gate_params":{"address":"r:6379"}"#, 1),
        (#""gate_type":"redis","gate_params":{"address":"r:6379","fallback":1}"#, 0),
    ])
    func aGateThatClosesWhereUpstreamsOpensIsPointedOut(gate: String, notes: Int) throws {
        let document = smallest.replacing("}]", with: ",\(gate)}]")
        let flags = try translate([
            "--transport=redis-sortedset", "--transport-config", document, "--prometheus-url=http://p",
        ])
        #expect(flags.notes.count == notes)
        #expect(flags.notes.allSatisfy { $0.hasPrefix("the gate of queue work is closed while ") })
    }

    @Test func theMergePolicyAndFairnessAreRead() throws {
        let policy = #"""
            {"type":"tier-priority","parameters":{"tier_label":"level","lane_objectives":{"reserved-async":"x"},
             "objective_header":"x-o","fairness_header":"","fairness_attribute":"team"}}
            """#
        let arguments = [
            "--transport=redis-sortedset", "--transport-config", smallest, "--request-merge-policy-config-file=m",
        ]
        let async = try #require(try translate(arguments, files: ["m": policy]).configuration.async)
        #expect(async.merge.policy == .tierPriority)
        #expect(async.merge.priorityHeader == "x-gateway-priority")
        #expect(async.merge.tierLabel == "level")
        #expect(async.merge.laneObjectives == ["reserved-async": "x"])
        #expect(async.merge.objectiveHeader == "x-o")
        #expect(async.fairness.header == nil)
        #expect(async.fairness.attribute == "team")
        let plain = try translate(arguments, files: ["m": #"{"type":"random-robin"}"#]).configuration.async
        #expect(plain?.merge.policy == .randomRobin)
        #expect(plain?.fairness.header == "x-llm-d-inference-fairness-id")
    }

    @Test func prometheusTransformsPortsAndVerbosityAreRead() throws {
        let flags = try translate(
            [
                "--transport=redis-sortedset", "--transport-config", smallest, "--prometheus-url", "http://p:9090/",
                "--prometheus-cache-ttl=10s", "--transform-config-file", "f", "--metrics-port=1", "--health-port=2",
                "-v=4", "--drain-timeout", "1m30s",
            ],
            files: [
                "f":
                    #"{"requestTransforms":[{"name":"n","type":"gcs_uri_multipart","parameters":{"providers":["a"]}}]}"#
            ])
        let async = try #require(flags.configuration.async)
        #expect(async.prometheus?.url.description == "http://p:9090")
        #expect(async.prometheus?.refresh == .seconds(10))
        #expect(async.prometheus?.staleness == .seconds(30))
        #expect(async.transforms[0].providers == ["a"])
        #expect(flags.configuration.admin.listen.port == 1)
        #expect(flags.configuration.admin.healthListen?.port == 2)
        #expect(flags.verbosity == 4)
        #expect(flags.configuration.gateway.drain.timeout == .seconds(90))
        let shared = try translate(["--transport-config", smallest, "--health-port=9090"])
        #expect(shared.configuration.admin.healthListen == nil)
    }
}

@Suite struct DeprecatedFlagTests {
    @Test func aQueueOfFlagsIsTranslatedAndEachFlagIsNotedOnce() throws {
        let flags = try translate([
            "--message-queue-impl=redis-sortedset", "--redis.url=redis://r", "--redis.ss.igw-base-url=http://gw",
            "--redis.ss.request-queue-name=q", "--redis.ss.result-queue-name=done", "--redis.ss.batch-size=5",
            "--redis.ss.batch-size=6", "--redis.ss.gate-type=local-max-concurrency",
            "--redis.ss.gate-params={\"limit\":3}", "--redis.ss.request-path-url=/v1/x",
            "--redis.ss.inference-objective=bulk",
        ])
        #expect(flags.notes.count == 10)
        #expect(flags.notes[0] == "--message-queue-impl is deprecated: use --transport")
        #expect(flags.notes[1] == "--redis.url is deprecated: use url in --transport-config, or REDIS_URL")
        #expect(flags.notes[5].hasPrefix("--redis.ss.batch-size has no effect"))
        let queue = try #require(flags.configuration.async?.queues.first)
        #expect(queue.name == "q")
        #expect(queue.redisKeys?.results == "done")
        #expect(queue.gate?.parameters == ["limit": .number(3)])
        #expect(queue.path == "/v1/x")
        #expect(flags.configuration.async?.target?.objective == .named("bulk"))
    }

    @Test func defaultsOfDeprecatedFlagsAreThoseOfTheirTransport() throws {
        let sorted = try translate([
            "--message-queue-impl=redis-sortedset", "--redis.url=redis://r", "--redis.ss.igw-base-url=http://gw",
        ])
        #expect(sorted.configuration.async?.queues[0].redisKeys?.requests == "request-sortedset")
        let channel = try translate(["--redis.url=redis://r", "--redis.igw-base-url=http://gw"])
        #expect(channel.configuration.async?.queues[0].redisKeys?.requests == "request-queue")
        #expect(channel.configuration.async?.queues[0].redis?.transport == .channel)
        let google = try translate([
            "--message-queue-impl=gcp-pubsub-gated", "--pubsub.project-id=p", "--pubsub.request-subscriber-id=s",
            "--pubsub.result-topic-id=r", "--pubsub.igw-base-url=http://gw",
        ])
        #expect(google.configuration.async?.queues[0].pubsub?.subscription == "s")
    }

    @Test func listsOfQueuesInFlagsAndFilesAreRead() throws {
        let list = #"[{"queue_name":"a","igw_base_url":"http://gw"},{"queue_name":"b","igw_base_url":"http://gw"}]"#
        for arguments in [["--redis.ss.queues-config", list], ["--redis.ss.queues-config-file", "list"]] {
            let flags = try translate(
                ["--message-queue-impl=redis-sortedset"] + arguments, files: ["list": list],
                environment: ["REDIS_URL": "redis://r"])
            #expect(flags.configuration.async?.queues.map(\.name) == ["a", "b"])
        }
    }

    @Test func newerFlagsSilenceOlderOnes() throws {
        let flags = try translate([
            "--transport=redis-sortedset", "--transport-config", smallest, "--redis.url=redis://old",
            "--redis.ss.igw-base-url=http://old",
        ])
        #expect(
            flags.notes == [
                "--redis.url is deprecated, and ignored because of --transport",
                "--redis.ss.igw-base-url is deprecated, and ignored because of --transport",
            ])
        #expect(flags.configuration.async?.queues[0].redis?.url?.description == "redis://r:6379")
    }

    @Test func whatIsMissingIsNamedByItsFlag() {
        #expect(
            complaints(["--message-queue-impl=gcp-pubsub"]) == [
                "--pubsub.request-subscriber-id: is required for gcp-pubsub",
                "--pubsub.igw-base-url: is required for gcp-pubsub", "--pubsub.project-id: is required for gcp-pubsub",
            ])
        #expect(
            complaints(["--redis.igw-base-url=http://gw"]) == ["--redis.url: is required: give it, or set REDIS_URL"])
        #expect(
            complaints([
                "--message-queue-impl=redis-sortedset", "--redis.url=redis://r", "--redis.ss.igw-base-url=http://gw",
                "--redis.ss.gate-type=constant", "--redis.ss.gate-params={\"budgt\":1}",
            ]).first?.hasPrefix("--redis.ss.gate-params: .budgt: ") == true)
    }
}

import Testing

@testable import WeirConfiguration

private func complaints(_ yaml: String, environment: [String: String] = [:]) -> [String] {
    do {
        _ = try Configuration.parse(yaml, file: "weir.yaml", environment: environment)
        return []
    } catch {
        return error.problems.map { $0.description.replacing(#/^weir.yaml:\d+:\d+: /#, with: "") }
    }
}

/// An asynchronous path whose requests go elsewhere, with keys for it and for its one queue.
private func path(_ keys: String = "", queue: String = "embedded: {path: q.db}") -> String {
    "async: {target: {url: 'http://gw'}, queues: [{name: q, \(queue)}]\(keys.isEmpty ? "" : ", \(keys)")}"
}

private let redis = "redis: {url: 'redis://r'"

@Suite struct AsyncChecksTests {
    @Test(arguments: [
        "redis: {url: 'redis://r'}", "redis: {url: 'redis://r', transport: channel}",
        "pubsub: {project: p, subscription: s, resultTopic: r}",
    ])
    func aQueueWithATargetNeedsNoPools(queue: String) {
        #expect(complaints(path(queue: queue)).isEmpty)
    }

    @Test(arguments: [
        (
            "embedded: {path: q}, \(redis)}",
            "redis: a queue is kept in one place; this one also has embedded"
        ),
        ("redis: {}", "redis.url: is required: write it, or set REDIS_URL"),
        (
            "redis: {url: 'redis://r', tls: {}}",
            "redis.tls: has no effect: the url does not begin with rediss://"
        ),
        ("redis: {url: 'rediss://r', tls: {certFile: c}}", "redis.tls.keyFile: is required with certFile"),
        ("redis: {url: 'rediss://r', tls: {keyFile: c}}", "redis.tls.certFile: is required with keyFile"),
        ("\(redis), resultQueue: q}", "redis.resultQueue: \"q\" is already the queue of this queue"),
        (
            "\(redis), deadLetterQueue: retry-sortedset}",
            "redis.deadLetterQueue: \"retry-sortedset\" is already the retryQueue of this queue"
        ),
        ("\(redis), resultQueueOverride: q}", "redis.resultQueue: \"q\" is already the queue of this queue"),
        (
            "\(redis), transport: channel, resultTTL: 1h}",
            "redis.resultTTL: has no effect with the transport channel, which keeps nothing"
        ),
        (
            "\(redis), transport: channel, deadLetterQueue: d}",
            "redis.deadLetterQueue: has no effect with the transport channel, which keeps nothing"
        ),
        ("\(redis), transport: stream}", "redis.transport: expected one of sorted-set, channel, found \"stream\""),
        ("pubsub: {project: p, resultTopic: r}", "pubsub.subscription: is required"),
        (
            "pubsub: {project: p, subscription: s, resultTopic: r, requestTopic: r}",
            "pubsub.resultTopic: results would come back as new requests"
        ),
        (
            "pubsub: {project: p, subscription: s, resultTopic: r, ackDeadline: 5s}",
            "pubsub.ackDeadline: must be from 10s to 10m, found \"5s\""
        ),
        (
            "pubsub: {project: p, subscription: s, resultTopic: r, endpoint: 'http://h/x'}",
            "pubsub.endpoint: leave out \"/x\""
        ),
        ("\(redis)}, workerPool: defalt", "workerPool: there is no worker pool \"defalt\"; did you mean default?"),
        ("\(redis)}, path: v1", "path: expected a path that starts with /, found \"v1\""),
        ("\(redis)}, labels: [a]", "labels: expected a mapping, found a list"),
        ("\(redis)}, labels: {a: [b]}", "labels.a: expected one value (text), found a list"),
        (
            "\(redis)}, gate: {type: prometheus-query, parameters: {query: up}}",
            "gate.type: prometheus-query asks Prometheus; write its url in async.prometheus"
        ),
        (
            "\(redis)}, target: {url: 'http://gw', tls: {}}",
            "target.tls: has no effect: the url does not begin with https://"
        ),
        (
            "\(redis)}, target: {url: 'http://gw', headers: {Authorization: x}}",
            "target.headers.Authorization: write bearerToken instead"
        ),
        (
            "\(redis)}, target: {url: 'http://gw', headers: {'a b': x}}",
            "target.headers.a b: expected the name of a header field, found \"a b\""
        ),
        (
            "\(redis)}, target: {url: 'http://gw', headers: {a: 'swordfish\\u0007'}}",
            "target.headers.a: must be printable ASCII without spaces at its ends"
        ),
        (
            "\(redis)}, target: {url: 'http://gw?x'}",
            "target.url: a URL here must not contain a query or a fragment, found \"http://gw?x\""
        ),
        ("\(redis)}, target: {url: 'http://u:swordfish@gw'}", "target.url: a URL here must not contain credentials"),
    ])
    func oneMistakeInAQueueGivesOneSentence(queue: String, complaint: String) {
        let found = complaints(path(queue: queue.replacing("'swordfish\\u0007'", with: "\"swordfish\\u0007\"")))
        #expect(found == ["async.queues[0].\(complaint)"])
    }

    @Test(arguments: [
        (
            "merge: {tierLabel: x}",
            "merge.tierLabel: has a meaning only with the policy tier-priority"
        ),
        (
            "merge: {policy: tier-priority, laneObjectives: {reserved-interactiv: x}}",
            "merge.laneObjectives.reserved-interactiv: there is no such lane; did you mean reserved-interactive?"
        ),
        (
            "merge: {policy: tiers}",
            "merge.policy: expected one of deadline, random-robin, tier-priority, found \"tiers\""
        ),
        (
            "merge: {policy: tier-priority, priorityHeader: 'a:b'}",
            "merge.priorityHeader: expected the name of a header field, found \"a:b\""
        ),
        ("fairness: {header: ''}", "fairness.header: expected the name of a header field, or off, found \"\""),
        ("workerPools: [{name: a}, {name: a}]", "workerPools[1].name: \"a\" is used twice"),
        ("workerPools: [{name: a, workers: 0}]", "workerPools[0].workers: must be 1 or more, found \"0\""),
        (
            "prometheus: {url: 'http://p', refresh: 1ms}", "prometheus.refresh: must be 50ms or longer, found \"1ms\""
        ),
        (
            "prometheus: {url: 'http://p', tls: {}}",
            "prometheus.tls: has no effect: the url does not begin with https://"
        ),
        (
            "prometheus: {url: 'http://p', refresh: 8s}",
            "prometheus.staleness: must be at least twice refresh (16s), or readings are too old before the next one"
        ),
        (
            "prometheus: {url: 'https://p', tls: {certFile: c, keyFile: k}}",
            "prometheus.tls.certFile: is not supported: no certificate is shown to Prometheus; write bearerToken instead"
        ),
        (
            "transforms: [{name: t, type: gcs_uri, parameters: {providers: [a]}}]",
            "transforms[0].type: expected one of gcs_uri_multipart, found \"gcs_uri\""
        ),
        (
            "transforms: [{name: t, type: gcs_uri_multipart, parameters: {providers: [a], provider: b}}]",
            "transforms[0].parameters.provider: unknown key; the key here is providers; did you mean providers?"
        ),
        (
            "frontDoor: {queue: q}", "frontDoor.queue: there is no gateway to hand requests in at: it needs pools"
        ),
    ])
    func oneMistakeInThePathGivesOneSentence(keys: String, complaint: String) {
        #expect(complaints(path(keys)).first == "async.\(complaint)")
        #expect(complaints(path(keys)).count == (keys.contains("certFile") ? 2 : 1))
    }

    @Test(arguments: [
        "{type: redis, parameters: {address: 'http://h'}}", "{type: redis, parameters: {address: 'u:swordfish@'}}",
        "{type: redis, parameters: {address: 'swordfish@h'}}", "{type: redis, parameters: {address: 'h:70000'}}",
        "{type: redis-quota, parameters: {address: 'redis://swordfish:x', limit: 1}}",
        "{type: wait-on-refuse, parameters: {gate: {gate_type: redis, gate_params: {address: 'h:x'}}}}",
        "{type: composite, parameters: {gates: [{gate_type: redis, gate_params: {address: 'h:x'}}]}}",
        "{type: tier-priority-admission, parameters: {saturation_gate: redis, saturation_gate_params: {address: 'h:x'}}}",
        "{type: endpoint-scrape, parameters: {url: 'h:8000/metrics', metric: m}}",
        "{type: endpoint-scrape, parameters: {url: 'http://', metric: m}}",
    ])
    func anAddressThatNobodyCouldBeAskedAtIsAFault(gate: String) {
        let found = complaints(path(queue: "embedded: {path: q}, gate: \(gate)"))
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("async.queues[0].gate.parameters.") == true)
        #expect(found.first.map { $0.contains("expected a ") && !$0.contains("fish") } == true)
    }

    @Test(arguments: [
        "{type: redis, parameters: {address: 'h:6379'}}", "{type: redis, parameters: {address: h}}",
        "{type: redis, parameters: {address: 'u:p/w@h:1/2'}}",
        "{type: redis, parameters: {address: 'rediss://:p@[::1]'}}",
        "{type: endpoint-scrape, parameters: {url: 'https://u:p@h/metrics?a=b', metric: m}}",
    ])
    func addressesOfServersAndPagesPass(gate: String) {
        #expect(complaints(path(queue: "embedded: {path: q}, gate: \(gate)")).isEmpty)
    }

    @Test func whatOnlyATargetUsesNeedsOne() {
        let here =
            "pools: [{name: p, endpoints: [{url: 'http://x'}]}]\nasync: {queues: [{name: q, embedded: {path: q}}], "
        let noEffect = "has no effect without a target: requests go to the gateway of this process"
        #expect(complaints(here + "fairness: {attribute: team}}") == ["async.fairness: \(noEffect)"])
        let transform = "transforms: [{name: t, type: gcs_uri_multipart, parameters: {providers: [a]}}]"
        #expect(complaints(here + transform + "}") == ["async.transforms: \(noEffect)"])
        #expect(complaints(path(transform + ", fairness: {attribute: team}")).isEmpty)
    }

    @Test func aPoolsQueuesAllGoToOneKindOfGateway() {
        let pool = "pools: [{name: p, endpoints: [{url: 'http://x'}]}]\n"
        func queues(_ own: String) -> String {
            pool + "async: {workerPools: [{name: own}], queues: [{name: a, embedded: {path: a}}, "
                + "{name: b, embedded: {path: b}, target: {url: 'http://gw'}\(own)}]}"
        }
        #expect(
            complaints(queues("")) == [
                "async.queues[1].workerPool: the pool \"default\" has queues with a target and queues whose requests go to "
                    + "the gateway of this process; give them pools of their own"
            ])
        #expect(complaints(queues(", workerPool: own")).isEmpty)
    }

    @Test func gatesAreCheckedWhereTheyStand() {
        let found = complaints(
            path(
                "workerPools: [{name: p, gate: {type: local-max-concurrency, parameters: {limit: 4, gatingmode: blocking}}}]",
                queue: "embedded: {path: q}, gate: {type: prometheus-saturatoin, parameters: {pool: a}}"))
        #expect(found.count == 2)
        #expect(found.first?.hasPrefix("async.queues[0].gate.type: ") == true)
        #expect(found.last?.hasPrefix("async.workerPools[0].gate.parameters.gatingmode: ") == true)
    }

    @Test func gatesThatAskPrometheusNeedItsAddress() {
        let gate = "embedded: {path: q}, gate: {type: prometheus-saturation, parameters: {pool: a}}"
        #expect(complaints(path(queue: gate)).count == 1)
        #expect(complaints(path("prometheus: {url: 'http://p:9090'}", queue: gate)).isEmpty)
    }

    @Test func twoQueuesDoNotShareAPlace() {
        let found = complaints(
            """
            async:
              target: {url: "http://gw"}
              queues:
                - {name: a, redis: {url: "redis://r"}}
                - {name: b, redis: {url: "redis://r", queue: a, resultQueue: x}}
                - {name: c, redis: {url: "redis://s", queue: a}}
                - {name: d, pubsub: {project: p, subscription: s, resultTopic: r}}
                - {name: e, pubsub: {project: p, subscription: s, resultTopic: t}}
            """)
        #expect(
            found == [
                "async.queues[1].redis.queue: \"a\" is already the key of the queue \"a\"",
                "async.queues[4].pubsub.subscription: p/s is already pulled by the queue \"d\"",
            ])
    }

    @Test func requestsWithoutATargetNeedPoolsAndAKnownObjective() {
        let queues = "async: {queues: [{name: q, redis: {url: 'redis://r'}, objective: nonesuch}]}"
        #expect(
            complaints(queues) == [
                "async.queues[0].objective: there is no objective \"nonesuch\"",
                "async.queues[0]: its requests have nowhere to go; add a target here or for all queues, or pools",
            ])
        #expect(complaints(path(queue: "embedded: {path: q}, objective: nonesuch")).isEmpty)
    }

    @Test func theHealthAddressIsOneOfItsOwn() {
        let found = complaints("admin: {healthListen: '127.0.0.1:9090'}\n" + path())
        #expect(
            found == [
                "admin.healthListen: is the same address as admin.listen, where the probes are anyway"
            ])
    }

    @Test func aBadServerInTheEnvironmentIsNamedByItsVariable() {
        let found = complaints(path(queue: "redis: {}"), environment: ["REDIS_URL": "swordfish"])
        #expect(
            found == [
                "async.queues[0].redis.url: REDIS_URL: expected a URL such as redis://host:6379 or rediss://user:password@host/0"
            ])
    }
}

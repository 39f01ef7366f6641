import Testing
import WeirConfiguration

@testable import AsyncFlags

private func complaints(_ arguments: [String], files: [String: String] = [:]) -> [String] {
    do {
        _ = try AsyncFlags(
            arguments, environment: [:],
            read: { path throws(ConfigurationError) in
                guard let text = files[path] else {
                    throw ConfigurationError(problems: [.init(file: path, keyPath: "", message: "no such file")])
                }
                return text
            })
        return []
    } catch {
        return error.problems.map(\.description)
    }
}

/// A sorted-set document with keys for its one queue and for itself.
private func document(_ queue: String = "", _ more: String = "") -> String {
    #"{"url":"redis://r","queues":[{"queue_name":"q","igw_base_url":"http://gw"\#(queue)}]\#(more)}"#
}

private let arguments = ["--transport=redis-sortedset", "--transport-config-file=t.json"]
private let sound = ["--transport=redis-sortedset", "--transport-config", document()]

@Suite struct MistakeTests {
    @Test(arguments: [
        (["--transprot=x"], "--transprot: there is no such flag; did you mean --transport?"),
        (["---transport=x"], "--transport: there is no such flag; did you mean --transport?"),
        (["serve"], "serve: expected a flag, found this"),
        (["--concurrency"], "--concurrency: needs a value"),
        (["--concurrency=many"], "--concurrency: expected a whole number of 0 or more, found \"many\""),
        (["--request-timeout=5"], "--request-timeout: expected a duration such as 500ms, 30s or 5m, found \"5\""),
        (["--tls-insecure-skip-verify=maybe"], "--tls-insecure-skip-verify: expected true or false, found \"maybe\""),
        ([], "--transport: is required, with --transport-config-file; --help lists all flags"),
        (["--transport=redis-sortedset"], "--transport: needs --transport-config-file or --transport-config"),
        (
            ["--transport=redis-sorted-set", "--transport-config={}"],
            "--transport: expected one of redis-sortedset, redis-pubsub, gcp-pubsub, found \"redis-sorted-set\"; did you "
                + "mean redis-sortedset?"
        ),
        (
            ["--transport-config={}", "--transport-config-file=x"],
            "--transport-config: excludes --transport-config-file; give one of the two"
        ),
        (["--transport-config-file=nowhere"], "nowhere: no such file"),
        (sound + ["--concurrency=0"], "--concurrency: expected a whole number of 1 or more, found \"0\""),
        (sound + ["--metrics-port=70000"], "--metrics-port: expected a port from 0 to 65535, found \"70000\""),
        (
            sound + ["--prometheus-url=p:9090"],
            "--prometheus-url: expected a URL such as http://prometheus:9090, without credentials"
        ),
        (sound + ["--tls-cert=c"], "--tls-key: is required with --tls-cert"),
    ])
    func aWrongCommandLineGivesOneSentence(arguments: [String], complaint: String) {
        #expect(complaints(arguments) == [complaint])
    }

    @Test(arguments: [
        ("{", "t.json:1: is not valid JSON: expected a key in quotes"),
        ("[]", "t.json:1: expected an object, found a list"),
        (
            "{\"url\":\"redis://r\",\n\"url\":\"\"}",
            "t.json:2: is not valid JSON: the key \"url\" appears twice in one object"
        ),
        (document(",\n\"igw_base_ur\":1"), "t.json:2: queues[0].igw_base_ur: unknown key; did you mean igw_base_url?"),
        (document("", ",\"poll_interval\":1"), "t.json:1: poll_interval: unknown key; did you mean poll_interval_ms?"),
        (document("", ",\"poll_interval_ms\":\"1\""), ""),
        (
            document("", ",\"claim_lease_ttl_seconds\":0"),
            "t.json:1: claim_lease_ttl_seconds: expected a whole number of 1 or more, found 0"
        ),
        (document(",\"worker_pool_id\":\"big\""), "t.json: queues[0].worker_pool_id: there is no worker pool \"big\""),
        (document(",\"labels\":{\"a\":1}"), "t.json:1: queues[0].labels.a: expected a text, found 1"),
        (document(",\"gate_params\":{\"a\":1}"), "t.json:1: queues[0].gate_params: has no effect without gate_type"),
        (
            document(",\"gate_type\":\"prometheus-query\",\"gate_params\":{\"query\":\"up\"}"),
            "t.json: queues[0].gate_type: prometheus-query asks Prometheus; give --prometheus-url"
        ),
        (
            document("", ",\"mode\":\"cluster\""),
            "t.json:1: mode: expected standalone, found \"cluster\": Redis Cluster and Sentinel are not supported"
        ),
        (
            document("", ",\"addrs\":[\"a:1\"]"),
            "t.json:1: addrs: Redis Cluster and Sentinel are not supported; name one server in url"
        ),
        (
            document().replacing("}]", with: "},{\"queue_name\":\"q\",\"igw_base_url\":\"http://gw\"}]"),
            "t.json: queues[1].queue_name: \"q\" is used twice"
        ),
        ("{\"url\":\"redis://r\",\"queues\":[]}", "t.json:1: queues: needs at least one entry"),
        ("{\"url\":\"redis://r\"}", "t.json: queues: is required"),
        (
            document().replacing("http://gw", with: "http://u:swordfish@gw"),
            "t.json: queues[0].igw_base_url: expected a URL such as http://gateway:8080, without credentials"
        ),
        (
            document().replacing("}]", with: "},{\"queue_name\":\"q\",\"igw_base_url\":\"http://gw\",\"id\":\"z\"}]"),
            "t.json: queues[1].queue_name: \"q\" is already the key of the queue \"q\""
        ),
    ])
    func aWrongTransportDocumentGivesOneSentence(text: String, complaint: String) {
        #expect(complaints(arguments, files: ["t.json": text]) == (complaint.isEmpty ? [] : [complaint]))
    }

    @Test func gatesAreCheckedWhereTheyStand() {
        let queue = complaints(
            arguments, files: ["t.json": document(",\"gate_type\":\"local-max-concurency\"")])
        #expect(queue.count == 1)
        #expect(queue.first?.hasPrefix("t.json: queues[0].gate_type: ") == true)
        let pool = complaints(
            sound + ["--pool-config-file=p.json"],
            files: ["p.json": #"[{"id":"a","workers":1,"gate_type":"constant","gate_params":{"budgt":1}}]"#])
        #expect(pool.count == 1)
        #expect(pool.first?.hasPrefix("p.json: [0].gate_params.budgt: ") == true)
    }

    @Test(arguments: [
        ("{}", "p: expected a list, found an object"), ("[{\"id\":\"a\"}]", "p:1: [0].workers: is required"),
        ("[{\"id\":\"a\",\"workers\":0}]", "p:1: [0].workers: expected a whole number of 1 or more, found 0"),
        ("[{\"id\":\"a\",\"workers\":1,\"wokers\":1}]", "p:1: [0].wokers: unknown key; did you mean workers?"),
        (
            "[{\"id\":\"a\",\"workers\":1},{\"id\":\"a\",\"workers\":1}]", "p: [1].id: \"a\" is used twice"
        ),
    ])
    func aWrongPoolDocumentGivesOneSentence(text: String, complaint: String) {
        let found = complaints(sound + ["--pool-config-file=p"], files: ["p": text])
        #expect(found.map { $0.replacing("p:1: expected a list", with: "p: expected a list") } == [complaint])
    }

    @Test(arguments: [
        ("{\"type\":\"round-robin\"}", "m:1: type: expected random-robin or tier-priority, found \"round-robin\""),
        (
            "{\"type\":\"random-robin\",\"parameters\":{\"tier_label\":\"x\"}}",
            "m:1: parameters.tier_label: unknown key; the keys here are fairness_header, fairness_attribute"
        ),
        (
            "{\"type\":\"tier-priority\",\"parameters\":{\"priority_header\":\"a b\"}}",
            "m:1: parameters.priority_header: expected the name of a header field, found \"a b\""
        ),
        (
            "{\"type\":\"tier-priority\",\"parameters\":{\"lane_objectives\":{\"reserved-bach\":\"x\"}}}",
            "m: parameters.lane_objectives.reserved-bach: there is no such lane; did you mean reserved-batch?"
        ),
        ("{\"typ\":\"random-robin\"}", "m:1: typ: unknown key; did you mean type?\nm:1: type: is required"),
    ])
    func aWrongMergePolicyGivesOneSentence(text: String, complaint: String) {
        let found = complaints(sound + ["--request-merge-policy-config-file=m"], files: ["m": text])
        #expect(found.joined(separator: "\n") == complaint)
    }

    @Test(arguments: [
        ("{\"responseTransforms\":[]}", "f:1: responseTransforms: unknown key; did you mean requestTransforms?"),
        (
            "{\"requestTransforms\":[{\"name\":\"n\",\"type\":\"x\"}]}",
            "f:1: requestTransforms[0].type: expected gcs_uri_multipart, found \"x\""
        ),
        (
            "{\"requestTransforms\":[{\"name\":\"n\",\"type\":\"gcs_uri_multipart\"}]}",
            "f: requestTransforms[0].parameters.providers: must be a list of at least one text, as it stands in the "
                + "metadata entry provider"
        ),
    ])
    func aWrongTransformDocumentGivesOneSentence(text: String, complaint: String) {
        #expect(complaints(sound + ["--transform-config-file=f"], files: ["f": text]) == [complaint])
    }

    @Test func noComplaintRepeatsAPassword() {
        for text in [
            document().replacing("redis://r", with: "redis://:swordfish@"),
            document().replacing("redis://r", with: "http://:swordfish@r"),
        ] {
            let found = complaints(arguments, files: ["t.json": text])
            #expect(found.count == 1)
            #expect(!found.joined().contains("swordfish"))
        }
    }

    @Test func helpNamesEveryFlagOnce() {
        for flag in Flag.all {
            let lines = AsyncFlags.help.split(separator: "\n").filter { line in
                line.split(separator: " ").first.map { $0.drop { $0 == "-" } == flag.name } ?? false
            }
            #expect(lines.count == 1, "\(flag.name)")
        }
        #expect(Set(Flag.all.map(\.name)).count == Flag.all.count)
        #expect(AsyncFlags.asksForHelp(["--transport", "x", "-h"]))
        #expect(!AsyncFlags.asksForHelp(["--transport", "x"]))
    }
}

import Basics
import DispatchGates
import Testing

@Suite struct ConfigurationTests {
    private func read(_ type: String, _ parameters: [String: GateParameter] = [:]) throws -> GateConfiguration {
        try GateConfiguration(type: type, parameters: parameters)
    }

    private func problem(_ type: String, _ parameters: [String: GateParameter] = [:]) -> GateConfigurationError? {
        do {
            _ = try GateConfiguration(type: type, parameters: parameters)
            return nil
        } catch { return error }
    }

    @Test func defaultsAreUpstreams() throws {
        #expect(try read("constant") == .constant(budget: 1))
        #expect(
            try read("redis", ["address": "r:1"]) == .redis(.init(address: "r:1", budgetKey: "dispatch-gate-budget")))
        #expect(
            try read("prometheus-saturation", ["pool": "p"])
                == .prometheusSaturation(.init(pool: "p", namespace: nil, threshold: 0.8, fallback: nil)))
        #expect(
            try read("prometheus-budget", ["pool": "p"])
                == .prometheusBudget(.init(pool: "p", maxConcurrency: 100, baseline: 0.05, fallback: 0)))
        #expect(try read("prometheus-query", ["query": "up"]) == .prometheusQuery(.init(query: "up", fallback: 0)))
        #expect(
            try read("local-max-concurrency", ["limit": "3"])
                == .localMaxConcurrency(.init(limit: 3, gatingMode: .classifying)))
        guard case .redisQuota(let quota) = try read("redis-quota", ["address": "r:1", "limit": 5]) else {
            Issue.record("not a quota")
            return
        }
        #expect(quota.attribute == "userid" && quota.prefix == "quota:" && quota.window == .seconds(60))
        #expect(quota.mode == .rateLimit && quota.gatingMode == .blocking)
        guard case .aimd(let windows) = try read("aimd") else {
            Issue.record("not windows")
            return
        }
        #expect(windows.minWindow == 1 && windows.maxWindow == 256 && windows.increase == 1)
        #expect(windows.decreaseFactor == 0.5 && windows.holdDuration == .seconds(1))
        #expect(windows.queueDurationTarget == .zero && windows.tierLabel == "tier")
        guard case .endpointScrape(let scrape) = try read("endpoint-scrape", ["url": "http://e", "metric": "m"]) else {
            Issue.record("not a scrape")
            return
        }
        #expect(scrape.maxCountPerPod == 0 && scrape.baseline == 0 && scrape.fallback == 0)
        #expect(scrape.valueType == .saturation && scrape.absentValue == nil && scrape.admission == .budget)
    }

    @Test func anUnknownTypeIsAnErrorThatNamesTheTypes() {
        let error = problem("prometheus-saturaton", ["pool": "p"])
        #expect(error?.path == "gate_type")
        #expect(error?.problem.contains("prometheus-saturation") == true)
    }

    @Test func anUnknownParameterIsAnErrorWithItsKeyPath() {
        let error = problem("prometheus-saturation", ["pool": "p", "treshold": 0.5])
        #expect(error?.path == "gate_params.treshold")
        #expect(error?.problem.contains("threshold") == true)
    }

    @Test(
        arguments: [
            ("redis", [:], "gate_params.address"),
            ("redis-quota", ["address": "r:1"], "gate_params.limit"),
            ("redis-quota", ["address": "r:1", "limit": 0], "gate_params.limit"),
            ("redis-quota", ["address": "r:1", "limit": 1.5], "gate_params.limit"),
            ("redis-quota", ["address": "r:1", "limit": 1, "mode": "sometimes"], "gate_params.mode"),
            ("redis-quota", ["address": "r:1", "limit": 1, "window": "60"], "gate_params.window"),
            ("redis-quota", ["address": "r:1", "limit": 1, "window": "0s"], "gate_params.window"),
            ("local-max-concurrency", ["limit": "many"], "gate_params.limit"),
            ("prometheus-saturation", ["pool": "p", "threshold": 1.1], "gate_params.threshold"),
            ("prometheus-saturation", ["pool": "p", "threshold": "nan"], "gate_params.threshold"),
            ("prometheus-saturation", ["pool": ""], "gate_params.pool"),
            ("prometheus-budget", ["pool": "p", "max_concurrency": 0], "gate_params.max_concurrency"),
            ("prometheus-budget", ["pool": "p", "baseline": 1], "gate_params.baseline"),
            ("endpoint-scrape", ["url": "u", "metric": "m", "pods_url": "u"], "gate_params.pods_metric"),
            ("endpoint-scrape", ["url": "u", "metric": "m", "labels": "{"], "gate_params.labels"),
            ("endpoint-scrape", ["url": "u", "metric": "m", "value_type": "load"], "gate_params.value_type"),
            ("endpoint-scrape", ["url": "u", "metric": "m", "admission": "counted"], "gate_params.admission"),
            ("composite", [:], "gate_params.gates"),
            ("composite", ["gates": "[]"], "gate_params.gates"),
            (
                "composite", ["gates": [["gate_type": "constant"], ["gate_type": "redis"]]],
                "gate_params.gates[1].gate_params.address"
            ),
            ("composite", ["gates": [["gate_type": "open"]]], "gate_params.gates[0].gate_type"),
            (
                "composite", ["gates": [["gate_type": "constant", "gate_parms": [:]]]],
                "gate_params.gates[0].gate_parms"
            ),
            ("wait-on-refuse", ["gate": "{\"gate_type\":\"redis\"}"], "gate_params.gate.gate_params.address"),
            ("tier-priority-admission", ["saturation_gate": "nope"], "gate_params.saturation_gate"),
            (
                "tier-priority-admission",
                ["saturation_gate": "prometheus-query", "saturation_gate_params": "{\"q\":1}"],
                "gate_params.saturation_gate_params.query"
            ),
            ("aimd", ["min_window": 8, "max_window": 4], "gate_params.max_window"),
            ("aimd", ["decrease_factor": 1], "gate_params.decrease_factor"),
        ] as [(String, [String: GateParameter], String)])
    func aWrongParameterIsNamed(type: String, parameters: [String: GateParameter], path: String) {
        #expect(problem(type, parameters)?.path == path)
    }

    @Test func nestedGatesAreReadFromObjectsAndFromText() throws {
        let asObject = try read(
            "composite",
            [
                "gates": [
                    ["gate_type": "prometheus-saturation", "gate_params": ["pool": "p", "threshold": "0.5"]],
                    [
                        "gate_type": "wait-on-refuse",
                        "gate_params": ["gate": ["gate_type": "local-max-concurrency", "gate_params": ["limit": 2]]],
                    ],
                ]
            ])
        let asText = try read(
            "composite",
            [
                "gates": .text(
                    #"""
                    [{"gate_type":"prometheus-saturation","gate_params":{"pool":"p","threshold":0.5}},
                     {"gate_type":"wait-on-refuse","gate_params":{"gate":
                       "{\"gate_type\":\"local-max-concurrency\",\"gate_params\":\"{\\\"limit\\\":\\\"2\\\"}\"}"}}]
                    """#)
            ])
        #expect(asObject == asText)
        #expect(
            asObject
                == .composite([
                    .prometheusSaturation(.init(pool: "p", threshold: 0.5)),
                    .waitOnRefuse(.localMaxConcurrency(.init(limit: 2))),
                ]))
    }

    @Test func theParametersReadBackAsTheSameGate() throws {
        var scrape = GateConfiguration.EndpointScrape(url: "http://u:secret@e/metrics", metric: "m")
        scrape.labels = ["a": "b\"c"]
        scrape.maxCountPerPod = 5
        scrape.podsURL = "http://p"
        scrape.podsMetric = "ready"
        scrape.absentValue = 0
        scrape.admission = .counted
        var quota = GateConfiguration.RedisQuota(address: "rediss://:secret@r:6379/2", limit: 7)
        quota.mode = .concurrency
        quota.window = .milliseconds(1500)
        var windows = GateConfiguration.AIMD()
        windows.holdDuration = .milliseconds(250)
        let gate = GateConfiguration.composite([
            .constant(budget: 0.5), .redis(.init(address: "r:1", fallback: 1)), .redisQuota(quota),
            .prometheusBudget(.init(pool: "p", namespace: "n", maxConcurrency: 12, fallback: 0.25)),
            .prometheusQuery(.init(query: "1 - up{a=\"b\"}", pool: "p")), .endpointScrape(scrape), .aimd(windows),
            .tierPriorityAdmission(
                .init(saturationGate: .prometheusSaturation(.init(pool: "p", fallback: 1)), tierLabel: "class")),
        ])
        #expect(try GateConfiguration(type: gate.type, parameters: gate.parameters) == gate)
        #expect(!gate.description.contains("secret"))
        #expect(gate.description.contains("rediss://:***@r:6379/2"))
        let shown = try GateConfiguration(
            type: "wait-on-refuse", parameters: ["gate": .text(GateConfiguration.constant(budget: 0.5).description)])
        #expect(shown == .waitOnRefuse(.constant(budget: 0.5)))
    }

    @Test(arguments: [
        ("u:secret@h:6379", "u:***@h:6379"), ("redis://u:se/cret@h:1/2", "redis://u:***@h:1/2"),
        ("u:sec?re@t@h", "u:***@h"), ("h:6379", "h:6379"),
    ])
    func noFormOfAnAddressShowsItsPassword(address: String, shown: String) {
        #expect(GateConfiguration.redis(.init(address: address)).description.contains("\"address\":\"\(shown)\""))
        #expect(GateSource.redisKey(address: address, key: "k").description == "redis key k at \(shown)")
        let page = GateConfiguration.EndpointScrape(url: "http://u:secret@h/m?a=b:c@d", metric: "m")
        #expect(GateConfiguration.endpointScrape(page).description.contains("\"http://u:***@h/m?a=b:c@d\""))
    }

    @Test func theTimeInTheGatewaysQueueCannotBeAskedFor() {
        let refused = problem("aimd", ["queue_duration_target": .text("100ms")])
        #expect(refused?.path == "gate_params.queue_duration_target")
        #expect(refused?.problem.hasPrefix("is not supported: ") == true)
        for zero in [GateParameter.text("0s"), .number(0)] {
            #expect(problem("aimd", ["queue_duration_target": zero]) == nil)
        }
    }

    @Test func nestingIsBounded() {
        var gate = #"{"gate_type":"constant"}"#
        for _ in 0..<8 { gate = #"{"gate_type":"composite","gate_params":{"gates":[\#(gate)]}}"# }
        #expect(problem("composite", ["gates": .text("[\(gate)]")])?.problem.contains("at most 8") == true)
        let many = "[" + Array(repeating: #"{"gate_type":"constant"}"#, count: 64).joined(separator: ",") + "]"
        #expect(problem("composite", ["gates": .text(many)])?.problem.contains("64 in all") == true)
        let deep = String(repeating: "[", count: 10_000)
        #expect(problem("composite", ["gates": .text(deep)])?.problem.contains("levels") == true)
    }

    @Test(arguments: [
        ("[1,]", "expected a value"), ("{\"a\" 1}", "colon"), ("[1 2]", "comma"), ("\"\\x\"", "escape"),
        ("[01e]", "value"),
        ("\"\\ud800\"", "surrogate"), ("[] []", "after"), ("{\"a\":1,\"a\":2}", "twice"), ("\"a", "end"),
    ])
    func brokenJSONIsToldApart(text: String, expected: String) {
        #expect(problem("composite", ["gates": .text(text)])?.problem.contains(expected) == true)
    }

    @Test func escapesInJSONAreRead() throws {
        let gate = try read(
            "wait-on-refuse",
            ["gate": .text(#"{"gate_type":"prometheus-query","gate_params":{"query":"a\u00e9\ud83d\ude00\n\/"}}"#)])
        #expect(gate == .waitOnRefuse(.prometheusQuery(.init(query: "aé😀\n/"))))
    }
}

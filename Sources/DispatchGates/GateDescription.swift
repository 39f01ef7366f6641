extension GateConfiguration {
    /// The `gate_params` in full, defaults included: read again they give this very configuration.
    public var parameters: [String: GateParameter] {
        var result: [String: GateParameter] = [:]
        for (key, value) in fields {
            if let value { result[key] = value }
        }
        return result
    }

    private var fields: [String: GateParameter?] {
        switch self {
        case .constant(let budget): ["budget": .number(budget)]
        case .redis(let gate):
            [
                "address": .text(gate.address), "budget_key": .text(gate.budgetKey),
                "fallback": gate.fallback.map { .number($0) },
            ]
        case .redisQuota(let gate):
            [
                "address": .text(gate.address), "attribute": .text(gate.attribute), "mode": .text(gate.mode.rawValue),
                "limit": .number(Double(gate.limit)), "window": .text(GateDuration.write(gate.window)),
                "prefix": .text(gate.prefix), "gating_mode": .text(gate.gatingMode.rawValue),
            ]
        case .localMaxConcurrency(let gate):
            ["limit": .number(Double(gate.limit)), "gating_mode": .text(gate.gatingMode.rawValue)]
        case .prometheusSaturation(let gate):
            [
                "pool": .text(gate.pool), "namespace": gate.namespace.map { .text($0) },
                "threshold": .number(gate.threshold), "fallback": gate.fallback.map { .number($0) },
            ]
        case .prometheusBudget(let gate):
            [
                "pool": .text(gate.pool), "namespace": gate.namespace.map { .text($0) },
                "max_concurrency": .number(gate.maxConcurrency), "baseline": .number(gate.baseline),
                "fallback": .number(gate.fallback),
            ]
        case .prometheusQuery(let gate):
            [
                "query": .text(gate.query), "pool": gate.pool.map { .text($0) }, "fallback": .number(gate.fallback),
            ]
        case .endpointScrape(let gate): gate.fields
        case .composite(let gates): ["gates": .list(gates.map(\.asParameter))]
        case .waitOnRefuse(let gate): ["gate": gate.asParameter]
        case .tierPriorityAdmission(let gate):
            [
                "saturation_gate": .text(gate.saturationGate.type),
                "saturation_gate_params": .object(gate.saturationGate.parameters), "tier_label": .text(gate.tierLabel),
            ]
        case .aimd(let gate):
            [
                "min_window": .number(gate.minWindow), "max_window": .number(gate.maxWindow),
                "increase": .number(gate.increase), "decrease_factor": .number(gate.decreaseFactor),
                "hold_duration": .text(GateDuration.write(gate.holdDuration)), "tier_label": .text(gate.tierLabel),
                "queue_duration_target": .text(GateDuration.write(gate.queueDurationTarget)),
            ]
        }
    }

    /// The gate as it stands inside another one.
    private var asParameter: GateParameter {
        .object(["gate_type": .text(type), "gate_params": .object(parameters)])
    }
}

extension GateConfiguration.EndpointScrape {
    fileprivate var fields: [String: GateParameter?] {
        [
            "url": .text(url), "metric": .text(metric), "labels": .object(labels.mapValues { .text($0) }),
            "max_count_per_pod": .number(maxCountPerPod), "baseline": .number(baseline), "fallback": .number(fallback),
            "pods_url": podsURL.map { .text($0) }, "pods_metric": podsMetric.map { .text($0) },
            "pods_labels": .object(podsLabels.mapValues { .text($0) }), "value_type": .text(valueType.rawValue),
            "absent_value": absentValue.map { .number($0) }, "admission": .text(admission.rawValue),
        ]
    }
}

extension GateConfiguration: CustomStringConvertible {
    /// The gate as JSON on one line, `{"gate_params":{...},"gate_type":"..."}`, without passwords.
    public var description: String { Self.masked(asParameter).description }

    private static func masked(_ value: GateParameter) -> GateParameter {
        switch value {
        case .list(let items): .list(items.map(masked))
        case .object(let members):
            .object(
                members.reduce(into: [:]) { result, member in
                    if case .text(let text) = member.value, addressKeys.contains(member.key) {
                        result[member.key] = .text(AddressMask.withoutPassword(text))
                    } else {
                        result[member.key] = masked(member.value)
                    }
                })
        case .text, .number, .bool: value
        }
    }

    private static let addressKeys: Set = ["address", "url", "pods_url"]
}

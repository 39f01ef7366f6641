import EngineModel
import ReportPage

/// A JSON value on its way out, with its keys in a fixed order so that equal reports have equal bytes.
private indirect enum JSONValue {
    case text(String)
    case whole(Int)
    case decimal(Double, places: Int)
    case flag(Bool)
    case list([JSONValue])
    case object([(String, JSONValue)])

    func write(into text: inout String, indent: Int) {
        let inner = String(repeating: "  ", count: indent + 1)
        let outer = String(repeating: "  ", count: indent)
        switch self {
        case .text(let value): text += Self.quoted(value)
        case .whole(let value): text += String(value)
        case .decimal(let value, let places): text += DecimalText.fixed(value, places)
        case .flag(let value): text += value ? "true" : "false"
        case .list(let values):
            if values.isEmpty {
                text += "[]"
                return
            }
            text += "[\n"
            for (index, value) in values.enumerated() {
                text += inner
                value.write(into: &text, indent: indent + 1)
                text += index + 1 < values.count ? ",\n" : "\n"
            }
            text += outer + "]"
        case .object(let members):
            text += "{\n"
            for (index, member) in members.enumerated() {
                text += inner + Self.quoted(member.0) + ": "
                member.1.write(into: &text, indent: indent + 1)
                text += index + 1 < members.count ? ",\n" : "\n"
            }
            text += outer + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

extension LabReport {
    /// The report as one JSON object, ending with a line feed. Equal runs differ in `wall_s` only.
    public func json() -> String {
        var members: [(String, JSONValue)] = [
            ("scenario", .text(scenario.name)),
            ("seed", .whole(Int(clamping: options.seed))),
            ("trace", .text(traceName)),
            ("scale", .decimal(options.scale, places: 3)),
            ("engine", .text(options.engine)),
            ("replicas", .whole(options.replicas)),
            ("policies", .list(policies.map(Self.value))),
        ]
        if !calibration.isEmpty {
            members.append(("rows", .list(calibration.map(Self.value))))
            members.append(("within_bounds", .flag(isWithinBounds)))
        }
        members.append(("virtual_s", .decimal(policies.reduce(0) { $0 + $1.virtualSeconds }, places: 3)))
        members.append(("wall_s", .decimal(policies.reduce(0) { $0 + $1.wallSeconds }, places: 3)))
        var text = ""
        JSONValue.object(members).write(into: &text, indent: 0)
        return text + "\n"
    }

    private static func value(_ result: PolicyResult) -> JSONValue {
        let (realtime, batch) = (result.realtime, result.batch)
        var members: [(String, JSONValue)] = [
            ("name", .text(result.policy.name)),
            (
                "realtime",
                .object([
                    ("requests", .whole(realtime.requests)),
                    ("good", .decimal(realtime.good, places: 5)),
                    ("rejected", .whole(realtime.rejected)),
                    ("ttft_ms", value(realtime.ttft)),
                    ("tpot_ms", value(realtime.tpot)),
                ])
            ),
            (
                "batch",
                .object([
                    ("submitted", .whole(batch.submitted)),
                    ("served", .whole(batch.served)),
                    ("dropped", .whole(batch.dropped)),
                    ("late", .whole(batch.late)),
                    ("requests_per_s", .decimal(batch.requestsPerSecond, places: 4)),
                    ("input_tokens_per_s", .decimal(batch.inputTokensPerSecond, places: 1)),
                    ("output_tokens_per_s", .decimal(batch.outputTokensPerSecond, places: 1)),
                    ("wasted_tokens", .whole(batch.wastedTokens)),
                    ("attempts", .whole(batch.attempts)),
                ])
            ),
        ]
        if let drain = result.drain {
            members.append(
                (
                    "drain",
                    .object([
                        ("makespan_s", .decimal(drain.makespanSeconds, places: 1)),
                        ("work_bound_s", .decimal(drain.workBoundSeconds, places: 1)),
                    ])
                ))
        }
        if let surge = result.surge {
            members.append(
                (
                    "surge",
                    .object([
                        ("over_limit_s", .decimal(surge.overLimitSeconds, places: 3)),
                        ("limit_ms", .decimal(surge.limitMilliseconds, places: 2)),
                        ("worst_step_ms", .decimal(surge.worstStepMilliseconds, places: 2)),
                        ("waste_share", .decimal(surge.wasteShare, places: 5)),
                    ])
                ))
        }
        if let gate = result.gate {
            members.append(
                (
                    "gate",
                    .object([
                        ("signal", .text(gate.signal)),
                        ("threshold", .decimal(gate.threshold, places: 3)),
                        ("mean_saturation", .decimal(gate.meanSaturation, places: 4)),
                        ("p99_saturation", .decimal(gate.p99Saturation, places: 4)),
                        ("peak_saturation", .decimal(gate.peakSaturation, places: 4)),
                        ("peak_overshoot", .decimal(gate.peakOvershoot, places: 4)),
                        ("mean_overshoot", .decimal(gate.meanOvershoot, places: 5)),
                        ("share_beyond", .decimal(gate.shareBeyond, places: 5)),
                    ])
                ))
        }
        members.append(("virtual_s", .decimal(result.virtualSeconds, places: 3)))
        members.append(("wall_s", .decimal(result.wallSeconds, places: 3)))
        return .object(members)
    }

    private static func value(_ spread: PolicyResult.Spread) -> JSONValue {
        .object([
            ("p50", .decimal(spread.p50, places: 2)),
            ("p90", .decimal(spread.p90, places: 2)),
            ("p99", .decimal(spread.p99, places: 2)),
        ])
    }

    private static func value(_ row: CalibrationRow) -> JSONValue {
        func observation(_ seen: CalibrationRow.Observation, places: Int) -> JSONValue {
            .object([
                ("requests_per_s", .decimal(seen.requestsPerSecond, places: places)),
                ("ms_per_token", .decimal(seen.millisecondsPerToken, places: places)),
                ("ttft_ms", .decimal(seen.timeToFirstTokenMilliseconds, places: places)),
            ])
        }
        return .object([
            ("config", .text(row.label)),
            ("offered_per_s", .decimal(row.offeredPerSecond, places: 1)),
            ("measured", observation(row.measured, places: 2)),
            ("modelled", observation(row.modelled, places: 2)),
            ("error", observation(row.errors, places: 4)),
            ("within_bounds", .flag(row.isWithinBounds)),
        ])
    }
}

import EngineModel
import ReportPage

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
        if options.seeds > 1 { members.append(("seeds", .whole(options.seeds))) }
        if !calibration.isEmpty {
            members.append(("rows", .list(calibration.map(Self.value))))
            members.append(("within_bounds", .flag(isWithinBounds)))
        }
        if !predictions.isEmpty { members.append(("loads", .list(predictions.map(Self.value)))) }
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
        members += worlds(result)
        members.append(("virtual_s", .decimal(result.virtualSeconds, places: 3)))
        members.append(("wall_s", .decimal(result.wallSeconds, places: 3)))
        return .object(members)
    }

    /// What only some scenarios have: the load of a run, the sections of the routing scenarios, intervals over seeds.
    private static func worlds(_ result: PolicyResult) -> [(String, JSONValue)] {
        var members: [(String, JSONValue)] = []
        if let load = result.load { members.append(("load", .decimal(load, places: 3))) }
        let sections = [
            ("routing", result.routing?.members), ("herd", result.herd?.members),
            ("fairness", result.fairness?.members),
        ]
        for (name, figures) in sections {
            guard let figures else { continue }
            members.append((name, .object(figures.map { ($0.name, .decimal($0.value, places: $0.places)) })))
        }
        if !result.overSeeds.isEmpty {
            let figures = result.overSeeds.map { figure -> (String, JSONValue) in
                let interval: [(String, JSONValue)] = [
                    ("mean", .decimal(figure.mean, places: 5)),
                    ("half_width_95", .decimal(figure.halfWidth, places: 5)),
                ]
                return (figure.name, .object(interval))
            }
            members.append(("over_seeds", .object(figures)))
        }
        return members
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

import EngineModel
import Harvest
import ReportPage

extension LabReport {
    /// The report as a table for a terminal, at most 120 columns wide.
    public func text() -> String {
        if !predictions.isEmpty { return predictionText() }
        return calibration.isEmpty ? policyText() : calibrationText()
    }

    /// What ran, in one line.
    var setupLine: String {
        let replicas = options.replicas == 1 ? "1 replica" : "\(options.replicas) replicas"
        var parts = ["\(replicas) of \(options.engine)", "trace \(traceName) x\(trimmed(options.scale))"]
        parts.append("\(DecimalText.fixed(traceSeconds, 0)) s of traffic")
        if !jobName.isEmpty { parts.append("batch lines from \(jobName)") }
        if options.hidesLengths { parts.append("answer lengths hidden") }
        parts.append(options.seeds > 1 ? "\(options.seeds) seeds from \(options.seed)" : "seed \(options.seed)")
        return parts.joined(separator: ", ")
    }

    /// What counts as good, in one line.
    var limitsLine: String {
        "good: first token within \(DecimalText.fixed(options.harvest.ttftLimitMilliseconds, 0)) ms and on average at "
            + "most \(DecimalText.fixed(options.harvest.tpotLimitMilliseconds, 0)) ms per token after it"
    }

    private func trimmed(_ value: Double) -> String {
        value == value.rounded() ? DecimalText.fixed(value, 0) : DecimalText.fixed(value, 2)
    }

    private func policyText() -> String {
        var table = TextTable([
            "policy", "good %", "TTFT p50", "p99 ms", "TPOT p50", "p99 ms", "batch/s", "served", "dropped", "sent",
            "wasted tok",
        ])
        for result in policies {
            let batch = result.batch
            table.append([
                RoutingTable.label(result), DecimalText.fixed(result.realtime.good * 100, 2),
                DecimalText.fixed(result.realtime.ttft.p50, 0), DecimalText.fixed(result.realtime.ttft.p99, 0),
                DecimalText.fixed(result.realtime.tpot.p50, 1), DecimalText.fixed(result.realtime.tpot.p99, 1),
                DecimalText.fixed(batch.requestsPerSecond, 2), DecimalText.grouped(batch.served),
                DecimalText.grouped(batch.dropped), DecimalText.grouped(batch.attempts),
                DecimalText.grouped(batch.wastedTokens),
            ])
        }
        var lines = ["\(scenario.name): \(scenario.summary)", setupLine, limitsLine, "", table.text]
        if let gates = GateTable(policies) {
            var table = TextTable(GateTable.header)
            for row in gates.rows { table.append(row) }
            lines.append(table.text)
            lines += GateTable.notes.map { Self.wrapped($0) }
        }
        for added in RoutingTable.all(policies) {
            var table = TextTable(added.header)
            for row in added.rows { table.append(row) }
            lines += [table.text + Self.wrapped(added.note), ""]
        }
        for result in policies {
            if let drain = result.drain, result.batch.served == result.batch.submitted {
                let ratio = drain.workBoundSeconds > 0 ? drain.makespanSeconds / drain.workBoundSeconds : 0
                lines.append(
                    "\(result.policy.name): all served after \(DecimalText.fixed(drain.makespanSeconds, 0)) s, "
                        + "\(DecimalText.fixed(ratio, 2)) x the work bound of "
                        + "\(DecimalText.fixed(drain.workBoundSeconds, 0)) s")
            }
            if let surge = result.surge {
                lines.append(
                    "\(result.policy.name): steps above \(DecimalText.fixed(surge.limitMilliseconds, 1)) ms with batch "
                        + "aboard for at most \(DecimalText.fixed(surge.overLimitSeconds, 2)) s on end, worst "
                        + "\(DecimalText.fixed(surge.worstStepMilliseconds, 1)) ms; "
                        + "\(DecimalText.fixed(surge.wasteShare * 100, 2)) % of batch tokens wasted")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A paragraph in lines of at most 120 columns.
    static func wrapped(_ paragraph: String) -> String {
        var lines = [""]
        for word in paragraph.split(separator: " ") {
            let line = lines[lines.count - 1]
            if line.isEmpty {
                lines[lines.count - 1] = String(word)
            } else if line.count + 1 + word.count <= 120 {
                lines[lines.count - 1] = line + " " + word
            } else {
                lines.append(String(word))
            }
        }
        return lines.joined(separator: "\n")
    }

    private func calibrationText() -> String {
        var table = TextTable([
            "server", "offered/s", "req/s", "model", "error %", "ms/token", "model", "error %", "TTFT ms", "model",
            "error %", "",
        ])
        func percent(_ error: Double) -> String { DecimalText.fixed(error * 100, 1) }
        for row in calibration {
            let (measured, modelled, errors) = (row.measured, row.modelled, row.errors)
            table.append([
                row.label, DecimalText.fixed(row.offeredPerSecond, 1),
                DecimalText.fixed(measured.requestsPerSecond, 1), DecimalText.fixed(modelled.requestsPerSecond, 1),
                percent(errors.requestsPerSecond), DecimalText.fixed(measured.millisecondsPerToken, 2),
                DecimalText.fixed(modelled.millisecondsPerToken, 2), percent(errors.millisecondsPerToken),
                DecimalText.fixed(measured.timeToFirstTokenMilliseconds, 0),
                DecimalText.fixed(modelled.timeToFirstTokenMilliseconds, 0),
                percent(errors.timeToFirstTokenMilliseconds),
                row.isWithinBounds ? "ok" : "OFF",
            ])
        }
        let verdict = isWithinBounds ? "all rows are within bounds" : "some rows are out of bounds"
        let bounds = CalibrationRow.bounds
        return "\(scenario.name): \(scenario.summary)\n\n\(table.text)\n\(verdict): requests/s "
            + "\(percent(bounds.requestsPerSecond)) %, ms/token \(percent(bounds.millisecondsPerToken)) %, mean TTFT "
            + "\(percent(bounds.timeToFirstTokenMilliseconds)) %\n"
    }
}

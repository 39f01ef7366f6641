import ReportPage

/// What the figures of a report say, in sentences: only comparisons that the report itself contains.
struct Findings {
    let report: LabReport

    var sentences: [String] {
        let results = report.policies
        let own = results.first { if case .weir = $0.policy { true } else { false } }
        let online = results.first { $0.policy == .onlineOnly }
        // 30 ms per step is the oracle of the reference tables; another one will do where it did not run.
        let oracle =
            results.first { $0.policy == .oracle(stepMilliseconds: 30) }
            ?? results.first { if case .oracle = $0.policy { true } else { false } }
        var sentences: [String] = []
        if let own {
            var text = "\(own.policy.name): \(percent(own.realtime.good)) of real-time requests good"
            if let online { text += " (\(percent(online.realtime.good)) without any batch work)" }
            text += ", \(DecimalText.fixed(own.batch.requestsPerSecond, 2)) batch requests/s"
            if let oracle, oracle.batch.requestsPerSecond > 0 {
                let share = own.batch.requestsPerSecond / oracle.batch.requestsPerSecond
                text += ", \(DecimalText.fixed(share * 100, 0)) % of \(oracle.policy.name)"
            }
            sentences.append(text + ".")
        }
        for result in results where result.batch.dropped > 0 {
            let share = Double(result.batch.dropped) / Double(max(1, result.batch.submitted))
            sentences.append(
                "\(result.policy.name): \(DecimalText.grouped(result.batch.dropped)) of "
                    + "\(DecimalText.grouped(result.batch.submitted)) messages dropped (\(percent(share))).")
        }
        for result in results {
            if let drain = result.drain, result.batch.served == result.batch.submitted, drain.workBoundSeconds > 0 {
                sentences.append(
                    "\(result.policy.name): all \(DecimalText.grouped(result.batch.served)) messages served after "
                        + "\(DecimalText.fixed(drain.makespanSeconds, 0)) s, "
                        + "\(DecimalText.fixed(drain.makespanSeconds / drain.workBoundSeconds, 2)) times the work "
                        + "bound.")
            }
            if let surge = result.surge, result.batch.submitted > 0 {
                sentences.append(
                    "\(result.policy.name): in the surge, steps with batch aboard stayed above "
                        + "\(DecimalText.fixed(surge.limitMilliseconds, 1)) ms for at most "
                        + "\(DecimalText.fixed(surge.overLimitSeconds, 2)) s; "
                        + "\(percent(surge.wasteShare)) of batch tokens wasted.")
            }
        }
        return sentences
    }

    private func percent(_ share: Double) -> String { DecimalText.fixed(share * 100, 2) + " %" }
}

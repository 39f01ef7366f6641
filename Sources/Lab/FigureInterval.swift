/// A figure of several runs: its mean, and how far the truth may be from it.
public struct FigureInterval: Hashable, Sendable {
    /// Where the figure stands in the JSON report, as in `realtime.ttft_ms.p99`.
    public let name: String
    /// The mean over the runs.
    public let mean: Double
    /// Half the width of the 95 % interval of the mean, by Student's t distribution; 0 for one run.
    public let halfWidth: Double

    /// The interval of a sample.
    init(name: String, values: [Double]) {
        self.name = name
        let count = Double(values.count)
        let mean = values.isEmpty ? 0 : values.reduce(0, +) / count
        self.mean = mean
        guard values.count > 1 else {
            halfWidth = 0
            return
        }
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
        halfWidth = Self.quantile(degreesOfFreedom: values.count - 1) * (variance / count).squareRoot()
    }

    /// The 0.975 quantile of Student's t distribution: a table, and beyond it the expansion about the normal
    /// distribution's 1.96 to two terms, good to a thousandth there.
    static func quantile(degreesOfFreedom: Int) -> Double {
        let table = [
            12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
            2.120, 2.110, 2.101, 2.093, 2.086,
        ]
        guard degreesOfFreedom > table.count else { return table[max(degreesOfFreedom, 1) - 1] }
        let (normal, freedom) = (1.959964, Double(degreesOfFreedom))
        let cube = normal * normal * normal
        return normal + (cube + normal) / (4 * freedom)
            + (5 * cube * normal * normal + 16 * cube + 3 * normal) / (96 * freedom * freedom)
    }
}

extension PolicyResult {
    /// Every figure under its place in the JSON report.
    var figures: [(name: String, value: Double)] {
        var figures: [(name: String, value: Double)] = [
            ("realtime.good", realtime.good), ("realtime.rejected", Double(realtime.rejected)),
            ("realtime.ttft_ms.p50", realtime.ttft.p50), ("realtime.ttft_ms.p90", realtime.ttft.p90),
            ("realtime.ttft_ms.p99", realtime.ttft.p99), ("realtime.tpot_ms.p50", realtime.tpot.p50),
            ("realtime.tpot_ms.p90", realtime.tpot.p90), ("realtime.tpot_ms.p99", realtime.tpot.p99),
            ("batch.served", Double(batch.served)), ("batch.dropped", Double(batch.dropped)),
            ("batch.late", Double(batch.late)), ("batch.requests_per_s", batch.requestsPerSecond),
            ("batch.input_tokens_per_s", batch.inputTokensPerSecond),
            ("batch.output_tokens_per_s", batch.outputTokensPerSecond),
            ("batch.wasted_tokens", Double(batch.wastedTokens)), ("batch.attempts", Double(batch.attempts)),
        ]
        if let drain { figures.append(("drain.makespan_s", drain.makespanSeconds)) }
        if let surge {
            figures += [("surge.over_limit_s", surge.overLimitSeconds), ("surge.waste_share", surge.wasteShare)]
        }
        if let gate {
            figures += [
                ("gate.mean_saturation", gate.meanSaturation), ("gate.peak_overshoot", gate.peakOvershoot),
                ("gate.share_beyond", gate.shareBeyond),
            ]
        }
        let sections = [
            ("routing", routing?.members), ("herd", herd?.members), ("fairness", fairness?.members),
        ]
        for (section, members) in sections {
            for member in members ?? [] { figures.append((section + "." + member.name, member.value)) }
        }
        return figures
    }
}

/// A figure of a section of the report.
struct FigureMember {
    let name: String
    let value: Double
    let places: Int
}

extension RoutingFigures {
    var members: [FigureMember] {
        [
            .init(name: "ttft_mean_ms", value: ttftMeanMilliseconds, places: 2),
            .init(name: "tpot_mean_ms", value: tpotMeanMilliseconds, places: 3),
            .init(name: "e2e_mean_ms", value: endToEndMeanMilliseconds, places: 2),
            .init(name: "prefix_hit_ratio", value: prefixHitRatio, places: 5),
            .init(name: "imbalance", value: imbalance, places: 4),
        ]
    }
}

extension HerdFigures {
    var members: [FigureMember] { equal.members("equal") + mixed.members("mixed") }
}

extension HerdFigures.Burst {
    fileprivate func members(_ kind: String) -> [FigureMember] {
        [
            .init(name: kind + "_request_spread", value: requestSpread, places: 4),
            .init(name: kind + "_token_spread", value: tokenSpread, places: 4),
            .init(name: kind + "_last_first_token_ms", value: lastFirstTokenMilliseconds, places: 1),
        ]
    }
}

extension FairnessFigures {
    var members: [FigureMember] {
        var members: [FigureMember] = [
            .init(name: "alone_ttft_p99_ms", value: aloneTTFT99Milliseconds, places: 2),
            .init(name: "beside_ttft_p99_ms", value: besideTTFT99Milliseconds, places: 2),
            .init(name: "inflation", value: inflation, places: 4),
            .init(name: "others_rejected", value: Double(othersRejected), places: 0),
            .init(name: "jain_index", value: jainIndex, places: 4),
            .init(name: "backlogged_tenants", value: Double(backloggedTenants), places: 0),
            .init(name: "aggressor_served", value: aggressorServed, places: 4),
            .init(name: "beside_tokens_per_s", value: besideTokensPerSecond, places: 1),
            .init(name: "low_band_longest_wait_s", value: lowBand.longestWaitSeconds, places: 2),
            .init(name: "low_band_rejected", value: lowBand.rejected, places: 4),
        ]
        if let ageing = ageingLowBand {
            members += [
                .init(name: "ageing_longest_wait_s", value: ageing.longestWaitSeconds, places: 2),
                .init(name: "ageing_rejected", value: ageing.rejected, places: 4),
            ]
        }
        return members
    }
}

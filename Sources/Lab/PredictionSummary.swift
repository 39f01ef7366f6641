/// How good predictions were at one load of the prediction world, under one seed or several.
public struct PredictionSummary: Sendable {
    /// The load, and what the engines became on the way if they changed.
    public let name: String
    /// One run per seed.
    public let runs: [PredictionFindings]

    /// The figures of the runs: mean and interval over the seeds.
    public var figures: [FigureInterval] {
        guard let first = runs.first else { return [] }
        return first.figures.indices.compactMap { index in
            let values = runs.compactMap { $0.figures[index].value }
            return values.isEmpty ? nil : FigureInterval(name: first.figures[index].name, values: values)
        }
    }

    /// The figure of this name; nil if no run has it.
    func figure(_ name: String) -> FigureInterval? { figures.first { $0.name == name } }

    /// The worst of the runs by a figure that is the better the smaller it is; nil if a run lacks it.
    func largest(_ name: String) -> Double? {
        var largest: Double?
        for run in runs {
            guard let value = run.figures.first(where: { $0.name == name })?.value else { return nil }
            largest = max(value, largest ?? value)
        }
        return largest
    }
}

extension PredictionFindings {
    /// Every figure by its name in the JSON report; nil where the run has none.
    var figures: [(name: String, value: Double?)] {
        [
            ("ttft_p50_ms", ttft.p50Milliseconds), ("ttft_p90_ms", ttft.p90Milliseconds),
            ("ttft_mape", ttft.meanAbsolutePercentageError), ("ttft_median_ape", ttft.medianAbsolutePercentageError),
            ("ttft_bias", ttft.bias), ("ttft_p90_coverage", ttft.p90Coverage),
            ("tpot_mape", tpot.meanAbsolutePercentageError), ("tpot_median_ape", tpot.medianAbsolutePercentageError),
            ("tpot_bias", tpot.bias), ("tpot_p90_coverage", tpot.p90Coverage), ("stale_share", staleShare),
            ("preemptions", Double(preemptions)), ("swap_recovery_s", swap?.recoverySeconds),
            ("swap_mape_at_once", swap?.atOnce), ("swap_mape_second_minute", swap?.secondMinute),
        ]
    }
}

/// The same scenario under several seeds.
extension Lab {
    /// Runs a scenario with `options.seeds` seeds in turn.
    ///
    /// The report is that of the first seed, with every figure's mean and interval beside it.
    static func runSeeds(
        _ scenario: Scenario, options: LabOptions, files: LabFiles, wallClock: () -> Double,
        progress: (String) -> Void
    ) throws(LabError) -> LabReport {
        var reports: [LabReport] = []
        for offset in 0..<UInt64(options.seeds) {
            var single = options
            single.seed = options.seed &+ offset
            single.seeds = 1
            reports.append(
                try run(
                    scenario, options: single, files: files, wallClock: wallClock,
                    progress: { progress("\($0), seed \(single.seed)") }))
        }
        let first = reports[0]
        let policies = first.policies.indices.map { index in
            var result = first.policies[index]
            result.overSeeds = intervals(reports.map { $0.policies[index] })
            return result
        }
        return LabReport(
            scenario: scenario, options: options, traceName: first.traceName, jobName: first.jobName,
            traceSeconds: first.traceSeconds, policies: policies, calibration: first.calibration)
    }

    /// The intervals of all figures that every run has.
    private static func intervals(_ runs: [PolicyResult]) -> [FigureInterval] {
        let figures = runs.map(\.figures)
        return (figures.first ?? []).compactMap { figure in
            let values = figures.compactMap { run in run.first { $0.name == figure.name }?.value }
            return values.count == runs.count ? FigureInterval(name: figure.name, values: values) : nil
        }
    }
}

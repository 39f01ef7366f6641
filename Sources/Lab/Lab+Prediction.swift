import Basics

/// The scenario that measures predictions: no trace, no policies, but a world of its own.
extension Lab {
    /// What the engines are swapped for: one of about the same speed that weighs prompts and contexts otherwise, and one
    /// that is two to three times as slow.
    private static let swaps = ["llama-8b-h100", "llama-70b-h100x4"]
    private static let fewestRequests = 2000

    static func runPrediction(
        _ scenario: Scenario, options: LabOptions, progress: (String) -> Void
    ) throws(LabError) -> LabReport {
        var summaries: [PredictionSummary] = []
        let loads = PredictionLoad.allCases.map { (load: $0, swap: String?.none) }
        for (load, swap) in loads + swaps.map({ (load: .median, swap: $0) }) {
            let name = load.rawValue + (swap.map { ", then " + $0 } ?? "")
            var runs: [PredictionFindings] = []
            for offset in 0..<UInt64(max(1, options.seeds)) {
                let seed = options.seed &+ offset
                progress("\(name), seed \(seed)")
                runs.append(
                    try PredictionWorld.run(
                        load: load, seed: seed, requests: requests(load, options.duration), swapsTo: swap))
            }
            summaries.append(PredictionSummary(name: name, runs: runs))
        }
        return LabReport(scenario: scenario, options: options, traceName: "generated mix", predictions: summaries)
    }

    /// The usual number of requests, or as many as arrive in `duration`.
    private static func requests(_ load: PredictionLoad, _ duration: TimeSpan?) -> Int? {
        guard let duration else { return nil }
        let arrivals = Int(min(duration.seconds * load.requestsPerSecond, 1e6))
        return min(max(arrivals, fewestRequests), load.requests)
    }
}

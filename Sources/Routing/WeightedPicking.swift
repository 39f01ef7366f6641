import Basics
import Pool

/// The pickers at work.
extension WeightedPipeline {
    /// Names the endpoint and its fallbacks from `candidates` and `totals`.
    mutating func choose(into decision: inout WeightedDecision, using generator: inout SeededGenerator) {
        var method = policy.picker.method
        if method == .weightedRandom {
            let rows = candidates.indices
            if rows.allSatisfy({ totals[$0] <= 0 }) {
                method = .random
            } else {
                // Efraimidis and Spirakis, 2006: the largest of U^(1/w) is drawn in proportion to w. The logarithm keeps
                // the order and does not underflow. Candidates without weight come last.
                for row in rows {
                    let draw = max(generator.unit(), 1e-10)
                    totals[row] = totals[row] > 0 ? naturalLogarithm(draw) / totals[row] : -.infinity
                }
                method = .maxScore
            }
        }
        let count = min(policy.picker.maxEndpoints, candidates.count)
        if method == .maxScore, count == 1 {
            decision.endpoint = EndpointID(candidates[highestRow(using: &generator)])
            return
        }
        // Drawing without replacement is a shuffle cut short; a shuffle before a stable selection draws ties evenly.
        let drawn = method == .random ? count : candidates.count
        for row in 0..<drawn {
            let other = Int.random(in: row..<candidates.count, using: &generator)
            candidates.swapAt(row, other)
            totals.swapAt(row, other)
        }
        if method == .maxScore {
            for row in 0..<count {
                var highest = row
                for other in (row + 1)..<candidates.count where totals[other] > totals[highest] { highest = other }
                candidates.swapAt(row, highest)
                totals.swapAt(row, highest)
            }
        }
        decision.endpoint = EndpointID(candidates[0])
        decision.fallbacks = candidates[1..<count].map { EndpointID($0) }
    }

    /// A row with the highest total, drawn evenly among equals in one pass.
    private func highestRow(using generator: inout SeededGenerator) -> Int {
        var (highest, equals) = (0, 1)
        for row in 1..<max(1, candidates.count) {
            if totals[row] > totals[highest] {
                (highest, equals) = (row, 1)
            } else if totals[row] == totals[highest] {
                equals += 1
                if Int.random(in: 0..<equals, using: &generator) == 0 { highest = row }
            }
        }
        return highest
    }
}

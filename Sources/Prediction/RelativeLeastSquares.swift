/// Recursive least squares with forgetting (shared reference `scheduling.md` 4.6): `y = theta * phi`, fitted to small
/// relative error.
///
/// Each sample is weighted with `1 / (y * max(|y - prediction|, delta * y))`: iteratively reweighted least squares for the
/// least absolute error relative to the outcome, which bounds what a single sample can do. The covariance never exceeds
/// the prior one, so directions that the traffic does not excite stay near the prior however long the process runs.
struct RelativeLeastSquares: Sendable {
    /// Terms of a basis.
    static let terms = 10
    typealias Vector = InlineArray<10, Double>

    /// Outcomes below this are weighted as if they were this large, in the unit of the outcome.
    private static let smallestOutcome = 2.0
    /// Relative errors below this count alike.
    private static let delta = 0.1

    private(set) var coefficients: Vector
    private(set) var samples = 0
    private var covariance = InlineArray<100, Double>(repeating: 0)
    private let prior: Vector
    private let deviations: Vector

    /// Starts at `prior`, believed to within `deviations`, term by term.
    init(prior: Vector, deviations: Vector) {
        coefficients = prior
        self.prior = prior
        self.deviations = deviations
        resetCovariance()
    }

    /// The prediction for a basis.
    func value(_ basis: borrowing Vector) -> Double {
        var sum = 0.0
        for term in 0..<Self.terms { sum += coefficients[term] * basis[term] }
        return sum
    }

    /// Learns one outcome.
    ///
    /// - Parameter forgetting: 0...1; the weight of what is known already.
    mutating func observe(_ basis: borrowing Vector, outcome: Double, forgetting: Double) {
        let error = outcome - value(basis)
        let scale = max(outcome, Self.smallestOutcome)
        let weight = 1 / (scale * max(error.magnitude, Self.delta * scale))
        var gain = Vector(repeating: 0)
        var spread = 0.0
        for row in 0..<Self.terms {
            var sum = 0.0
            for column in 0..<Self.terms { sum += covariance[row * Self.terms + column] * basis[column] }
            gain[row] = sum
            spread += sum * basis[row]
        }
        let denominator = forgetting / weight + spread
        guard denominator.isFinite, denominator > 0, error.isFinite, spread >= 0 else {
            resetCovariance()
            return
        }
        for row in 0..<Self.terms { coefficients[row] += gain[row] * error / denominator }
        for row in 0..<Self.terms {
            for column in row..<Self.terms {
                let index = row * Self.terms + column
                let value = (covariance[index] - gain[row] * gain[column] / denominator) / forgetting
                covariance[index] = value
                covariance[column * Self.terms + row] = value
            }
        }
        samples += 1
        boundCovariance()
    }

    /// Doubts what has been learned, so that the next samples count for much.
    mutating func doubt() { resetCovariance() }

    private mutating func resetCovariance() {
        covariance = InlineArray(repeating: 0)
        for term in 0..<Self.terms {
            covariance[term * Self.terms + term] = deviations[term] * deviations[term]
            if !coefficients[term].isFinite { coefficients[term] = prior[term] }
        }
    }

    /// Scales rows and columns whose variance exceeds the prior one; a congruence keeps the matrix positive.
    private mutating func boundCovariance() {
        for term in 0..<Self.terms {
            let variance = covariance[term * Self.terms + term]
            let limit = deviations[term] * deviations[term]
            if limit == 0 { continue }
            guard variance.isFinite, variance > 0 else {
                resetCovariance()
                return
            }
            guard variance > limit else { continue }
            let factor = (limit / variance).squareRoot()
            for other in 0..<Self.terms {
                covariance[term * Self.terms + other] *= factor
                covariance[other * Self.terms + term] *= factor
            }
        }
    }
}

import Basics
import Testing

@testable import Prediction

/// Ratios of which the 0.9 quantile is about 1.3.
private func learned(seed: UInt64) -> ConformalRatios {
    var ratios = ConformalRatios()
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<1000 {
        let ratio = exponential(0.2 * standardNormal(using: &generator))
        ratios.observe(ratio, usedFactor: ratios.factors[0])
    }
    return ratios
}

@Test func aMissCountsOnceWheneverItIsHeard() {
    var late = learned(seed: 1)
    var early = late
    let before = late.factors[0]
    late.observe(2, usedFactor: before)
    early.missed(1)
    #expect(early.factors[0] > before)
    early.observe(2, usedFactor: before, isKnownMiss: true)
    #expect(early.factors == late.factors)
}

@Test func missesMoveANarrowQuantileLessThanAWideOne() {
    var narrow = ConformalRatios()
    var wide = ConformalRatios()
    var generator = SeededGenerator(seed: 4)
    for _ in 0..<1000 {
        let normal = standardNormal(using: &generator)
        narrow.observe(exponential(0.08 * normal), usedFactor: narrow.factors[0])
        wide.observe(exponential(0.32 * normal), usedFactor: wide.factors[0])
    }
    let before = (narrow: narrow.factors[0], wide: wide.factors[0])
    narrow.missed(10)
    wide.missed(10)
    let moved = (
        narrow: naturalLogarithm(narrow.factors[0] / before.narrow),
        wide: naturalLogarithm(wide.factors[0] / before.wide)
    )
    // Both quantiles are 1.28 deviations wide, so they move in proportion to these: 10 * 0.9 * 0.02 of their width.
    #expect(abs(moved.wide / moved.narrow - 4) < 0.01)
    #expect(abs(moved.wide / (0.18 * 1.2816 * 0.32) - 1) < 0.15)
}

@Test func aFactorIsNotMovedWithoutEnd() {
    var ratios = learned(seed: 2)
    let before = ratios.factors[0]
    ratios.missed(100_000)
    let spread = naturalLogarithm(before)
    #expect(ratios.factors[0] > before && naturalLogarithm(ratios.factors[0]) < 8 * spread)
}

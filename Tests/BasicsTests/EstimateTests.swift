import Basics
import Testing

@Suite struct EstimateTests {
    @Test func aSteadyStreamConvergesOnItsRate() {
        var rate = RateEstimate(timeConstant: .seconds(2))
        for index in 0..<2000 { rate.add(7, now: Instant(seconds: Double(index) / 100)) }
        #expect(abs(rate.perSecond(now: Instant(seconds: 20)) - 700) < 15)
    }

    @Test func theRateDecaysWhenNothingComes() {
        var rate = RateEstimate(timeConstant: .seconds(2))
        rate.add(100, now: .zero)
        #expect(abs(rate.perSecond(now: .zero) - 50) < 1e-9)
        #expect(abs(rate.perSecond(now: Instant(seconds: 2)) - 50 / 2.718281828) < 1e-3)
    }

    @Test func percentilesInterpolate() {
        let sample = Percentiles([4, 1, 3, 2])
        #expect(sample.value(at: 0) == 1)
        #expect(sample.value(at: 0.5) == 2.5)
        #expect(sample.value(at: 1) == 4)
        #expect(sample.mean == 2.5)
        #expect(Percentiles([]).value(at: 0.5) == nil)
    }

    @Test func theStepTimeOfTheMeasuredAnchorIsReproduced() {
        let model = StepTimeModel(
            baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
            perPrefillTokenMilliseconds: 0.0202)
        let step = model.stepMilliseconds(decodes: 128, contextTokens: 128 * 1024, prefillTokens: 0)
        #expect(abs(step - 16.9) < 0.1)
    }

    @Test func equalSeedsGiveEqualSequencesAndOthersDoNot() {
        var first = SeededGenerator(seed: 7)
        var second = SeededGenerator(seed: 7)
        var other = SeededGenerator(seed: 8)
        let sequence = (0..<100).map { _ in first.next() }
        #expect(sequence == (0..<100).map { _ in second.next() })
        #expect(sequence != (0..<100).map { _ in other.next() })
    }

    @Test func unitDrawsAreEvenAndNormalDrawsAreStandard() {
        var generator = SeededGenerator(seed: 1)
        let units = Percentiles((0..<20_000).map { _ in generator.unit() })
        #expect(abs((units.value(at: 0.5) ?? 0) - 0.5) < 0.02)
        #expect((units.value(at: 1) ?? 2) < 1 && (units.value(at: 0) ?? -1) >= 0)
        let normals = Percentiles((0..<20_000).map { _ in standardNormal(using: &generator) })
        #expect(abs(normals.mean ?? 1) < 0.03)
        #expect(abs((normals.value(at: 0.975) ?? 0) - 1.96) < 0.06)
    }

    @Test func timeArithmeticClampsInsteadOfTrapping() {
        #expect(TimeSpan.seconds(.infinity) > .seconds(1e9))
        #expect(TimeSpan.seconds(.nan) == .zero)
        #expect((Instant(seconds: 3) - Instant(seconds: 1)).milliseconds == 2000)
        #expect(Instant(seconds: 1) + .milliseconds(500) == Instant(seconds: 1.5))
        #expect(TimeSpan.seconds(2) * 1.5 == .seconds(3))
    }
}

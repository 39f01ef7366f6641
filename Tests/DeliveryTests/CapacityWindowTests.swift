import Basics
import Delivery
import Testing

@Suite struct CapacityWindowTests {
    private var window = CapacityWindow()
    private let now = Instant(seconds: 100)

    @Test mutating func itIsOpenUntilTheFirstRefusal() {
        #expect(window.size == nil && window.admits(outstanding: 1_000_000, now: now))
        window.answered(now: now)
        #expect(window.size == nil)
    }

    @Test mutating func aRefusalHalvesWhatWasOut() {
        window.refused(sentAt: now, outstanding: 9, pause: nil, now: now)
        #expect(window.size == 5)
        #expect(window.admits(outstanding: 4, now: now) && !window.admits(outstanding: 5, now: now))
        #expect(window.opensAt(now: now) == nil, "answers open it, not the time")
    }

    @Test mutating func theRefusalsOfOneFlightHalveItOnce() {
        for outstanding in (0..<10).reversed() {
            window.refused(sentAt: now, outstanding: outstanding, pause: nil, now: now + .milliseconds(5))
        }
        #expect(window.size == 5)
        window.refused(sentAt: now + .milliseconds(6), outstanding: 4, pause: nil, now: now + .milliseconds(9))
        #expect(window.size == 2, "what was sent since then is another flight")
    }

    @Test mutating func itNeverClosesAltogether() {
        for second in 0..<20 {
            let now = now + .seconds(Double(second))
            window.refused(sentAt: now, outstanding: 0, pause: nil, now: now)
        }
        #expect(window.size == 1 && window.admits(outstanding: 0, now: now))
        #expect(!window.admits(outstanding: 1, now: now))
    }

    @Test mutating func itGrowsByOneForEachWindowOfAnswers() {
        window.refused(sentAt: now, outstanding: 19, pause: nil, now: now)
        for size in 10..<20 {
            #expect(window.size == size)
            for _ in 0...size { window.answered(now: now) }
        }
    }

    @Test mutating func afterTenQuietSecondsItGrowsByOneForEachAnswer() {
        window.refused(sentAt: now, outstanding: 9, pause: nil, now: now)
        for _ in 0..<100 { window.answered(now: now + .seconds(10)) }
        #expect(window.size == 105)
        for _ in 0..<4096 { window.answered(now: now + .seconds(11)) }
        #expect(window.size == nil && window.admits(outstanding: 1_000_000, now: now + .seconds(11)))
    }

    @Test mutating func aQuietMinuteMakesItNoLimitAnyMore() {
        window.refused(sentAt: now, outstanding: 0, pause: nil, now: now)
        window.answered(now: now + .seconds(9))
        #expect(window.size == 2)
        window.answered(now: now + .seconds(60))
        #expect(window.size == nil)
    }

    @Test mutating func aPauseShutsItUntilItsEndAndTheLongestOneCounts() {
        window.refused(sentAt: now, outstanding: 3, pause: .seconds(10), now: now)
        window.refused(sentAt: now, outstanding: 2, pause: .seconds(1), now: now + .seconds(1))
        #expect(window.opensAt(now: now) == now + .seconds(10))
        #expect(!window.admits(outstanding: 0, now: now + .seconds(9.999)))
        window.answered(now: now)
        #expect(!window.admits(outstanding: 0, now: now + .seconds(9.999)), "what the target asked for is kept to")
        #expect(window.admits(outstanding: 0, now: now + .seconds(10)))
        #expect(window.opensAt(now: now + .seconds(10)) == nil)
    }
}

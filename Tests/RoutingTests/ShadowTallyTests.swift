import Testing

@testable import Routing

@Suite struct ShadowTallyTests {
    @Test func agreementsRegretAndImprovementsAreCounted() {
        var tally = ShadowTally()
        tally.note(live: 1, shadow: 1, liveCost: 10, shadowCost: 10)
        tally.note(live: 1, shadow: 2, liveCost: 10, shadowCost: 25)
        tally.note(live: 0, shadow: 2, liveCost: 10, shadowCost: 4)
        #expect(tally.decisions == 3 && tally.agreements == 1 && tally.improvements == 1)
        #expect(tally.regretMilliseconds == 15 - 6)
    }

    @Test(arguments: [(Float.infinity, Float(1)), (1, .infinity), (.infinity, .infinity), (.nan, 1)])
    func costsThatAreNoNumbersCountAsDecisionsOnly(live: Float, shadow: Float) {
        var tally = ShadowTally()
        tally.note(live: 0, shadow: 1, liveCost: live, shadowCost: shadow)
        #expect(tally.decisions == 1 && tally.agreements == 0 && tally.improvements == 0)
        #expect(tally.regretMilliseconds == 0)
    }
}

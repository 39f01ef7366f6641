import Basics
import Testing

@testable import Lab

/// Who was backlogged throughout a window, and what each of those was served in it.
@Suite struct BackloggedServiceTests {
    private func request(
        _ flow: String, _ arrival: Int, waitsUntil end: Int?, answered: (first: Int, last: Int)? = nil,
        costs: (prompt: Double, answer: Double) = (0, 0)
    ) -> BackloggedService.Request {
        BackloggedService.Request(
            flow: flow, arrival: Instant(seconds: Double(arrival)), waitEnded: end.map { Instant(seconds: Double($0)) },
            answered: answered.map { (Instant(seconds: Double($0.first)), Instant(seconds: Double($0.last))) },
            promptCost: costs.prompt, answerCost: costs.answer)
    }

    private let window = BackloggedService(from: Instant(seconds: 10), to: Instant(seconds: 20))

    @Test func serviceIsCountedAsFarAsItFallsIntoTheWindow() {
        let costs = window.costs(of: [
            // Half of the prompt and nothing of the answer; all of the prompt and three tenths of the answer.
            request("a", 3, waitsUntil: 19, answered: (21, 31), costs: (20, 100)),
            request("a", 5, waitsUntil: 15, answered: (17, 27), costs: (20, 100)),
            // Half of the answer; its prompt came before the window.
            request("a", 0, waitsUntil: 2, answered: (6, 14), costs: (20, 100)),
            request("a", 12, waitsUntil: nil),
        ])
        #expect(costs == [10 + 20 + 30 + 50])
    }

    @Test func whoHadNothingWaitingForAMomentIsNotBacklogged() {
        let served = (first: 12, last: 14)
        for (next, isBacklogged) in [(11, true), (12, true), (13, false)] {
            let costs = window.costs(of: [
                request("a", 9, waitsUntil: 12, answered: served, costs: (0, 7)),
                request("a", next, waitsUntil: 20),
            ])
            #expect(costs == (isBacklogged ? [7] : []))
        }
        #expect(window.costs(of: [request("late", 11, waitsUntil: 30)]).isEmpty)
        #expect(window.costs(of: [request("early", 9, waitsUntil: 19)]).isEmpty)
    }

    @Test func whatIsInFlightIsNoBacklog() {
        // A new request every second, each begun at once and answered half a minute later.
        let prompt = (0..<30).map { request("prompt", $0, waitsUntil: $0, answered: ($0, $0 + 30), costs: (1, 1)) }
        #expect(window.costs(of: prompt).isEmpty)
    }

    @Test func whoIsTurnedAwayAfterAWaitHasWaitedAndGotNothing() {
        #expect(
            window.costs(of: [request("away", 0, waitsUntil: 30), request("other", 0, waitsUntil: nil)]) == [0, 0])
    }

    @Test(arguments: UInt64(1)...20)
    func itAgreesWithLookingAtEverySecond(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        func below(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }
        let requests = (0..<60).map { _ in
            let arrival = below(30)
            let end = arrival + below(12)
            let first = end + 1 + below(5)
            let isServed = below(4) > 0
            return request(
                "flow-\(below(6))", arrival, waitsUntil: below(10) > 0 ? end : nil,
                answered: isServed ? (first, first + 1 + below(20)) : nil,
                costs: (Double(below(1000)), Double(below(1000))))
        }
        /// The middles of the seconds of the window.
        let moments = (10..<20).map { Instant(seconds: Double($0) + 0.5) }
        func part(_ begin: Instant, _ end: Instant) -> Double {
            Double(moments.count { begin < $0 && $0 < end }) / (end - begin).seconds
        }
        let expected = (0..<6).compactMap { number -> Double? in
            let own = requests.filter { $0.flow == "flow-\(number)" }
            let isBacklogged = moments.allSatisfy { moment in
                own.contains { $0.arrival < moment && moment < $0.waitEnded ?? .distantFuture }
            }
            guard isBacklogged else { return nil }
            return own.reduce(0) { sum, request in
                guard let begun = request.waitEnded, let answered = request.answered else { return sum }
                return sum + request.promptCost * part(begun, answered.first)
                    + request.answerCost * part(answered.first, answered.last)
            }
        }
        let costs = window.costs(of: requests)
        #expect(costs.count == expected.count)
        for (cost, expected) in zip(costs, expected) { #expect(abs(cost - expected) < 1e-6) }
    }
}

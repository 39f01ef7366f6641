import Admission
import Basics
import Testing

/// Which flows get far more than the others, and when they may start all the same.
@Suite struct IsolationTests {
    private func room(tolerance: Double? = 0.05, weights: [String: Double] = [:]) -> WaitingRoom {
        var configuration = AdmissionConfiguration(maxRequestsPerBand: 1_000_000, timeToLive: .seconds(1e6))
        configuration.isolationTolerance = tolerance
        configuration.flowWeights = weights
        configuration.quantumTokens = 500
        return WaitingRoom(configuration: configuration)
    }

    /// Starts requests at so many per second and flow, for a while, without anybody waiting.
    private func run(_ room: inout WaitingRoom, _ rates: [String: Int], from: Double, seconds: Double) {
        for tick in 0..<Int(seconds * 100) {
            let now = from + Double(tick) / 100
            for (flow, rate) in rates.sorted(by: { $0.key < $1.key }) where tick * rate % 100 < rate {
                room.dispatchedWithoutWaiting(
                    request(0, flow: flow, at: now, input: 1000), now: Instant(seconds: now))
            }
        }
    }

    private func isAbove(_ room: inout WaitingRoom, _ flow: String, at seconds: Double) -> Bool {
        standing(&room, flow, at: seconds) == .aboveShare
    }

    private func standing(_ room: inout WaitingRoom, _ flow: String, at seconds: Double) -> FlowStanding {
        room.standing(ofFlow: flow, priority: 0, now: Instant(seconds: seconds))
    }

    @Test func aFlowThatGetsTenTimesAsMuchAsTheOthersIsAboveItsShareAndTheyAreNot() {
        var room = room()
        run(&room, ["a": 1, "b": 1, "c": 1, "heavy": 10], from: 0, seconds: 30)
        #expect(isAbove(&room, "heavy", at: 30))
        for flow in ["a", "b", "c", "unknown"] { #expect(!isAbove(&room, flow, at: 30)) }
        let part = room.othersPart(priority: 0, now: Instant(seconds: 30))
        #expect(abs(part - 3.0 / 13) < 0.05)
    }

    @Test func equalsAreNotAboveTheirSharesNorIsWhoIsAlone() {
        var room = room()
        run(&room, ["a": 2, "b": 2, "c": 3], from: 0, seconds: 30)
        for flow in ["a", "b", "c"] { #expect(!isAbove(&room, flow, at: 30)) }
        var alone = self.room()
        run(&alone, ["only": 20], from: 0, seconds: 30)
        #expect(!isAbove(&alone, "only", at: 30))
        #expect(alone.othersPart(priority: 0, now: Instant(seconds: 30)) == 1)
    }

    @Test func aWeightIsAShareAndWithoutAToleranceNobodyIsAboveIt() {
        var weighted = room(weights: ["heavy": 10])
        var unlimited = room(tolerance: nil)
        for flow in ["weighted", "unlimited"] {
            let rates = ["a": 1, "b": 1, "heavy": 10]
            if flow == "weighted" { run(&weighted, rates, from: 0, seconds: 30) }
            if flow == "unlimited" { run(&unlimited, rates, from: 0, seconds: 30) }
        }
        #expect(!isAbove(&weighted, "heavy", at: 30))
        #expect(!isAbove(&unlimited, "heavy", at: 30))
    }

    @Test func itIsOverOnceTheOthersAskForNothingAnyMore() {
        var room = room()
        run(&room, ["a": 1, "b": 1, "heavy": 10], from: 0, seconds: 30)
        #expect(isAbove(&room, "heavy", at: 30))
        run(&room, ["heavy": 10], from: 30, seconds: 12)
        #expect(!isAbove(&room, "heavy", at: 42))
    }

    @Test func whoComesDownToTheAverageMayGoOnAndIsForgottenIfItAsksForNoMore() {
        var room = room()
        run(&room, ["a": 1, "b": 1, "heavy": 10], from: 0, seconds: 30)
        run(&room, ["a": 1, "b": 1], from: 30, seconds: 25)
        #expect(standing(&room, "heavy", at: 55) == .free)
        // One request more than the others have does not make it a heavy one again.
        run(&room, ["heavy": 2], from: 55, seconds: 1)
        #expect(!isAbove(&room, "heavy", at: 56))
    }

    @Test func whoAsksForMoreIsKeptBackAsLongAsItHasAtLeastHalfOfWhatTheOthersHave() {
        var room = room()
        run(&room, ["a": 1, "b": 1, "heavy": 10], from: 0, seconds: 30)
        _ = room.admit(request(1, flow: "heavy", at: 30))
        // The others go on, it gets nothing: its part, ten times theirs, is halved every 7 s.
        var seen: [FlowStanding] = []
        for second in 30..<80 {
            run(&room, ["a": 1, "b": 1], from: Double(second), seconds: 1)
            let now = standing(&room, "heavy", at: Double(second + 1))
            if seen.last != now { seen.append(now) }
        }
        #expect(seen == [.aboveShare, .withinShare, .free])
        // 1000 tokens a second, forgotten over 10 s, are 10 000 for each of the others.
        for (tokens, expected) in [(6000, FlowStanding.withinShare), (8000, .aboveShare)] {
            room.dispatchedWithoutWaiting(
                request(0, flow: "heavy", at: 80, input: tokens), now: Instant(seconds: 80))
            #expect(standing(&room, "heavy", at: 80) == expected)
        }
    }

    @Test func whoIsAboveItsShareCanBeMadeToWaitBehindAllWhoAreNot() {
        var room = room()
        run(&room, ["a": 1, "b": 1, "heavy": 10], from: 0, seconds: 30)
        for id in 1...3 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "heavy", at: 30, input: 100)) }
        for id in 4...9 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "a", at: 30, input: 3000)) }
        let outcomes = ["a", "heavy", "heavy"].map { room.deferTurn(flow: $0, priority: 0) }
        #expect(outcomes == [false, true, false], "a is not above its share, and heavy can only go behind once")
        var resumed = room
        #expect(room.dispatchAll(at: 30).prefix(6).allSatisfy { $0 >= 4 }, "far beyond a's turn")
        resumed.resumeTurns()
        #expect(resumed.dispatchAll(at: 30).prefix(4).contains { $0 < 4 }, "both take turns")
    }

    // MARK: The gate

    private let model = StepTimeModel(
        baseMilliseconds: 5, perDecodeMilliseconds: 1, perContextTokenMilliseconds: 0.001,
        perPrefillTokenMilliseconds: 0.02)

    /// A gate whose others wait 100 ms, 60 of them for others, and are half of what is started: 20 ms are tolerated.
    private func gate() -> IsolationGate {
        var gate = IsolationGate(endpoints: 2, tolerance: 0.1)
        gate.othersAnswered(ttftMilliseconds: 100, prefillMilliseconds: 40)
        return gate
    }

    private func mayStart(
        _ gate: inout IsolationGate, _ standing: FlowStanding = .aboveShare, at seconds: Double, context: Int = 1000,
        queue: Double = 10, part: Double = 0.5
    ) -> Bool {
        gate.mayStart(
            at: 0, standing: standing, contextTokens: context, queueMilliseconds: queue, model: model, othersPart: part,
            now: Instant(seconds: seconds))
    }

    private func start(_ gate: inout IsolationGate, at seconds: Double, prefill: Double = 0, ttft: Double = 10) {
        gate.started(
            at: 0, contextTokens: 1000, prefillMilliseconds: prefill, ttftMilliseconds: ttft,
            now: Instant(seconds: seconds))
    }

    @Test func whatDecodesMayDelayAFirstTokenByWhatIsTolerated() {
        var gate = gate()
        // A request and its 1000 tokens of context are 2 ms per step, 4 ms per first token: five make 20.
        for _ in 0..<5 {
            #expect(mayStart(&gate, at: 1))
            start(&gate, at: 1)
        }
        #expect(!mayStart(&gate, at: 2))
        #expect(mayStart(&gate, at: 2, part: 0.25), "with fewer others more is tolerated")
        gate.ended(at: 0, contextTokens: 1000)
        #expect(mayStart(&gate, at: 3))
    }

    @Test func aPromptIsPaidForWithTimeAsTheSquareOfItsLength() {
        var gate = gate()
        #expect(mayStart(&gate, at: 10))
        // Saved: 20 ms x 1 s. This one costs 100 x (350 - 50) = 30 000 and leaves -10 000; its decode takes 4 of the
        // 20 ms. So 16 ms per ms make up for it in 625 ms.
        start(&gate, at: 10, prefill: 100, ttft: 350)
        #expect(!mayStart(&gate, at: 10.62))
        #expect(mayStart(&gate, at: 10.63))
    }

    @Test func aPromptDelaysLongerTheMoreOthersFollowIt() {
        var gate = gate()
        // For a minute half of the time goes into prompts: twice as long until the queue is empty again. So the same prompt
        // costs 60 000 and leaves -40 000, which 16 ms per ms make up for in 2.5 s.
        for tick in 0..<600 {
            gate.promptStarted(at: 0, prefillMilliseconds: 50, now: Instant(seconds: Double(tick) / 10))
        }
        #expect(mayStart(&gate, at: 60))
        start(&gate, at: 60, prefill: 100, ttft: 350)
        #expect(!mayStart(&gate, at: 62.3))
        #expect(mayStart(&gate, at: 62.7))
    }

    @Test func itStartsWhereTheQueueIsNoLongerThanTheOthersFindIt() {
        var gate = gate()
        #expect(mayStart(&gate, at: 1, queue: 60))
        #expect(!mayStart(&gate, at: 1, queue: 61))
    }

    @Test func whoHasNoMoreThanTheOthersNeedsNoMoreThanAShortQueue() {
        var gate = gate()
        start(&gate, at: 10, prefill: 1000, ttft: 2000)
        for (standing, mayStartAt60, mayStartAt61) in [
            (FlowStanding.aboveShare, false, false), (.withinShare, true, false), (.free, true, true),
        ] {
            #expect(mayStart(&gate, standing, at: 10, queue: 60) == mayStartAt60)
            #expect(mayStart(&gate, standing, at: 10, queue: 61) == mayStartAt61)
        }
    }

    @Test func withoutOthersThereIsNothingToKeepFrom() {
        var gate = IsolationGate(endpoints: 2, tolerance: 0)
        #expect(mayStart(&gate, at: 1, queue: 1e6), "nobody has been seen yet")
        gate.othersAnswered(ttftMilliseconds: 100, prefillMilliseconds: 40)
        #expect(!mayStart(&gate, at: 1))
        #expect(mayStart(&gate, at: 1, queue: 1e6, part: 0))
    }
}

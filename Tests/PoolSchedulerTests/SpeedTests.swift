import Basics
import Pool
import PoolScheduler
import Testing

/// Endpoints that are faster than configured, seen through the whole scheduler.
@Suite struct SpeedTests {
    private func short(
        _ id: UInt64, priority: Int = -1, isMessage: Bool = true, isOneSequence: Bool = true
    ) -> PoolRequest {
        PoolRequest(
            id: id, priority: priority, promptTokens: 250, maxOutputTokens: 16, isMessage: isMessage, streams: false,
            isOneSequence: isOneSequence)
    }

    /// Serves messages for `seconds` at an endpoint that takes `residence` for each, and returns how many it served.
    private func serve(
        _ scheduler: inout PoolScheduler, from start: Double = 0, seconds: Double, residence: TimeSpan,
        isOneSequence: Bool = true
    ) -> Int {
        var now = Instant(seconds: start)
        let end = Instant(seconds: start + seconds)
        var nextTick = now
        var nextID = UInt64(start * 1e6)
        var running: [(id: UInt64, ends: Instant)] = []
        var served = 0
        func note(_ actions: [SchedulerAction]) { running += actions.started.map { ($0, now + residence) } }
        while now < end {
            while scheduler.waitingSheddable < 64 {
                nextID += 1
                note(scheduler.submit(short(nextID, isOneSequence: isOneSequence), now: now))
            }
            if let first = running.first, first.ends <= nextTick {
                running.removeFirst()
                now = first.ends
                served += 1
                note(scheduler.finished(first.id, AnswerFacts(outputTokens: 16), now: now))
            } else {
                now = nextTick
                nextTick = nextTick + .milliseconds(50)
                note(scheduler.tick(now: now))
            }
        }
        for request in running { _ = scheduler.cancelled(request.id, now: now) }
        return served
    }

    @Test func anInstantEndpointIsNotPacedForTheConfiguredOne() {
        var scheduler = makeScheduler()
        let paced = serve(&scheduler, seconds: 10, residence: .milliseconds(200))
        // 16 tokens in 200 ms are about what the configured engine needs, so no such factor is believed.
        #expect(paced > 600)
        #expect((0.25...4).contains(scheduler.endpoints[0].capacity.stepTime.baseMilliseconds / 6.86))
        _ = serve(&scheduler, from: 10, seconds: 0.5, residence: .milliseconds(1))
        #expect(serve(&scheduler, from: 20, seconds: 0.1, residence: .milliseconds(1)) > 500)
        #expect(scheduler.endpoints[0].capacity.stepTime.baseMilliseconds < testModel.baseMilliseconds / 20)
    }

    @Test func choicesThatAreGeneratedSideBySideProveNothing() {
        var scheduler = makeScheduler()
        _ = serve(&scheduler, seconds: 0.5, residence: .milliseconds(1), isOneSequence: false)
        #expect(scheduler.endpoints[0].capacity.stepTime == testModel)
    }

    @Test func anEndpointThatGoesDownHasToProveItselfAnew() {
        var scheduler = makeScheduler()
        _ = serve(&scheduler, seconds: 0.5, residence: .milliseconds(1))
        #expect(scheduler.endpoints[0].capacity.stepTime != testModel)
        _ = scheduler.endpointChanged(EndpointID(0), isUp: false, now: Instant(seconds: 10))
        #expect(scheduler.endpoints[0].capacity.stepTime == testModel)
    }

    @Test func slowAnswersRefuteTheBelief() {
        var scheduler = makeScheduler()
        _ = serve(&scheduler, seconds: 0.5, residence: .milliseconds(1))
        _ = serve(&scheduler, from: 10, seconds: 20, residence: .milliseconds(200))
        // It was instant with next to nothing aboard, and is slow with hundreds: what they take together is what counts.
        func step(_ model: StepTimeModel) -> Double {
            model.stepMilliseconds(decodes: 200, contextTokens: 200 * 258, prefillTokens: 0)
        }
        #expect((0.25...4).contains(step(scheduler.endpoints[0].capacity.stepTime) / step(testModel)))
    }

    @Test func realtimeAnswersAreEvidenceToo() {
        var scheduler = makeScheduler()
        for id in 1...200 {
            let now = Instant(seconds: Double(id))
            _ = scheduler.submit(chat(UInt64(id)), now: now)
            _ = scheduler.finished(UInt64(id), AnswerFacts(outputTokens: 200), now: now + .milliseconds(20))
        }
        #expect(scheduler.endpoints[0].capacity.stepTime != testModel)
    }
}

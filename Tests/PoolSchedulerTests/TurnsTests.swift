import Admission
import Basics
import Harvest
import Pool
import PoolScheduler
import Testing

/// Who goes next while the pool is full, and who is told to come back later.
@Suite struct TurnsTests {
    private func chat(_ id: UInt64, of flow: String, promptTokens: Int = 1000) -> PoolRequest {
        PoolRequest(
            id: id, priority: 0, promptTokens: promptTokens, maxOutputTokens: 200, runsToLimit: true, flow: flow)
    }

    @Test func aTenantWithTenTimesTheRequestsDoesNotStarveTheOthers() {
        var scheduler = makeScheduler(concurrency: 1)
        _ = scheduler.submit(chat(1, of: "other"), now: .zero)
        for id in 100..<300 { #expect(scheduler.submit(chat(UInt64(id), of: "large"), now: .zero).isEmpty) }
        for id in 2..<22 { #expect(scheduler.submit(chat(UInt64(id), of: "small"), now: .zero).isEmpty) }
        var running: UInt64 = 1
        var small = 0
        for start in 1...40 {
            let now = Instant(seconds: Double(start) / 10)
            let started = scheduler.finished(running, AnswerFacts(outputTokens: 200), now: now).started
            #expect(started.count == 1)
            running = started.first ?? 0
            if running < 100 { small += 1 }
            #expect(abs(2 * small - start) <= 6, "both have got the same, but for a quantum, after \(start) starts")
        }
    }

    /// A label that saturates its endpoints must not stop those who may go elsewhere.
    @Test func whoMayOnlyGoToAFullEndpointHoldsUpNobodyElse() {
        var scheduler = makeScheduler(endpoints: 2)
        var id: UInt64 = 1
        repeat {
            var canary = chat(id, of: "canary", promptTokens: 10_000)
            canary.allowedEndpoints = [EndpointID(0)]
            _ = scheduler.submit(canary, now: .zero)
            id += 1
        } while scheduler.queueDepths.isEmpty && id < 200
        #expect(scheduler.queueDepths.count == 1, "the canary's endpoint is full, and not for want of places")
        _ = scheduler.submit(chat(1000, of: "other"), now: .zero)
        // At once: in a step's time there may be room for the canary too.
        let started = scheduler.tick(now: Instant(seconds: 0.001)).started
        #expect(started == [1000] || scheduler.endpoints[1].load.requests == 1)
        #expect(scheduler.queueDepths.first?.requests == 1, "the canary still waits")
    }

    @Test func tokensAreSharedNotRequests() {
        var scheduler = makeScheduler(concurrency: 1)
        _ = scheduler.submit(chat(1, of: "other"), now: .zero)
        for id in 100..<200 { _ = scheduler.submit(chat(UInt64(id), of: "long", promptTokens: 8000), now: .zero) }
        for id in 200..<600 { _ = scheduler.submit(chat(UInt64(id), of: "short", promptTokens: 300), now: .zero) }
        var running: UInt64 = 1
        var starts = (long: 0, short: 0)
        for start in 1...120 {
            let answer = AnswerFacts(outputTokens: 200)
            running =
                scheduler.finished(running, answer, now: Instant(seconds: Double(start) / 10)).started.first ?? 0
            if running < 200 { starts.long += 1 } else { starts.short += 1 }
        }
        // 8400 weighted tokens against 700: twelve short ones for one long one.
        #expect((6...15).contains(Double(starts.short) / Double(max(1, starts.long))), "\(starts)")
    }

    /// Short prompts come twice as fast as they are computed, so that the endpoint always has as many as it may.
    @Test func aLongPromptIsNotStarvedByShortOnes() {
        var scheduler = makeScheduler(admission: .init(maxRequestsPerBand: 100_000, timeToLive: .seconds(1000)))
        var running: [UInt64] = []
        var order: [UInt64] = []
        let long: UInt64 = 1 << 40
        for step in 1...1000 {
            let now = Instant(seconds: Double(step) / 100)
            running += scheduler.submit(chat(UInt64(step), of: ""), now: now).started
            if step == 300 { running += scheduler.submit(chat(long, of: "", promptTokens: 30_000), now: now).started }
            // An engine that computes a prompt of 1000 tokens in 20 ms, in order of arrival.
            if step % 2 == 0, let first = running.first, first != long || step % 60 == 0 {
                running.removeFirst()
                order.append(first)
                scheduler.firstToken(first, now: now)
                running += scheduler.finished(first, AnswerFacts(outputTokens: 200), now: now).started
            }
            if step % 5 == 0 { running += scheduler.tick(now: now).started }
        }
        #expect(scheduler.requestCount > 300, "the pool is overloaded")
        let place = order.firstIndex(of: long)
        #expect(place != nil)
        #expect(order.prefix(place ?? 0).allSatisfy { $0 <= 300 }, "nobody who came later was served before it")
    }

    @Test func requestsWaitHereOnceTheQueueThereEatsTheirBudget() {
        var scheduler = makeScheduler()
        var started = 0
        for id in 1...200 { started += scheduler.submit(chat(UInt64(id), of: ""), now: .zero).started.count }
        // 1000 tokens take 20.2 ms and a limit of 1000 ms leaves 980 for the queue. Forty of them take 808, their 20
        // steps 137 more, 31 as half of them decode already on the way, 12 for attention: 988 with them, 962 without one.
        #expect((38...41).contains(started), "\(started)")
        var patient = chat(500, of: "")
        patient.priority = 1
        patient.ttftLimitMilliseconds = 60_000
        #expect(scheduler.submit(patient, now: .zero).started == [500], "who has more time may queue there")
        var hasty = chat(501, of: "")
        hasty.priority = 1
        hasty.ttftLimitMilliseconds = 100
        #expect(scheduler.submit(hasty, now: .zero).started.isEmpty)
    }

    @Test func aLimitThatNoEngineCanKeepDoesNotKeepARequestWaitingForAnIdleOne() {
        var scheduler = makeScheduler()
        var hasty = chat(1, of: "")
        hasty.ttftLimitMilliseconds = 0.1
        #expect(scheduler.submit(hasty, now: .zero).started == [1])
        hasty.id = 2
        #expect(scheduler.submit(hasty, now: .zero).started.isEmpty)
        scheduler.firstToken(1, now: Instant(seconds: 0.03))
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 200), now: Instant(seconds: 2)).started == [2])
    }

    @Test func aSheddableRequestMakesRoomForARealtimeOneUnderTheTotalLimits() {
        var admission = AdmissionConfiguration()
        admission.totalLimits = WaitingLimits(requests: 2)
        var scheduler = makeScheduler(concurrency: 1, admission: admission)
        func request(_ id: UInt64, priority: Int) -> PoolRequest {
            var request = chat(id, of: "")
            request.priority = priority
            return request
        }
        #expect(scheduler.submit(request(1, priority: 0), now: .zero).started == [1])
        #expect(scheduler.submit(request(2, priority: -1), now: .zero).isEmpty)
        #expect(scheduler.submit(request(3, priority: -1), now: .zero).isEmpty)
        #expect(scheduler.submit(request(4, priority: -1), now: .zero).rejected == [4: .queueFull])
        #expect(scheduler.submit(request(5, priority: 0), now: .zero).rejected == [3: .queueFull])
        #expect(scheduler.counters.evicted == 1)
        #expect(scheduler.submit(request(6, priority: 0), now: .zero).rejected == [2: .queueFull])
        #expect(scheduler.submit(request(7, priority: 0), now: .zero).rejected == [7: .queueFull])
        #expect(scheduler.counters.evicted == 2)
        #expect(scheduler.counters.rejected[.queueFull] == 4)
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 200), now: .zero).started == [5])
    }

    @Test func whoCannotBeServedInTimeIsToldAtTheDoorWhenItCould() throws {
        var scheduler = makeScheduler(
            concurrency: 1, admission: .init(maxRequestsPerBand: 1000, timeToLive: .seconds(1000)))
        var running: UInt64 = 1
        _ = scheduler.submit(chat(1, of: ""), now: .zero)
        for id in 2...400 { _ = scheduler.submit(chat(UInt64(id), of: ""), now: .zero) }
        // One a second.
        for second in 1...100 {
            let now = Instant(seconds: Double(second))
            running = scheduler.finished(running, AnswerFacts(outputTokens: 200), now: now).started.first ?? 0
            for part in 1...19 { _ = scheduler.tick(now: now + .milliseconds(Double(50 * part))) }
        }
        let now = Instant(seconds: 100.95)
        var hasty = chat(1000, of: "")
        hasty.timeToLive = .seconds(60)
        guard case .reject(1000, let rejection)? = scheduler.submit(hasty, now: now).first else {
            Issue.record("299 requests are ahead of it")
            return
        }
        #expect(rejection.cause == .infeasible)
        #expect((250...350).contains(try #require(rejection.earliest).seconds))
        #expect(rejection.retryAfter == .seconds(30))
        hasty.id = 1001
        hasty.timeToLive = .seconds(400)
        #expect(scheduler.submit(hasty, now: now).isEmpty, "it may wait so long")
        #expect(scheduler.counters.rejected == [.infeasible: 1])
    }

    @Test func withoutExperienceNobodyIsRefusedOnAGuess() {
        var scheduler = makeScheduler(concurrency: 1)
        for id in 1...100 { _ = scheduler.submit(chat(UInt64(id), of: ""), now: .zero) }
        var hasty = chat(1000, of: "")
        hasty.timeToLive = .milliseconds(1)
        #expect(scheduler.submit(hasty, now: .zero).isEmpty)
    }
}

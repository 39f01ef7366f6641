import Admission
import Basics
import Pool
import PoolScheduler
import Testing

/// What a tenant with far more requests than the others does to them, and they to it.
@Suite struct IsolationTests {
    private func chat(_ id: UInt64, of flow: String) -> PoolRequest {
        PoolRequest(id: id, priority: 0, promptTokens: 1000, maxOutputTokens: 200, runsToLimit: true, flow: flow)
    }

    /// What a world of an idle engine did: when requests started, and how many ran at once at most.
    private struct History {
        var waits: [String: [Double]] = [:]
        var mostRunning = 0
        var finished: [String: Int] = [:]
    }

    /// Tenants that send at even paces to an engine that computes a prompt of 1000 tokens in 40 ms, in order of arrival,
    /// and answers 2 s later, for half a minute.
    private func world(_ rates: [String: Int], tolerance: Double?) -> History {
        var admission = AdmissionConfiguration(maxRequestsPerBand: 100_000, timeToLive: .seconds(1000))
        admission.isolationTolerance = tolerance
        var scheduler = makeScheduler(admission: admission)
        var history = History()
        var flows: [UInt64: (flow: String, submitted: Double)] = [:]
        var prompts: [UInt64] = []
        var promptDone = 0.0
        var answers: [(id: UInt64, at: Double)] = []
        var id: UInt64 = 0
        for tick in 0..<3000 {
            let seconds = Double(tick) / 100
            let now = Instant(seconds: seconds)
            var actions: [SchedulerAction] = []
            while let first = answers.first, first.at <= seconds {
                answers.removeFirst()
                history.finished[flows[first.id]?.flow ?? "", default: 0] += 1
                actions += scheduler.finished(first.id, AnswerFacts(promptTokens: 1000, outputTokens: 200), now: now)
            }
            if let first = prompts.first, promptDone <= seconds {
                prompts.removeFirst()
                scheduler.firstToken(first, now: now)
                answers.append((first, seconds + 2))
                promptDone = seconds + 0.04
            }
            for (flow, rate) in rates.sorted(by: { $0.key < $1.key }) where tick * rate % 100 < rate {
                id += 1
                flows[id] = (flow, seconds)
                actions += scheduler.submit(chat(id, of: flow), now: now)
            }
            if tick % 5 == 0 { actions += scheduler.tick(now: now) }
            for id in actions.started {
                if prompts.isEmpty { promptDone = seconds + 0.04 }
                prompts.append(id)
                let (flow, submitted) = flows[id] ?? ("", 0)
                history.waits[flow, default: []].append(seconds - submitted)
            }
            history.mostRunning = max(history.mostRunning, scheduler.endpoints[0].load.requests)
        }
        return history
    }

    @Test func aTenantFarAboveTheOthersWaitsAndTheyDoNot() throws {
        let rates = ["a": 2, "b": 2, "heavy": 40]
        let open = world(rates, tolerance: nil)
        let isolated = world(rates, tolerance: 0.05)
        let longest = { (history: History, flow: String) in history.waits[flow]?.max() ?? .infinity }
        #expect(longest(isolated, "a") == 0 && longest(isolated, "b") == 0)
        #expect(max(longest(open, "a"), longest(open, "b")) > 0, "they wait for the pool's sake without")
        let heavy = try #require(isolated.finished["heavy"])
        #expect(heavy < (open.finished["heavy"] ?? 0))
        #expect(heavy >= (isolated.finished["a"] ?? 0) * 3 / 4, "it gets what the others get at least")
    }

    @Test func aTenantAloneFillsThePoolAsIfNothingWere() {
        let rates = ["only": 40]
        let (open, isolated) = (world(rates, tolerance: nil), world(rates, tolerance: 0.05))
        #expect(open.waits == isolated.waits && open.finished == isolated.finished)
        #expect(isolated.mostRunning > 40)
    }

    @Test func equalTenantsAreNotInEachOthersWay() {
        let rates = ["a": 6, "b": 6, "c": 6]
        let (open, isolated) = (world(rates, tolerance: nil), world(rates, tolerance: 0.05))
        #expect(open.waits == isolated.waits && open.finished == isolated.finished)
    }
}

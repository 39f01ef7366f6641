import Admission
import Basics
import InferenceAPI
import Pool
import Prediction
import PrefixIndex
import Testing

@testable import PoolScheduler

@Suite struct InsightTests {
    private let typical = RequestDemand(promptTokens: 1000, expectedOutputTokens: 200)

    @Test func aFreshPoolHasLearnedNothing() {
        var pool = makeScheduler(endpoints: 3)
        let insight = pool.insight(for: typical, flowLimit: 20, now: .zero)
        #expect(insight.name == "test" && insight.shadow == nil)
        #expect(insight.bands.isEmpty && insight.flows.isEmpty)
        #expect(insight.prefix.textEntries == 0 && insight.prefix.routedBlocks == 0)
        #expect(insight.admissionSaturation < 0.1)
        let endpoints = pool.endpointInsights(0..<8)
        #expect(endpoints.map(\.name) == ["endpoint-0", "endpoint-1", "endpoint-2"])
        #expect(endpoints.allSatisfy { $0.ttft.count == 0 && $0.tpot.count == 0 && $0.cachedTokens == 0 })
        #expect(endpoints.allSatisfy { $0.stepTime == testModel && $0.cacheCapacityTokens == 421_000 })
        #expect(pool.endpointInsights(2..<3).map(\.name) == ["endpoint-2"])
        #expect(pool.endpointInsights(8..<16).isEmpty)
    }

    @Test func answersAreCountedWithWhatEnginesTell() throws {
        var pool = makeScheduler()
        for id in UInt64(0)..<4 {
            let start = Instant(seconds: Double(id))
            var request = chat(id)
            request.promptBlocks = PromptBlocks(hashes: [7, 8, 9], unitsPerBlock: 1000, units: 3000)
            _ = pool.submit(request, now: start)
            pool.firstToken(id, now: start + .milliseconds(40))
            _ = pool.finished(
                id, AnswerFacts(promptTokens: 900, cachedPromptTokens: id == 0 ? 0 : 600, outputTokens: 50),
                now: start + .milliseconds(600))
        }
        let endpoint = try #require(pool.endpointInsights(0..<1).first)
        #expect(endpoint.ttft.count == 4 && endpoint.tpot.count == 4)
        // The blocks of one prompt, once, however often it came.
        #expect((900...1000).contains(endpoint.cachedTokens))
        let insight = pool.insight(for: typical, flowLimit: 20, now: Instant(seconds: 5))
        #expect(insight.prefix.textEntries == 3)
        #expect(insight.bands.map(\.priority) == [0])
        #expect(insight.flows.count == 1)
    }

    @Test func onlyAsManyFlowsAreToldAsWereAskedFor() {
        var pool = makeScheduler()
        for id in UInt64(0)..<30 {
            var request = chat(id)
            request.flow = "flow-\(id)"
            _ = pool.submit(request, now: .zero)
        }
        let insight = pool.insight(for: typical, flowLimit: 20, now: .zero)
        #expect(insight.flows.count == 20)
        #expect(insight.bands.reduce(0) { $0 + $1.requests } == pool.queueDepths.reduce(0) { $0 + $1.requests })
    }

    @Test func thePoolFillsUpAsItsQueuesGrow() {
        var pool = makeScheduler(endpoints: 2)
        let idle = pool.insight(for: typical, flowLimit: 0, now: .zero).admissionSaturation
        for id in UInt64(0)..<20 { _ = pool.submit(chat(id), now: .zero) }
        let busy = pool.insight(for: typical, flowLimit: 0, now: .zero).admissionSaturation
        #expect(busy > idle)
        for id in UInt64(20)..<2000 { _ = pool.submit(chat(id), now: .zero) }
        #expect(pool.insight(for: typical, flowLimit: 0, now: .zero).admissionSaturation > busy)
        for index in 0..<2 { _ = pool.endpointChanged(EndpointID(index), isUp: false, now: .zero) }
        #expect(pool.insight(for: typical, flowLimit: 0, now: .zero).admissionSaturation == 1)
    }

    @Test func otherDetectorsAreAskedInTheirOwnTerms() {
        var admission = AdmissionConfiguration()
        admission.saturation = .concurrency(ConcurrencyDetector(maxConcurrency: 8))
        var pool = makeScheduler(endpoints: 2, admission: admission)
        for id in UInt64(0)..<4 { _ = pool.submit(chat(id), now: .zero) }
        #expect(pool.insight(for: typical, flowLimit: 0, now: .zero).admissionSaturation == 0.25)
        admission.saturation = .utilization(UtilizationDetector(queueDepthThreshold: 10))
        pool = makeScheduler(endpoints: 1, admission: admission)
        // Never scraped: stale, and that counts as full.
        #expect(pool.insight(for: typical, flowLimit: 0, now: .zero).admissionSaturation == 1)
        _ = pool.scraped(EndpointID(0), ScrapedMetrics(waiting: 4, kvUsage: 0.2), now: .zero)
        #expect(pool.insight(for: typical, flowLimit: 0, now: .zero).admissionSaturation == 0.4)
    }

    @Test func whatEnginesTellOfPromptsStaysWithinBounds() {
        var counters = SchedulerCounters()
        counters.note(AnswerFacts(promptTokens: 100, cachedPromptTokens: 500))
        counters.note(AnswerFacts(promptTokens: 10, cachedPromptTokens: -3))
        counters.note(AnswerFacts(promptTokens: -5, cachedPromptTokens: 3))
        counters.note(AnswerFacts(cachedPromptTokens: 3))
        #expect(counters.enginePromptTokens == 110 && counters.engineCachedPromptTokens == 100)
        for _ in 0..<3 { counters.note(AnswerFacts(promptTokens: .max, cachedPromptTokens: .max)) }
        #expect(counters.enginePromptTokens == .max && counters.engineCachedPromptTokens == .max)
    }
}

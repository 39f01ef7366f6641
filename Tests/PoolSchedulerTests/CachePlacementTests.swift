import Basics
import Harvest
import InferenceAPI
import Pool
import PoolScheduler
import Prediction
import Testing

/// Requests go where their prompts are cached, as far as that is worth it.
@Suite struct CachePlacementTests {
    @Test func eachTextGoesBackToWhereItWasAnsweredFirst() {
        var scheduler = makeScheduler(endpoints: 4)
        var homes: [UInt64: EndpointID] = [:]
        for round in 0..<5 {
            for text in 0..<8 as Range<UInt64> {
                let id = UInt64(round) * 8 + text + 1
                let now = Instant(seconds: Double(id) * 2)
                let place = scheduler.serve(turn(id, text: text, blocks: 100 + 10 * round), now: now)
                #expect(place != nil)
                if round == 0 { homes[text] = place } else { #expect(place == homes[text]) }
            }
        }
    }

    /// A prompt of 128 blocks, 8192 tokens, takes an idle engine some 165 ms.
    @Test(arguments: [(queued: 0, stays: true), (4_000, true), (16_000, false), (40_000, false)])
    func aCacheIsWorthAQueueThatIsShorterThanThePrefillItSaves(queued: Int, stays: Bool) throws {
        var scheduler = makeScheduler(endpoints: 3, harvest: .init(ttftLimitMilliseconds: 1e6))
        let homePlace = scheduler.serve(turn(1, text: 7, blocks: 128), now: .zero)
        let home = try #require(homePlace)
        if queued > 0 {
            var other = chat(2)
            other.promptTokens = queued
            other.allowedEndpoints = [home]
            #expect(scheduler.submit(other, now: Instant(seconds: 2)).place(of: 2) == home)
        }
        let place = scheduler.submit(turn(3, text: 7, blocks: 128), now: Instant(seconds: 2)).place(of: 3)
        #expect((place == home) == stays)
        #expect(scheduler.expectedCache(of: 3)[home.index] == 8192)
    }

    @Test func anEngineThatCachesNothingIsNotBelievedAnyMore() {
        var scheduler = makeScheduler(endpoints: 1)
        var id: UInt64 = 0
        func round(_ cached: Int) -> Int {
            id += 1
            let answer = AnswerFacts(promptTokens: 6400, cachedPromptTokens: cached, outputTokens: 200)
            _ = scheduler.serve(turn(id, text: 1, blocks: 100), answer, now: Instant(seconds: Double(id) * 2))
            return scheduler.expectedCache(of: id)[0]
        }
        #expect(round(0) == 0, "nobody has asked before")
        #expect(round(0) == 6400)
        for _ in 0..<30 { _ = round(0) }
        #expect(round(0) < 640)
        for _ in 0..<30 { _ = round(6400) }
        #expect(round(6400) > 5000, "and is believed again when it does")
    }

    @Test func anEndpointThatWasDownHasNothingCached() throws {
        var scheduler = makeScheduler(endpoints: 2)
        var request = turn(1, text: 1, blocks: 100)
        request.session = "s"
        let homePlace = scheduler.serve(request, now: .zero)
        let home = try #require(homePlace)
        request.id = 2
        #expect(scheduler.serve(request, now: Instant(seconds: 2)) == home)
        #expect(scheduler.expectedCache(of: 2)[home.index] == 6400)
        #expect(scheduler.endpointInsights(home.index..<home.index + 1).first?.ttft.count == 2)
        _ = scheduler.endpointChanged(home, isUp: false, now: Instant(seconds: 4))
        _ = scheduler.endpointChanged(home, isUp: true, now: Instant(seconds: 5))
        request.id = 3
        _ = scheduler.submit(request, now: Instant(seconds: 6))
        #expect(scheduler.expectedCache(of: 3) == [0, 0], "neither its text nor its session is there any more")
        #expect(scheduler.endpointInsights(home.index..<home.index + 1).first?.ttft.count == 0)
        #expect(scheduler.endpointInsights(0..<2)[home.index].cachedTokens <= 6400)
    }

    @Test func whatAnEndpointGeneratedIsInItsCacheToo() throws {
        var scheduler = makeScheduler(endpoints: 3)
        let answer = AnswerFacts(promptTokens: 1280, outputTokens: 700, blocks: prompt(5, blocks: 30))
        let homePlace = scheduler.serve(turn(1, text: 5, blocks: 20), answer, now: .zero)
        let home = try #require(homePlace)
        #expect(scheduler.serve(turn(2, text: 5, blocks: 40), now: Instant(seconds: 2)) == home)
        #expect(scheduler.expectedCache(of: 2)[home.index] == 30 * 64)
        #expect(scheduler.expectedCache(of: 2).reduce(0, +) == 30 * 64)
    }

    @Test func aSessionMeetsItsCacheWhenItsTextIsUnknown() throws {
        var scheduler = makeScheduler(endpoints: 4)
        func request(_ id: UInt64, session: String) -> PoolRequest {
            var request = chat(id)
            request.promptTokens = 4000 + Int(id) * 100
            request.session = session
            request.isExplained = true
            return request
        }
        let homePlace = scheduler.serve(request(1, session: "a"), now: .zero)
        let home = try #require(homePlace)
        var busy = chat(2)
        busy.allowedEndpoints = [home]
        _ = scheduler.submit(busy, now: Instant(seconds: 2))
        #expect(scheduler.submit(request(3, session: "a"), now: Instant(seconds: 2)).place(of: 3) == home)
        #expect(scheduler.expectedCache(of: 3)[home.index] == 4300, "its last turn held 4100 and 200 tokens")
        _ = scheduler.submit(request(4, session: "b"), now: Instant(seconds: 2))
        #expect(scheduler.expectedCache(of: 4) == [0, 0, 0, 0])
    }

    /// Otherwise a client could have its prompts computed for nothing by naming a session.
    @Test func aSessionDoesNotVouchForATextThatIsKnown() {
        var scheduler = makeScheduler(endpoints: 2)
        for id in 1...3 as ClosedRange<UInt64> {
            var request = turn(id, text: id, blocks: 100)
            request.session = "a"
            _ = scheduler.serve(request, now: Instant(seconds: Double(id) * 2))
            #expect(scheduler.expectedCache(of: id) == [0, 0], "no two of these texts have a beginning in common")
        }
    }

    @Test func whatAnEnginePublishesOverridesWhatIsGuessed() throws {
        var scheduler = makeScheduler(endpoints: 2)
        let text = prompt(3, blocks: 50)
        let keys = (1...40 as ClosedRange<UInt64>).map { 900_000 + $0 }
        func request(_ id: UInt64) -> PoolRequest {
            var request = turn(id, text: 3, blocks: 50)
            request.promptBlocks = text
            request.tokenBlocks = PromptBlocks(hashes: keys, unitsPerBlock: 80, units: 3200)
            return request
        }
        let guessedPlace = scheduler.serve(request(1), now: .zero)
        let guessed = try #require(guessedPlace)
        let other = EndpointID(1 - guessed.index)
        for endpoint in [guessed, other] { scheduler.followsResidency(of: endpoint, true) }
        scheduler.blocksStored(Array(keys.prefix(30)), at: other)
        #expect(scheduler.serve(request(2), now: Instant(seconds: 2)) == other)
        #expect(scheduler.expectedCache(of: 2)[guessed.index] == 0, "it published nothing")
        #expect(scheduler.expectedCache(of: 2)[other.index] == 30 * 80)
        scheduler.blocksRemoved([keys[10]], at: other)
        _ = scheduler.serve(request(3), now: Instant(seconds: 4))
        #expect(scheduler.expectedCache(of: 3)[other.index] == 10 * 80, "a chain ends at its first gap")
        // It was silent for a while and had not been restarted: what it has it will not tell again.
        for isUp in [false, true] { _ = scheduler.endpointChanged(other, isUp: isUp, now: Instant(seconds: 5)) }
        _ = scheduler.serve(request(5), now: Instant(seconds: 5))
        #expect(scheduler.expectedCache(of: 5)[other.index] == 10 * 80)
        scheduler.blocksCleared(at: other)
        _ = scheduler.serve(request(4), now: Instant(seconds: 6))
        #expect(scheduler.expectedCache(of: 4) == [0, 0])
    }
}

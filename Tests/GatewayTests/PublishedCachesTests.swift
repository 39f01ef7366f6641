import Basics
import Testing

@testable import Gateway

@Suite struct PublishedCachesTests {
    private func terms(_ blockTokens: Int, _ adapters: Set<String> = []) -> PublishedCaches.Terms {
        .init(blockTokens: blockTokens, adapters: adapters)
    }

    @Test func nothingIsAskedWhileNobodyPublishes() {
        var caches = PublishedCaches(endpoints: 2)
        #expect(!caches.isWorthAsking(now: .zero))
        let begins = caches.set(terms(16), endpoint: 1)
        #expect(begins && caches.isWorthAsking(now: .zero) && caches.blockTokens == 16)
        let goesOn = caches.set(nil, endpoint: 1)
        #expect(!goesOn && !caches.isWorthAsking(now: .zero))
    }

    @Test func blocksOfAnotherLengthDoNotCount() {
        var caches = PublishedCaches(endpoints: 3)
        let taken = [16, 32, 16].enumerated().map { caches.set(terms($1), endpoint: $0) }
        #expect(taken == [true, false, true])
        #expect([0, 1, 2].map { caches.counts($0) } == taken)
        let isNonsenseTaken = caches.set(terms(0), endpoint: 0)
        #expect(!isNonsenseTaken && caches.blockTokens == 16, "that of the last one")
        let isTakenAnew = caches.set(terms(16), endpoint: 1)
        #expect(isTakenAnew && caches.counts(1), "it was started anew")
    }

    @Test func aLoneEndpointMayChangeItsMind() {
        var caches = PublishedCaches(endpoints: 1)
        let taken = [16, 64].map { caches.set(terms($0), endpoint: 0) }
        #expect(taken == [true, true] && caches.blockTokens == 64)
    }

    @Test func chainsOfAdaptersHaveRootsOfTheirOwn() {
        var caches = PublishedCaches(endpoints: 2)
        _ = caches.set(terms(16, ["sql"]), endpoint: 1)
        #expect(caches.root(for: "sql") == "sql")
        #expect(caches.root(for: "llama") == "" && caches.root(for: "an-alias") == "")
    }

    @Test func afterFailuresThePausesGetLonger() {
        var caches = PublishedCaches(endpoints: 1)
        _ = caches.set(terms(16), endpoint: 0)
        var now = Instant.zero
        var pauses: [Double] = []
        for _ in 0..<7 {
            caches.failed(now: now)
            // Others that were asked at the same moment.
            caches.failed(now: now)
            let begin = now
            while !caches.isWorthAsking(now: now) { now = now + .milliseconds(500) }
            pauses.append((now - begin).seconds)
        }
        #expect(pauses == [1, 2, 4, 8, 16, 30, 30])
        caches.answered()
        caches.failed(now: now)
        #expect(!caches.isWorthAsking(now: now + .milliseconds(999)))
        #expect(caches.isWorthAsking(now: now + .seconds(1)), "an answer makes good for all that failed before")
        #expect(caches.counts.done == 1 && caches.counts.failed == 15)
    }

    @Test func aRefusalIsNoFailure() {
        var caches = PublishedCaches(endpoints: 1)
        _ = caches.set(terms(16), endpoint: 0)
        caches.refused()
        #expect(caches.isWorthAsking(now: .zero) && caches.counts.refused == 1)
    }
}

import Basics
import InferenceAPI
import Pool
import PoolScheduler
import Testing

/// Room for an answer is reserved by what the same caller got from the same model before.
@Suite struct AnswerLengthTests {
    private func asking(_ id: UInt64, flow: String, model: String) -> PoolRequest {
        var request = chat(id)
        request.flow = flow
        request.model = model
        request.maxOutputTokens = nil
        request.runsToLimit = false
        return request
    }

    @Test func roomIsReservedByWhoAsksWhichModel() {
        var scheduler = makeScheduler(endpoints: 1)
        let kinds: [(flow: String, model: String, tokens: Int)] = [
            ("writer", "m", 2000), ("tagger", "m", 10), ("writer", "small", 100),
        ]
        var id: UInt64 = 0
        for _ in 0..<60 {
            for kind in kinds {
                id += 1
                _ = scheduler.serve(
                    asking(id, flow: kind.flow, model: kind.model), AnswerFacts(outputTokens: kind.tokens),
                    now: Instant(seconds: Double(id) * 20))
            }
        }
        for kind in kinds {
            id += 1
            let now = Instant(seconds: Double(id) * 20)
            _ = scheduler.submit(asking(id, flow: kind.flow, model: kind.model), now: now)
            let reserved = scheduler.endpoints[0].load.reservedKVTokens - 1000
            #expect(abs(Double(reserved) - Double(kind.tokens)) <= 0.1 * Double(kind.tokens) + 2)
            _ = scheduler.cancelled(id, now: now)
        }
    }
}

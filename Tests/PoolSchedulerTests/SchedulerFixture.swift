import Admission
import Basics
import Harvest
import InferenceAPI
import Pool
import PoolScheduler
import Routing

let testModel = StepTimeModel(
    baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
    perPrefillTokenMilliseconds: 0.0202)

func makeScheduler(
    endpoints: Int = 1, concurrency: Int = 256, kvTokens: Int? = 421_000, admission: AdmissionConfiguration = .init(),
    harvest: HarvestConfiguration = .init(), routing: RoutingPolicy = .cost(.init()), shadow: RoutingPolicy? = nil,
    attributes: [String] = []
) -> PoolScheduler {
    PoolScheduler(
        configuration: PoolConfiguration(
            name: "test",
            endpoints: (0..<endpoints).map {
                Endpoint(
                    name: "endpoint-\($0)",
                    capacity: .init(stepTime: testModel, kvTokens: kvTokens, maxConcurrentRequests: concurrency))
            }, admission: admission, harvest: harvest,
            routing: routing, shadow: shadow, attributes: attributes), now: .zero)
}

func chat(_ id: UInt64, priority: Int = 0, bytes: Int = 0, timeToLive: TimeSpan? = nil) -> PoolRequest {
    PoolRequest(
        id: id, priority: priority, promptTokens: 1000, maxOutputTokens: 200, runsToLimit: true, bytes: bytes,
        timeToLive: timeToLive)
}

func message(_ id: UInt64, deadline: Double = 1e6, promptTokens: Int = 2000) -> PoolRequest {
    PoolRequest(
        id: id, priority: -1, promptTokens: promptTokens, maxOutputTokens: 200, runsToLimit: true,
        deadline: Instant(seconds: deadline), isMessage: true)
}

/// A prompt of so many blocks of 64 tokens each, the first ones of the text of that number.
func prompt(_ text: UInt64, blocks: Int) -> PromptBlocks {
    PromptBlocks(hashes: (0..<UInt64(blocks)).map { text << 32 | $0 }, unitsPerBlock: 256, units: blocks * 256)
}

/// A chat that sends the first blocks of a text and wants a receipt.
func turn(_ id: UInt64, text: UInt64, blocks: Int) -> PoolRequest {
    var request = chat(id)
    request.promptTokens = blocks * 64
    request.promptBlocks = prompt(text, blocks: blocks)
    request.isExplained = true
    return request
}

extension PoolScheduler {
    /// What a request's receipt says is cached, per endpoint.
    func expectedCache(of id: UInt64) -> [Int] { receipt(of: id)?.candidates.map(\.cachedPromptTokens) ?? [] }

    /// Submits a request that is to start at once, answers it as an idle engine of the tests' model would that has
    /// cached what is expected, and says where it went.
    mutating func serve(
        _ request: PoolRequest, _ answer: AnswerFacts = AnswerFacts(outputTokens: 200), now: Instant
    ) -> EndpointID? {
        let place = submit(request, now: now).place(of: request.id)
        let pending = place.map { endpoints[$0.index].load.pendingPrefillTokens } ?? 0
        let first = now + .milliseconds(7 + testModel.perPrefillTokenMilliseconds * Double(pending))
        firstToken(request.id, now: first)
        _ = finished(request.id, answer, now: first + .milliseconds(7 * Double(answer.outputTokens ?? 1)))
        return place
    }
}

extension [SchedulerAction] {
    /// Where a request was started.
    func place(of id: UInt64) -> EndpointID? {
        for case .start(id, let endpoint) in self { return endpoint }
        return nil
    }

    var started: [UInt64] {
        compactMap { if case .start(let id, _) = $0 { id } else { nil } }
    }

    var calledBack: [UInt64] {
        compactMap { if case .callBack(let id, _) = $0 { id } else { nil } }
    }

    var rejected: [UInt64: Rejection.Cause] {
        reduce(into: [:]) { if case .reject(let id, let rejection) = $1 { $0[id] = rejection.cause } }
    }
}

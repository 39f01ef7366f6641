import Admission
import Basics
import Harvest
import Pool
import PoolScheduler

let testModel = StepTimeModel(
    baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
    perPrefillTokenMilliseconds: 0.0202)

func makeScheduler(
    endpoints: Int = 1, concurrency: Int = 256, kvTokens: Int? = 421_000, admission: AdmissionConfiguration = .init(),
    harvest: HarvestConfiguration = .init()
) -> PoolScheduler {
    PoolScheduler(
        configuration: PoolConfiguration(
            name: "test",
            endpoints: (0..<endpoints).map {
                Endpoint(
                    name: "endpoint-\($0)",
                    capacity: .init(stepTime: testModel, kvTokens: kvTokens, maxConcurrentRequests: concurrency))
            }, admission: admission, harvest: harvest), now: .zero)
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

extension [SchedulerAction] {
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

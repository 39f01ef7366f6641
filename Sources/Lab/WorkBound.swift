import Basics

/// The most batch work that engines could do beside a trace if nobody's latency mattered (`workloads.md` C.5, 1).
///
/// Work of a request, in milliseconds of engine: `c_p * in + out * (a / D + b0) + c_kv * out * (in + out / 2)`, where `D`
/// concurrent decodes share the fixed cost of a step.
struct WorkBound {
    let stepTime: StepTimeModel
    let replicas: Int
    var concurrentDecodes = 128.0

    /// Milliseconds of one engine.
    func workMilliseconds(promptTokens: Int, outputTokens: Int) -> Double {
        let (prompt, output) = (Double(promptTokens), Double(outputTokens))
        return stepTime.perPrefillTokenMilliseconds * prompt
            + output * (stepTime.baseMilliseconds / concurrentDecodes + stepTime.perDecodeMilliseconds)
            + stepTime.perContextTokenMilliseconds * output * (prompt + output / 2)
    }

    /// The shortest time in which `batch` could be done when it starts together with `trace`.
    func drainSeconds(trace: Trace, batch: some Sequence<(Int32, Int32)>) -> Double {
        let batchSeconds = batch.reduce(0.0) { sum, length in
            sum + workMilliseconds(promptTokens: Int(length.0), outputTokens: Int(length.1)) / 1000
        }
        let traceSeconds = trace.requests.reduce(0.0) { sum, request in
            sum + workMilliseconds(promptTokens: request.promptTokens, outputTokens: request.outputTokens) / 1000
        }
        let capacity = Double(replicas)
        let length = trace.duration.seconds
        let free = max(0, capacity * length - traceSeconds)
        if batchSeconds <= free { return free > 0 ? length * batchSeconds / free : 0 }
        return length + (batchSeconds - free) / capacity
    }
}

import Basics

extension Configuration.Async {
    /// What is written and would do nothing, or not what it says.
    var effectFaults: [Configuration.Fault] {
        faultsWithoutTarget + channelFaults + mixedPoolFaults + (prometheus?.faults ?? [])
    }

    /// The gateway of this process takes requests as they are and knows their tenants.
    private var faultsWithoutTarget: [Configuration.Fault] {
        guard !queues.contains(where: { target(of: $0) != nil }) else { return [] }
        let message = "has no effect without a target: requests go to the gateway of this process"
        var faults: [Configuration.Fault] = []
        if !transforms.isEmpty { faults.append(.init(keyPath: "async.transforms", message: message)) }
        if fairness != Configuration.Fairness() { faults.append(.init(keyPath: "async.fairness", message: message)) }
        return faults
    }

    /// Channels keep nothing.
    private var channelFaults: [Configuration.Fault] {
        queues.enumerated().flatMap { index, queue -> [Configuration.Fault] in
            guard let redis = queue.redis, redis.transport == .channel else { return [] }
            let written = [
                ("resultTTL", redis.resultTTL != .zero), ("deadLetterQueue", redis.deadLetterQueue != nil),
            ]
            return written.filter(\.1).map { key, _ in
                .init(
                    keyPath: "async.queues[\(index)].redis.\(key)",
                    message: "has no effect with the transport channel, which keeps nothing")
            }
        }
    }

    /// A pool's workers follow what its one gateway has room for.
    private var mixedPoolFaults: [Configuration.Fault] {
        var isRemote: [String: Bool] = [:]
        return queues.enumerated().compactMap { index, queue in
            let goesOut = target(of: queue) != nil
            let former = isRemote[queue.workerPool] ?? goesOut
            isRemote[queue.workerPool] = former
            guard former != goesOut else { return nil }
            let message =
                "the pool \"\(queue.workerPool)\" has queues with a target and queues whose requests go to the gateway of "
                + "this process; give them pools of their own"
            return .init(keyPath: "async.queues[\(index)].workerPool", message: message)
        }
    }
}

extension Configuration.Prometheus {
    fileprivate var faults: [Configuration.Fault] {
        let place = "async.prometheus"
        var faults = tls?.faults(at: "\(place).tls", isSecure: url.isSecure, secureScheme: "https") ?? []
        if staleness < refresh * 2 {
            let least = DurationText.text(refresh * 2)
            faults.append(
                .init(
                    keyPath: "\(place).staleness",
                    message: "must be at least twice refresh (\(least)), or readings are too old before the next one"))
        }
        // Shown to nobody: the server would refuse us, and the gates stay closed.
        for (key, file) in [("certFile", tls?.certFile), ("keyFile", tls?.keyFile)] where file != nil {
            faults.append(
                .init(
                    keyPath: "\(place).tls.\(key)",
                    message: "is not supported: no certificate is shown to Prometheus; write bearerToken instead"))
        }
        return faults
    }
}

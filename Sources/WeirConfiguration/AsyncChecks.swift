extension Configuration {
    /// What is wrong between the keys of the asynchronous path.
    var asyncFaults: [Fault] {
        guard let async else { return [] }
        return async.queueFaults(objectives: objectives, hasPools: !pools.isEmpty) + async.keyFaults
            + async.workerPoolFaults + async.mergeFaults + async.gateFaults + async.targetFaults + async.transformFaults
            + async.effectFaults
    }
}

extension Configuration.Async {
    private typealias Fault = Configuration.Fault

    fileprivate func queueFaults(
        objectives: [Configuration.Objective], hasPools: Bool
    ) -> [Configuration.Fault] {
        var faults = Configuration.duplicates(queues.map(\.name)) { "async.queues[\($0)].name" }
        if queues.isEmpty { faults.append(Fault(keyPath: "async.queues", message: "needs at least one queue")) }
        if retry.base > retry.cap {
            let cap = DurationText.text(retry.cap)
            faults.append(Fault(keyPath: "async.retry.base", message: "must not be longer than the cap (\(cap))"))
        }
        for (index, queue) in queues.enumerated() {
            let place = "async.queues[\(index)]"
            let kinds = [
                queue.embedded.map { _ in "embedded" }, queue.redis.map { _ in "redis" },
                queue.pubsub.map { _ in "pubsub" },
            ].compactMap(\.self)
            if kinds.isEmpty {
                faults.append(
                    Fault(
                        keyPath: place, message: "says nothing about where it is kept; add embedded, redis or pubsub"))
            } else if kinds.count > 1 {
                faults.append(
                    Fault(
                        keyPath: "\(place).\(kinds[1])",
                        message: "a queue is kept in one place; this one also has \(kinds[0])"))
            }
            // Objectives are those of the gateway that the requests go to, and only our own are known here.
            if target(of: queue) == nil {
                faults += Self.objectiveFaults(queue, at: place, objectives: objectives)
                if !hasPools {
                    faults.append(
                        Fault(
                            keyPath: place,
                            message: "its requests have nowhere to go; add a target here or for all queues, or pools"))
                }
            }
        }
        return faults
    }

    private static func objectiveFaults(
        _ queue: Configuration.MessageQueue, at place: String, objectives: [Configuration.Objective]
    ) -> [Configuration.Fault] {
        guard let objective = objectives.first(where: { $0.name == queue.objective }) else {
            let hint = Suggestion.hint(for: queue.objective, among: objectives.map(\.name))
            return [
                Fault(keyPath: "\(place).objective", message: "there is no objective \"\(queue.objective)\"\(hint)")
            ]
        }
        guard objective.priority >= 0 else { return [] }
        let message =
            "\"\(queue.objective)\" has priority \(objective.priority); asynchronous work needs one below 0"
        return [Fault(keyPath: "\(place).objective", message: message)]
    }

    /// Places that two queues, or two uses of one queue, share by mistake.
    fileprivate var keyFaults: [Configuration.Fault] {
        var faults = Configuration.duplicates(queues.map { $0.embedded?.path ?? "" }) {
            "async.queues[\($0)].embedded.path"
        }
        var ownerOfPlace: [String: String] = [:]
        for (index, queue) in queues.enumerated() {
            let place = "async.queues[\(index)]"
            if let redis = queue.redis, let keys = queue.redisKeys {
                let server = redis.url?.description ?? ""
                if let owner = ownerOfPlace.updateValue(queue.name, forKey: "\(server) \(keys.requests)") {
                    let message = "\"\(keys.requests)\" is already the key of the queue \"\(owner)\""
                    faults.append(Fault(keyPath: "\(place).redis.queue", message: message))
                }
                faults += Self.keyFaults(keys, at: "\(place).redis")
            }
            if let pubsub = queue.pubsub {
                let name = "\(pubsub.project)/\(pubsub.subscription)"
                if let owner = ownerOfPlace.updateValue(queue.name, forKey: name) {
                    let message = "\(name) is already pulled by the queue \"\(owner)\""
                    faults.append(Fault(keyPath: "\(place).pubsub.subscription", message: message))
                }
                if let requests = pubsub.requestTopic, requests == pubsub.resultTopic {
                    faults.append(
                        Fault(
                            keyPath: "\(place).pubsub.resultTopic", message: "results would come back as new requests"))
                }
            }
        }
        return faults
    }

    private static func keyFaults(
        _ keys: Configuration.MessageQueue.RedisKeys, at place: String
    ) -> [Configuration.Fault] {
        let uses = [
            ("queue", keys.requests), ("resultQueue", keys.results), ("retryQueue", keys.retries),
            ("deadLetterQueue", keys.deadLetters),
        ]
        var useOfKey: [String: String] = [:]
        return uses.compactMap { use, key in
            useOfKey.updateValue(use, forKey: key).map { earlier in
                Fault(keyPath: "\(place).\(use)", message: "\"\(key)\" is already the \(earlier) of this queue")
            }
        }
    }

    fileprivate var workerPoolFaults: [Configuration.Fault] {
        var faults = Configuration.duplicates(workerPools.map(\.name)) { "async.workerPools[\($0)].name" }
        let names = allWorkerPools.map(\.name)
        for (index, queue) in queues.enumerated() where !names.contains(queue.workerPool) {
            let hint = Suggestion.hint(for: queue.workerPool, among: names)
            faults.append(
                Fault(
                    keyPath: "async.queues[\(index)].workerPool",
                    message: "there is no worker pool \"\(queue.workerPool)\"\(hint)"))
        }
        return faults
    }

    fileprivate var mergeFaults: [Configuration.Fault] {
        var faults: [Fault] = []
        if merge.policy != .tierPriority {
            let standard = Configuration.Merge()
            let written = [
                ("tierLabel", merge.tierLabel != standard.tierLabel), ("priorityHeader", merge.priorityHeader != nil),
                ("laneObjectives", !merge.laneObjectives.isEmpty),
                ("objectiveHeader", merge.objectiveHeader != standard.objectiveHeader),
            ]
            for (key, isWritten) in written where isWritten {
                faults.append(
                    Fault(keyPath: "async.merge.\(key)", message: "has a meaning only with the policy tier-priority"))
            }
        }
        for lane in merge.laneObjectives.keys.sorted() where !Configuration.Merge.lanes.contains(lane) {
            let lanes = Configuration.Merge.lanes
            let hint =
                Suggestion.nearest(to: lane, among: lanes).map { "did you mean \($0)?" }
                ?? "the lanes are \(lanes.joined(separator: ", "))"
            faults.append(
                Fault(keyPath: "async.merge.laneObjectives.\(lane)", message: "there is no such lane; \(hint)"))
        }
        return faults
    }

    fileprivate var gateFaults: [Configuration.Fault] {
        let gates =
            queues.enumerated().map { ("async.queues[\($0)].gate", $1.gate) }
            + workerPools.enumerated().map { ("async.workerPools[\($0)].gate", $1.gate) }
        return gates.flatMap { place, gate in gate?.faults(at: place, hasPrometheus: prometheus != nil) ?? [] }
    }

    fileprivate var targetFaults: [Configuration.Fault] {
        var faults: [Fault] = []
        func check(_ target: Configuration.Target?, at place: String) {
            guard let target else { return }
            faults +=
                target.tls?.faults(at: "\(place).tls", isSecure: target.url.isSecure, secureScheme: "https") ?? []
            for name in target.headers.keys.sorted() where Self.ownFields.contains(name.lowercased()) {
                let message =
                    name.lowercased() == "authorization" ? "write bearerToken instead" : "is set by Weir itself"
                faults.append(Fault(keyPath: "\(place).headers.\(name)", message: message))
            }
        }
        check(target, at: "async.target")
        for (index, queue) in queues.enumerated() {
            let place = "async.queues[\(index)]"
            check(queue.target, at: "\(place).target")
            if let redis = queue.redis, let tls = redis.tls {
                faults += tls.faults(at: "\(place).redis.tls", isSecure: redis.url?.isSecure, secureScheme: "rediss")
            }
        }
        return faults
    }

    /// Header fields that a user does not set, because the request would be cut wrongly or say two things.
    private static let ownFields: Set<String> = [
        "authorization", "connection", "content-length", "host", "transfer-encoding",
    ]

    fileprivate var transformFaults: [Configuration.Fault] {
        Configuration.duplicates(transforms.map(\.name)) { "async.transforms[\($0)].name" }
            + transforms.enumerated().flatMap { $1.faults(at: "async.transforms[\($0)]") }
    }
}

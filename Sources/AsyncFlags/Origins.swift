import WeirConfiguration

/// Where the parts of a configuration come from, to name the user's own flag, file and key when something is wrong.
struct Origins {
    /// Where queues come from.
    enum Source {
        /// A document whose list of queues stands at a key; an empty one if the list is the whole document.
        case document(String, list: String)
        /// Deprecated flags with this prefix.
        case flags(String)
    }

    var transport = Source.flags("redis.")
    /// The key of a queue's source.
    var sourceKey = "queue_name"
    /// The queues that have no id and are called like their source.
    var queuesWithoutID: Set<Int> = []
    var pools = "--pool-config-file"
    var merge = "--request-merge-policy-config-file"
    var transforms = "--transform-config-file"

    /// The file or flag of a key of the transport as a whole.
    func place(of key: String) -> String {
        switch transport {
        case .document(let name, _): "\(name): \(key)"
        case .flags: key == "url" ? "--redis.url" : "--\(key)"
        }
    }

    /// A problem at a key of a queue, its message still to be written.
    func problem(at key: String, ofQueue index: Int) -> ConfigurationProblem {
        switch transport {
        case .document(let name, let list):
            return ConfigurationProblem(
                file: name, keyPath: "\(list)[\(index)]\(key.isEmpty ? "" : ".")\(key)", message: "")
        case .flags(let prefix):
            let flag = key.prefix { $0 != "." && $0 != "[" }
            return ConfigurationProblem(
                file: "--\(prefix)\(flag.replacing("_", with: "-"))", keyPath: String(key.dropFirst(flag.count)),
                message: "")
        }
    }

    /// The problems of a configuration as problems of what it was made from, one for each place.
    func translate(_ error: ConfigurationError) -> ConfigurationError {
        var places: Set<String> = []
        return ConfigurationError(
            problems: error.problems.map(translate).filter { places.insert("\($0.file) \($0.keyPath)").inserted })
    }

    /// A problem of the configuration as a problem of what it was made from.
    private func translate(_ problem: ConfigurationProblem) -> ConfigurationProblem {
        var found = located(problem)
        found.message = problem.message.replacing("write its url in async.prometheus", with: "give --prometheus-url")
        return found
    }

    private func located(_ problem: ConfigurationProblem) -> ConfigurationProblem {
        let path = problem.keyPath
        if let (index, rest) = Self.element(of: "async.queues", in: path) {
            let isUnnamed = rest == "name" && queuesWithoutID.contains(index)
            return self.problem(at: isUnnamed ? sourceKey : Self.queueKey(rest), ofQueue: index)
        }
        if let (index, rest) = Self.element(of: "async.workerPools", in: path) {
            let key = rest.isEmpty ? "" : ".\(rest == "name" ? "id" : Self.gateKey(rest))"
            return ConfigurationProblem(file: pools, keyPath: "[\(index)]\(key)", message: "")
        }
        if let (index, rest) = Self.element(of: "async.transforms", in: path) {
            return ConfigurationProblem(
                file: transforms, keyPath: "requestTransforms[\(index)]\(rest.isEmpty ? "" : ".")\(rest)", message: "")
        }
        for (section, file) in [("async.merge.", merge), ("async.fairness.", merge)] where path.hasPrefix(section) {
            let key = path.dropFirst(section.count).replacing("laneObjectives", with: "lane_objectives")
            return ConfigurationProblem(file: file, keyPath: "parameters.\(key)", message: "")
        }
        let flags = [
            ("async.prometheus", "--prometheus-url"), ("admin.healthListen", "--health-port"),
            ("admin.listen", "--metrics-port"),
        ]
        if let (_, flag) = flags.first(where: { path.hasPrefix($0.0) }) {
            return ConfigurationProblem(file: flag, keyPath: "", message: "")
        }
        return problem
    }

    /// The index and the rest of `list[index].rest`; nil if the path leads elsewhere.
    private static func element(of list: String, in path: String) -> (index: Int, rest: String)? {
        guard path.hasPrefix("\(list)["), let close = path.firstIndex(of: "]"),
            let index = Int(path[path.index(path.startIndex, offsetBy: list.count + 1)..<close])
        else { return nil }
        return (index, String(path[path.index(after: close)...].drop { $0 == "." }))
    }

    private static func queueKey(_ key: String) -> String {
        let names = [
            "name": "id", "workerPool": "worker_pool_id", "path": "request_path_url", "target.url": "igw_base_url",
            "target.objective": "inference_objective", "redis.queue": "queue_name",
            "redis.resultQueue": "result_queue_name", "redis.resultQueueOverride": "result_queue_name",
            "redis.retryQueue": "retry_queue_name",
            "pubsub.subscription": "subscriber_id", "pubsub.resultTopic": "result_topic_id",
        ]
        return names[key] ?? gateKey(key)
    }

    private static func gateKey(_ key: String) -> String {
        for (ours, theirs) in [("gate.parameters", "gate_params"), ("gate.type", "gate_type")] where key.hasPrefix(ours)
        {
            return theirs + key.dropFirst(ours.count)
        }
        return key
    }
}

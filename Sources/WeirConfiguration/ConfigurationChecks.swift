import Basics
import Foundation

extension Configuration {
    /// Something that is well formed and makes no sense, and the key where it shows.
    struct Fault {
        let keyPath: String
        let message: String
    }

    /// What is wrong between the keys of a configuration whose values are each right.
    func faults(enginePresets: [String]) -> [Fault] {
        poolFaults(enginePresets: enginePresets) + objectiveFaults + tenantFaults + queueFaults + frontDoorFaults
            + webhookFaults
            + limitFaults + listenerFaults
    }

    private func poolFaults(enginePresets: [String]) -> [Fault] {
        var faults: [Fault] = []
        if pools.isEmpty { faults.append(Fault(keyPath: "pools", message: "needs at least one pool")) }
        faults += Self.duplicates(pools.map(\.name)) { "pools[\($0)].name" }
        var poolOfModel: [String: String] = [:]
        var poolOfURL: [EndpointURL: String] = [:]
        for (index, pool) in pools.enumerated() {
            let place = "pools[\(index)]"
            if pool.endpoints.isEmpty {
                faults.append(Fault(keyPath: "\(place).endpoints", message: "needs at least one endpoint"))
            }
            for (position, model) in pool.models.enumerated() {
                let owner = poolOfModel.updateValue(pool.name, forKey: model)
                guard let owner else { continue }
                let message =
                    owner == pool.name
                    ? "the model \"\(model)\" is listed twice"
                    : "the model \"\(model)\" is already served by the pool \"\(owner)\""
                faults.append(Fault(keyPath: "\(place).models[\(position)]", message: message))
            }
            for (position, endpoint) in pool.endpoints.enumerated() {
                guard let owner = poolOfURL.updateValue(pool.name, forKey: endpoint.url) else { continue }
                faults.append(
                    Fault(
                        keyPath: "\(place).endpoints[\(position)].url",
                        message: "\(endpoint.url) is already an endpoint of the pool \"\(owner)\""))
            }
            if !enginePresets.isEmpty, !enginePresets.contains(pool.engine.preset) {
                let near = Suggestion.nearest(to: pool.engine.preset, among: enginePresets)
                let hint = near.map { "did you mean \($0)?" } ?? "known are \(enginePresets.joined(separator: ", "))"
                faults.append(
                    Fault(
                        keyPath: "\(place).engine.preset",
                        message: "there is no preset \"\(pool.engine.preset)\"; \(hint)"))
            }
        }
        return faults
    }

    private var objectiveFaults: [Fault] { Self.duplicates(objectives.map(\.name)) { "objectives[\($0)].name" } }

    private var queueFaults: [Fault] {
        guard let async else { return [] }
        var faults = Self.duplicates(async.queues.map(\.name)) { "async.queues[\($0)].name" }
        if async.queues.isEmpty { faults.append(Fault(keyPath: "async.queues", message: "needs at least one queue")) }
        if async.retry.base > async.retry.cap {
            let cap = DurationText.text(async.retry.cap)
            faults.append(Fault(keyPath: "async.retry.base", message: "must not be longer than the cap (\(cap))"))
        }
        faults += Self.duplicates(async.queues.map { $0.embedded?.path ?? "" }) { "async.queues[\($0)].embedded.path" }
        for (index, queue) in async.queues.enumerated() {
            let place = "async.queues[\(index)]"
            if queue.embedded == nil {
                faults.append(Fault(keyPath: place, message: "says nothing about where it is kept; add embedded"))
            }
            if let objective = objectives.first(where: { $0.name == queue.objective }) {
                if objective.priority >= 0 {
                    faults.append(
                        Fault(
                            keyPath: "\(place).objective",
                            message:
                                "\"\(queue.objective)\" has priority \(objective.priority); asynchronous work needs one below 0"
                        ))
                }
            } else {
                let near = Suggestion.nearest(to: queue.objective, among: objectives.map(\.name))
                let hint = near.map { "; did you mean \($0)?" } ?? ""
                faults.append(
                    Fault(
                        keyPath: "\(place).objective", message: "there is no objective \"\(queue.objective)\"\(hint)"))
            }
        }
        return faults
    }

    private var tenantFaults: [Fault] {
        var faults = Self.duplicates(gateway.tenants.map(\.name)) { "gateway.tenants[\($0)].name" }
        var ownerOfKey: [Secret: String] = [:]
        for (index, tenant) in gateway.tenants.enumerated() {
            let place = "gateway.tenants[\(index)].keys"
            if tenant.keys.isEmpty { faults.append(Fault(keyPath: place, message: "needs at least one key")) }
            for (position, key) in tenant.keys.enumerated() {
                guard let owner = ownerOfKey.updateValue(tenant.name, forKey: key) else { continue }
                faults.append(
                    Fault(keyPath: "\(place)[\(position)]", message: "is already a key of the tenant \"\(owner)\""))
            }
        }
        return faults
    }

    private var frontDoorFaults: [Fault] {
        guard let async, let name = async.frontDoor.queue, !async.queues.contains(where: { $0.name == name }) else {
            return []
        }
        let near = Suggestion.nearest(to: name, among: async.queues.map(\.name))
        let hint = near.map { "; did you mean \($0)?" } ?? ""
        return [Fault(keyPath: "async.frontDoor.queue", message: "there is no queue \"\(name)\"\(hint)")]
    }

    private var webhookFaults: [Fault] {
        guard let webhooks = async?.webhooks else { return [] }
        let place = "async.webhooks.secret"
        guard let secret = webhooks.secret?.value else {
            return webhooks.allow.isEmpty
                ? [] : [Fault(keyPath: place, message: "is required where webhooks are allowed")]
        }
        guard secret.hasPrefix("whsec_"), Data(base64Encoded: String(secret.dropFirst(6))) == nil else { return [] }
        return [Fault(keyPath: place, message: "what follows whsec_ must be base64")]
    }

    private var limitFaults: [Fault] {
        let window = gateway.limits.requestBodyWindowBytes
        guard gateway.limits.bufferedBodyBytes < window else { return [] }
        return [
            Fault(
                keyPath: "gateway.limits.bufferedBodyBytes",
                message: "must not be smaller than requestBodyWindowBytes (\(SizeText.text(window)))")
        ]
    }

    private var listenerFaults: [Fault] {
        guard gateway.listen == admin.listen, admin.listen.port != 0 else { return [] }
        return [Fault(keyPath: "admin.listen", message: "is the same address as gateway.listen")]
    }

    /// A fault for each name that an earlier one already has; empty names stand for "none".
    private static func duplicates(_ names: [String], at place: (Int) -> String) -> [Fault] {
        var seen: Set<String> = []
        var faults: [Fault] = []
        for (index, name) in names.enumerated() where !name.isEmpty && !seen.insert(name).inserted {
            faults.append(Fault(keyPath: place(index), message: "\"\(name)\" is used twice"))
        }
        return faults
    }
}

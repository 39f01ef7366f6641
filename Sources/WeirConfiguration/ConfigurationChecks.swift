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
        poolFaults(enginePresets: enginePresets) + objectiveFaults + tenantFaults + rewriteFaults + asyncFaults
            + frontDoorFaults
            + webhookFaults
            + limitFaults + listenerFaults
    }

    private func poolFaults(enginePresets: [String]) -> [Fault] {
        var faults: [Fault] = []
        if pools.isEmpty, async?.queues.isEmpty ?? true {
            faults.append(
                Fault(
                    keyPath: "pools",
                    message: "is required, unless there are queues whose requests go to another gateway"
                ))
        }
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
            faults += pool.routing.faults(at: "\(place).routing")
            faults += pool.admission.faults(at: "\(place).admission", scrapeInterval: pool.scrape.interval)
            faults += pool.harvest.faults(at: "\(place).harvest")
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

    private var rewriteFaults: [Fault] {
        var faults = Self.duplicates(gateway.rewrites.map(\.model)) { "gateway.rewrites[\($0)].model" }
        for (index, rewrite) in gateway.rewrites.enumerated() where rewrite.targets.isEmpty {
            faults.append(Fault(keyPath: "gateway.rewrites[\(index)].targets", message: "needs at least one target"))
        }
        for (index, name) in gateway.sessionHeaders.enumerated() {
            let isName =
                !name.isEmpty && name.utf8.count <= 128
                && name.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: ":") }
            if !isName {
                faults.append(
                    Fault(keyPath: "gateway.sessionHeaders[\(index)]", message: "is not the name of a header"))
            }
        }
        return faults
    }

    private var frontDoorFaults: [Fault] {
        guard let async, let name = async.frontDoor.queue else { return [] }
        let place = "async.frontDoor.queue"
        guard let queue = async.queues.first(where: { $0.name == name }) else {
            let hint = Suggestion.hint(for: name, among: async.queues.map(\.name))
            return [Fault(keyPath: place, message: "there is no queue \"\(name)\"\(hint)")]
        }
        if queue.embedded == nil {
            return [Fault(keyPath: place, message: "needs an embedded queue; \"\(name)\" is kept elsewhere")]
        }
        guard pools.isEmpty else { return [] }
        return [Fault(keyPath: place, message: "there is no gateway to hand requests in at: it needs pools")]
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
        var faults: [Fault] = []
        if gateway.listen == admin.listen, admin.listen.port != 0, !pools.isEmpty {
            faults.append(Fault(keyPath: "admin.listen", message: "is the same address as gateway.listen"))
        }
        if let health = admin.healthListen, health.port != 0 {
            if health == admin.listen {
                faults.append(
                    Fault(
                        keyPath: "admin.healthListen",
                        message: "is the same address as admin.listen, where the probes are anyway"))
            } else if health == gateway.listen, !pools.isEmpty {
                faults.append(
                    Fault(keyPath: "admin.healthListen", message: "is the same address as gateway.listen"))
            }
        }
        return faults
    }

    /// A fault for each name that an earlier one already has; empty names stand for "none".
    static func duplicates(_ names: [String], at place: (Int) -> String) -> [Fault] {
        var seen: Set<String> = []
        var faults: [Fault] = []
        for (index, name) in names.enumerated() where !name.isEmpty && !seen.insert(name).inserted {
            faults.append(Fault(keyPath: place(index), message: "\"\(name)\" is used twice"))
        }
        return faults
    }
}

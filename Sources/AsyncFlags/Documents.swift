import DispatchGates
import WeirConfiguration

/// The smaller documents of llm-d-async.
enum Documents {
    /// Reads `--pool-config-file`: a list of pools.
    static func workerPools(_ text: String, document: inout Document) -> [Configuration.WorkerPool] {
        guard let root = document.read(text) else { return [] }
        let elements = document.elements(root, at: "")
        return elements.enumerated().compactMap { index, element in
            let known = ["id", "workers", "gate_type", "gate_params"]
            guard let members = document.members(element, at: "[\(index)]", known: known) else { return nil }
            var pool = Configuration.WorkerPool()
            pool.name = members.text("id", &document, required: true) ?? ""
            pool.workers = members.integer("workers", &document, minimum: 1)
            if members.values["workers"] == nil {
                document.report(members.place(of: "workers"), line: members.line, "is required")
            }
            pool.gate = members.gate(&document)
            return pool
        }
    }

    /// Reads `--request-merge-policy-config-file`.
    static func merge(
        _ text: String, document: inout Document
    ) -> (merge: Configuration.Merge, fairness: Configuration.Fairness) {
        var merge = Configuration.Merge()
        var fairness = Configuration.Fairness()
        guard let root = document.read(text),
            let members = document.members(root, at: "", known: ["type", "parameters"])
        else { return (merge, fairness) }
        let type = members.text("type", &document, required: true)
        switch type {
        case nil: break
        case "random-robin": merge.policy = .randomRobin
        case "tier-priority":
            merge.policy = .tierPriority
            merge.priorityHeader = "x-gateway-priority"
        case let other?:
            document.report(
                "type", line: members.values["type"]?.line,
                "expected random-robin or tier-priority, found \"\(other.prefix(60))\"")
        }
        var known = ["fairness_header", "fairness_attribute"]
        if merge.policy == .tierPriority {
            known += ["priority_header", "tier_label", "objective_header", "lane_objectives"]
        }
        guard let node = members.values["parameters"],
            let parameters = document.members(node, at: "parameters", known: known)
        else { return (merge, fairness) }
        if let header = parameters.text("priority_header", &document) { merge.priorityHeader = header }
        if let label = parameters.text("tier_label", &document) { merge.tierLabel = label }
        if let header = parameters.text("objective_header", &document) { merge.objectiveHeader = header }
        merge.laneObjectives = parameters.texts("lane_objectives", &document)
        if let attribute = parameters.text("fairness_attribute", &document) { fairness.attribute = attribute }
        // An empty header, unlike one left out, means that the tenant is not told.
        if parameters.values["fairness_header"] != nil {
            fairness.header = parameters.text("fairness_header", &document)
        }
        for key in ["priority_header", "objective_header", "fairness_header"] {
            guard let header = parameters.text(key, &document), !HeaderName.isLegal(header) else { continue }
            document.report(
                parameters.place(of: key), line: parameters.values[key]?.line,
                "expected the name of a header field, found \"\(header.prefix(60))\"")
        }
        return (merge, fairness)
    }

    /// Reads `--transform-config-file`.
    static func transforms(_ text: String, document: inout Document) -> [Configuration.Transform] {
        guard let root = document.read(text),
            let members = document.members(root, at: "", known: ["requestTransforms"]),
            let list = members.values["requestTransforms"]
        else { return [] }
        return document.elements(list, at: "requestTransforms").enumerated().compactMap { index, element in
            let place = "requestTransforms[\(index)]"
            let known = ["name", "type", "parameters"]
            guard let members = document.members(element, at: place, known: known) else { return nil }
            var transform = Configuration.Transform()
            transform.name = members.text("name", &document, required: true) ?? ""
            transform.parameters = members.parameters("parameters", &document)
            guard let name = members.text("type", &document, required: true) else { return nil }
            guard let type = Configuration.TransformType(rawValue: name) else {
                let types = Configuration.TransformType.allCases.map(\.rawValue).joined(separator: ", ")
                document.report(
                    "\(place).type", line: members.values["type"]?.line,
                    "expected \(types), found \"\(name.prefix(60))\"")
                return nil
            }
            transform.type = type
            return transform
        }
    }
}

/// What HTTP allows as the name of a header field (RFC 9110, section 5.1).
enum HeaderName {
    static func isLegal(_ text: String) -> Bool {
        text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
        }
    }
}

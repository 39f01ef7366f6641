import DispatchGates
import Foundation

extension Configuration.Gate {
    /// What is wrong with the gate, for a section at `place`.
    func faults(at place: String, hasPrometheus: Bool) -> [Configuration.Fault] {
        do throws(GateConfigurationError) {
            let configuration = try GateConfiguration(type: type, parameters: parameters)
            if let error = configuration.addressFault(at: "gate_params") { throw error }
            let gate = DispatchGate(configuration, owner: "")
            let asksPrometheus = gate.sources.contains { source in
                if case .prometheus = source { true } else { false }
            }
            guard asksPrometheus, !hasPrometheus else { return [] }
            return [
                .init(keyPath: "\(place).type", message: "\(type) asks Prometheus; write its url in async.prometheus")
            ]
        } catch {
            return [.init(keyPath: Self.place(of: error.path, in: place), message: error.problem)]
        }
    }

    /// The place of a key that the gates name as llm-d-async does.
    private static func place(of keyPath: String, in place: String) -> String {
        if keyPath == "gate_type" { return "\(place).type" }
        let prefix = "gate_params"
        guard keyPath.hasPrefix(prefix) else { return keyPath.isEmpty ? place : "\(place).\(keyPath)" }
        return "\(place).parameters\(keyPath.dropFirst(prefix.count))"
    }
}

extension GateConfiguration {
    /// What is wrong with the first address, of this gate or one inside it, that nobody could be asked at. Never repeats any
    /// of it, as it may hold a password.
    fileprivate func addressFault(at path: String) -> GateConfigurationError? {
        switch self {
        case .redis(let gate): Self.serverFault(gate.address, at: "\(path).address")
        case .redisQuota(let gate): Self.serverFault(gate.address, at: "\(path).address")
        case .endpointScrape(let gate):
            Self.pageFault(gate.url, at: "\(path).url")
                ?? gate.podsURL.flatMap { Self.pageFault($0, at: "\(path).pods_url") }
        case .composite(let gates):
            gates.enumerated().lazy.compactMap { $1.addressFault(at: "\(path).gates[\($0)].gate_params") }.first
        case .waitOnRefuse(let gate): gate.addressFault(at: "\(path).gate.gate_params")
        case .tierPriorityAdmission(let gate): gate.saturationGate.addressFault(at: "\(path).saturation_gate_params")
        default: nil
        }
    }

    private static func serverFault(_ address: String, at path: String) -> GateConfigurationError? {
        let url = RedisURL(address.contains("://") ? address : "redis://" + address)
        if let url, url.hasPassword || !address.contains("@") { return nil }
        let problem = "expected a Redis server such as host:6379 or rediss://user:password@host/0"
        return GateConfigurationError(path: path, problem: problem)
    }

    private static func pageFault(_ text: String, at path: String) -> GateConfigurationError? {
        if let url = URLComponents(string: text), ["http", "https"].contains(url.scheme?.lowercased()),
            url.host?.isEmpty == false
        {
            return nil
        }
        return GateConfigurationError(path: path, problem: "expected a URL such as http://host:8000/metrics")
    }
}

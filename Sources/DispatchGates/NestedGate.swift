/// A gate inside another one, before it is read.
struct NestedGate {
    let type: String
    let parameters: [String: GateParameter]
    /// Where its type stands, for errors.
    let typePath: String
    /// Where its parameters stand.
    let parametersPath: String

    func configuration(
        _ depth: Int, _ count: inout Int
    ) throws(GateConfigurationError) -> GateConfiguration {
        do {
            return try GateConfiguration.read(
                type: type, parameters: parameters, place: "", depth: depth, count: &count)
        } catch {
            throw GateConfigurationError(path: placed(error.path), problem: error.problem)
        }
    }

    /// The nested gate's own path, put where it stands in the outer one.
    private func placed(_ path: String) -> String {
        if path.hasPrefix("gate_params") { return parametersPath + path.dropFirst("gate_params".count) }
        return typePath
    }

    /// Reads `{"gate_type": ..., "gate_params": {...}}`.
    init(_ value: GateParameter, at path: String) throws(GateConfigurationError) {
        guard case .object(let members) = value else {
            throw GateConfigurationError(
                path: path, problem: "expected an object with gate_type and gate_params, got \(value.kind)")
        }
        if let unknown = members.keys.filter({ $0 != "gate_type" && $0 != "gate_params" }).min() {
            throw GateConfigurationError(
                path: "\(path).\(unknown)", problem: "there is no such key; expected gate_type and gate_params")
        }
        guard case .text(let type)? = members["gate_type"], !type.isEmpty else {
            throw GateConfigurationError(path: "\(path).gate_type", problem: "expected the type of the gate")
        }
        var reader = GateParameterReader(members, place: path)
        self.init(
            type: type, parameters: try reader.object("gate_params") ?? [:], typePath: "\(path).gate_type",
            parametersPath: "\(path).gate_params")
    }

    init(type: String, parameters: [String: GateParameter], typePath: String, parametersPath: String) {
        self.type = type
        self.parameters = parameters
        self.typePath = typePath
        self.parametersPath = parametersPath
    }
}

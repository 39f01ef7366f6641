/// What is wrong with a gate's configuration, and where.
public struct GateConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The key at fault, from the place the caller named: `gate_params.gates[1].gate_params.limit`.
    public let path: String
    /// What was expected there.
    public let problem: String

    /// Creates an error.
    public init(path: String, problem: String) {
        self.path = path
        self.problem = problem
    }

    /// One sentence for the user.
    public var description: String { "\(path): \(problem)" }
}

/// Why a scenario cannot run. Every case carries the words for one plain sentence.
public enum LabError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No scenario of this name.
    case unknownScenario(String)
    /// No policy of this name.
    case unknownPolicy(String)
    /// No trace format of this name.
    case unknownFormat(String)
    /// No engine preset of this name.
    case unknownEngine(String)
    /// An option has a value that makes no sense.
    case badOption(name: String, reason: String)
    /// A line of an input file cannot be read; lines count from 1.
    case badLine(file: String, line: Int, reason: String)
    /// An input file holds no usable row.
    case emptyFile(String)
    /// The policy needs messages that arrive by themselves; the scenario offers a standing supply.
    case policyNeedsPush(String)

    /// One sentence for the user.
    public var description: String {
        switch self {
        case .unknownScenario(let name):
            "unknown scenario '\(name)'; known are \(Scenario.all.map(\.name).joined(separator: ", "))"
        case .unknownPolicy(let name):
            "unknown policy '\(name)'; known are \(Policy.patterns.joined(separator: ", "))"
        case .unknownFormat(let name):
            "unknown trace format '\(name)'; known are "
                + TraceFormat.allCases.map(\.rawValue).joined(separator: ", ")
        case .unknownEngine(let name): "unknown engine preset '\(name)'"
        case .badOption(let name, let reason): "option \(name) \(reason)"
        case .badLine(let file, let line, let reason): "\(file):\(line): \(reason)"
        case .emptyFile(let file): "\(file): no requests in it"
        case .policyNeedsPush(let name):
            "policy '\(name)' sends messages as they arrive and makes sense in push scenarios only"
        }
    }
}

/// Why the service did not start, in a sentence for the one who started it.
public struct ServiceError: Error, Hashable, CustomStringConvertible {
    /// The sentence.
    public let description: String
    /// Whether the configuration is at fault, rather than the machine.
    public let isConfiguration: Bool

    init(_ description: String, isConfiguration: Bool = false) {
        self.description = description
        self.isConfiguration = isConfiguration
    }
}

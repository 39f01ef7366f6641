/// One of those who share the gateway, known by the keys that its requests carry.
public struct Tenant: Hashable, Sendable {
    /// Its name: among what it owns in the queue, and the fairness id of its requests.
    public var name: String
    /// Its API keys; any of them will do.
    public var keys: [String]

    /// Creates a tenant.
    public init(name: String, keys: [String]) {
        self.name = name
        self.keys = keys
    }
}

/// Keys stay out of logs, whatever is done to print a tenant.
extension Tenant: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The name and the number of keys.
    public var description: String { "Tenant(\(name), \(keys.count) keys)" }
    /// The same.
    public var debugDescription: String { description }
    /// The same.
    public var customMirror: Mirror { Mirror(self, children: ["name": name, "keys": keys.count]) }
}

import Synchronization

/// Tells when something that is asked again and again fails and when it answers again; not each time that it does.
final class Availability<Name: Hashable & Sendable>: Sendable {
    private let onChange: @Sendable (Name, String?) -> Void
    private let failing = Mutex<Set<Name>>([])

    /// `onChange` gets the reason of a failure, or nil when it is over.
    init(onChange: @escaping @Sendable (Name, String?) -> Void) { self.onChange = onChange }

    /// An answer came, or a failure with this reason.
    func note(_ name: Name, failure: String?) {
        let isChange = failing.withLock { failing in
            failure == nil ? failing.remove(name) != nil : failing.insert(name).inserted
        }
        if isChange { onChange(name, failure) }
    }
}

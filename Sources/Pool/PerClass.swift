/// One value for each of the two tempos.
@frozen
public struct PerClass<Value> {
    /// The value for real-time work.
    public var realtime: Value
    /// The value for sheddable work.
    public var sheddable: Value

    /// Creates a pair that starts with the same value twice.
    @inlinable
    public init(repeating value: Value) {
        realtime = value
        sheddable = value
    }

    /// The value for a class.
    @inlinable
    public subscript(workClass: WorkClass) -> Value {
        get {
            switch workClass {
            case .realtime: realtime
            case .sheddable: sheddable
            }
        }
        _modify {
            switch workClass {
            case .realtime: yield &realtime
            case .sheddable: yield &sheddable
            }
        }
    }
}

extension PerClass: Sendable where Value: Sendable {}

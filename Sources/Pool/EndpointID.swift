/// Names an endpoint by its place in the pool's table: dense, so that per-endpoint state lives in arrays.
public struct EndpointID: Hashable, Comparable, Sendable {
    /// The place in the table, from 0.
    public var index: Int

    /// Creates the id of the endpoint at `index`.
    public init(_ index: Int) { self.index = index }

    /// Orders ids by place.
    public static func < (left: EndpointID, right: EndpointID) -> Bool { left.index < right.index }
}

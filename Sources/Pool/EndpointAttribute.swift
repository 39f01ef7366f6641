/// A metric of the model servers that a routing policy reads by a name of its own, beside the load that every engine
/// reports.
public struct EndpointAttribute: Hashable, Sendable {
    /// The name by which policies know it.
    public let name: String
    /// Its series in order of preference: the first that a page has counts.
    public let specs: [MetricSpec]

    /// Creates an attribute.
    public init(name: String, specs: [MetricSpec]) {
        self.name = name
        self.specs = specs
    }

    /// The most attributes of one pool, and series of one attribute; each is compared with every line of a page.
    public static let limit = 32

    /// What a metrics page says of each attribute: the first finite value of its first series that has one, else nil.
    static func values(of attributes: [EndpointAttribute], page: UnsafeRawBufferPointer) -> [Double?] {
        guard !attributes.isEmpty else { return [] }
        let specs = attributes.flatMap(\.specs)
        var found = [Double?](repeating: nil, count: specs.count)
        PrometheusText.forEachSample(in: page, matching: specs) { index, sample in
            if found[index] == nil, sample.value.isFinite { found[index] = sample.value }
        }
        var first = 0
        return attributes.map { attribute in
            defer { first += attribute.specs.count }
            return found[first..<first + attribute.specs.count].lazy.compactMap(\.self).first
        }
    }
}

/// The load of one model server as its metrics page tells it. A signal that the page lacks is nil.
public struct ScrapedMetrics: Hashable, Sendable {
    /// Requests in the engine's own queue.
    public var waiting: Int?
    /// Requests in the running batch.
    public var running: Int?
    /// Share of the KV cache in use, 0...1.
    public var kvUsage: Double?
    /// Size of the KV cache in blocks.
    public var kvBlocks: Int?
    /// Tokens that one KV block holds.
    public var blockSizeTokens: Int?
    /// Its LoRA adapters.
    public var adapters: AdapterReport?
    /// The values of the pool's attributes, in their order; empty if none were asked for.
    public var attributes: [Double?]

    /// Creates metrics; nothing is known unless given.
    public init(
        waiting: Int? = nil, running: Int? = nil, kvUsage: Double? = nil, kvBlocks: Int? = nil,
        blockSizeTokens: Int? = nil, adapters: AdapterReport? = nil, attributes: [Double?] = []
    ) {
        self.waiting = waiting
        self.running = running
        self.kvUsage = kvUsage
        self.kvBlocks = kvBlocks
        self.blockSizeTokens = blockSizeTokens
        self.adapters = adapters
        self.attributes = attributes
    }

    /// Size of the KV cache in tokens, when both factors are known.
    public var kvCapacityTokens: Int? {
        guard let kvBlocks, let blockSizeTokens else { return nil }
        let (tokens, overflowed) = kvBlocks.multipliedReportingOverflow(by: blockSizeTokens)
        return overflowed ? nil : tokens
    }

    /// Reads the signals that `profile` names, and `attributes`, from a page in the Prometheus text format.
    ///
    /// A signal may come as several series, one for each data-parallel rank or model of the server: counts are added up,
    /// usage is averaged, and the first block size counts. Values that are not finite or negative are ignored.
    public init(page: UnsafeRawBufferPointer, profile: EngineProfile, attributes: [EndpointAttribute] = []) {
        self.init(attributes: EndpointAttribute.values(of: attributes, page: page))
        let sources = profile.sources
        var sums = [(total: Double, count: Int, first: Double)](repeating: (0, 0, 0), count: sources.count)
        PrometheusText.forEachSample(in: page, matching: sources.map(\.spec)) { index, sample in
            let reading = sources[index].label.map { sample.label($0).flatMap(Double.init) } ?? sample.value
            guard let reading, reading.isFinite, reading >= 0 else { return }
            if sums[index].count == 0 { sums[index].first = reading }
            sums[index].total += reading
            sums[index].count += 1
        }
        /// The first alternative of a signal that the page has.
        func found(_ signal: EngineProfile.Signal) -> (total: Double, count: Int, first: Double)? {
            sources.indices.first { sources[$0].signal == signal && sums[$0].count > 0 }.map { sums[$0] }
        }
        waiting = found(.waiting).map { Self.count($0.total) }
        running = found(.running).map { Self.count($0.total) }
        kvUsage = found(.kvUsage).map { min($0.total / Double($0.count), 1) }
        kvBlocks = found(.kvBlocks).map { Self.count($0.total) }
        adapters = profile.adapters.flatMap { AdapterReport(page: page, spec: $0) }
        blockSizeTokens = found(.blockSize).map { Self.count($0.first) }.flatMap { $0 > 0 ? $0 : nil }
    }

    /// Reads a page held in an array.
    public init(page: [UInt8], profile: EngineProfile) {
        self = page.withUnsafeBytes { ScrapedMetrics(page: $0, profile: profile) }
    }

    /// Counts beyond any that can occur are clamped, so that no arithmetic on them can overflow.
    private static func count(_ value: Double) -> Int { Int(min(value, 1e15).rounded()) }
}

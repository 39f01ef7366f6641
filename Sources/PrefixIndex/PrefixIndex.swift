/// Which endpoint has which blocks of which prompts in its prefix cache.
///
/// Prompts are chains of hashes: each covers its block and all before it. The index learns from three sources, told apart
/// per endpoint:
/// - what is routed: `insert` the prompt when the endpoint is picked, and again, continued by the answer, when that is
///   complete. Each endpoint's blocks are kept in order of their last use, the first block of a prompt as the most
///   recent one, so that the ends of prompts go first, as in the engines' own caches. Whoever holds a block therefore
///   holds all before it.
/// - what the engines answer: `observe` compares `cached_tokens` with the prediction and adjusts how much an endpoint
///   is believed to keep, and how much a prediction is worth.
/// - what the engines publish (KV events): a precise endpoint is matched by chains of tokens, exactly as it reports.
///
/// Endpoints are numbers below `endpointLimit`; others are ignored. Capacities are in tokens. A design for the defects
/// listed in the shared reference `scheduling.md` 2.1, after 2.4.
public struct PrefixIndex: Sendable {
    /// How many endpoints there can be.
    public static let endpointLimit = 256

    private struct Endpoint: Sendable {
        var blocks = RecencyList()
        var residency = ResidencyEstimate()
        var preciseBlocks = RecencyList()
        var isPrecise = false
    }

    /// Holders kept per entry, on average at most.
    private static let holdersPerEntry = 4
    /// As many blocks are taken from the largest holder before the largest is sought again.
    private static let evictedAtOnce = 64

    private let maximumEntries: Int
    private let maximumHoldings: Int
    private var holdings = 0
    private var preciseHoldings = 0
    private var text: HolderTable
    private var tokens: HolderTable
    private var endpoints: [Endpoint] = []
    private var preciseEndpoints = EndpointSet()
    private var counts = PrefixIndexStatistics()

    /// Creates an empty index.
    ///
    /// - Parameter maximumEntries: distinct blocks of text, and as many of tokens, that are kept; a block takes about 75
    ///   bytes and 45 more for each endpoint that holds it, and no more than four holders per entry are kept on average.
    /// - Parameter seed: spreads the blocks over the table; a random one per process keeps clients from aiming.
    public init(maximumEntries: Int = 1 << 20, seed: UInt64 = 0) {
        self.maximumEntries = min(max(1, maximumEntries), 1 << 28)
        maximumHoldings = self.maximumEntries * Self.holdersPerEntry
        text = HolderTable(seed: seed)
        tokens = HolderTable(seed: seed)
    }

    // MARK: Matching

    /// For each endpoint, how many of a prompt's blocks of text it is believed to have, from the first on.
    ///
    /// - Parameter blocks: one place per endpoint, all of which are set; endpoints beyond its end are left out.
    /// - Returns: the most that any endpoint has.
    @discardableResult
    public func match(_ hashes: [UInt64], into blocks: inout [Int32]) -> Int {
        let size = blocks.count
        return blocks.withUnsafeMutableBufferPointer { blocks in
            blocks.update(repeating: 0)
            return text.match(hashes, isMonotone: true) { endpoint, length in
                if endpoint < size { blocks[endpoint] = Int32(truncatingIfNeeded: length) }
            }
        }
    }

    /// The same, where the prompt is also known as blocks of tokens: the places of precise endpoints count those, the
    /// others blocks of text. Without blocks of tokens all are matched by text.
    ///
    /// - Returns: the most blocks of either kind that any endpoint has.
    @discardableResult
    public func match(text hashes: [UInt64], tokens tokenHashes: [UInt64], into blocks: inout [Int32]) -> Int {
        var longest = match(hashes, into: &blocks)
        if tokenHashes.isEmpty || preciseEndpoints.isEmpty { return longest }
        let size = blocks.count
        blocks.withUnsafeMutableBufferPointer { blocks in
            preciseEndpoints.forEach { if $0 < size { blocks[$0] = 0 } }
            let precise = preciseEndpoints
            let longestPrecise = tokens.match(tokenHashes, isMonotone: false) { endpoint, length in
                if endpoint < size, precise.contains(endpoint) {
                    blocks[endpoint] = Int32(truncatingIfNeeded: length)
                }
            }
            longest = max(longest, longestPrecise)
        }
        return longest
    }

    // MARK: What is routed

    /// A prompt was routed to an endpoint, or an answer was completed there: it has these blocks now, as the most recent.
    ///
    /// Of a prompt that is longer than the endpoint's capacity only the beginning is taken.
    ///
    /// - Parameter tokensPerBlock: what each block counts against the capacity; for text, the prompt's tokens per block.
    /// - Returns: how near to eviction the last of those blocks was that the endpoint had already, for `observe`: 0 just
    ///   used, 1 the next to go, or none at all.
    @discardableResult
    public mutating func insert(_ hashes: [UInt64], endpoint: Int, tokensPerBlock: Double) -> Double {
        guard reserve(endpoint) else { return 1 }
        let weight = RecencyList.weight(tokens: tokensPerBlock)
        let fitting = endpoints[endpoint].residency.capacityTokens.map {
            Int(min($0 * RecencyList.unitsPerToken / Double(weight), Double(maximumEntries)))
        }
        let count = min(hashes.count, fitting ?? maximumEntries, maximumEntries)
        counts.routedBlocks &+= hashes.count
        makeRoom(for: count)
        var ageShare: Double?
        for index in stride(from: count - 1, through: 0, by: -1) {
            let key = hashes[index]
            if ageShare == nil { ageShare = endpoints[endpoint].blocks.ageShare(of: key) }
            if endpoints[endpoint].blocks.touch(key, weight: weight) {
                counts.hitBlocks &+= 1
            } else {
                holdings += 1
                text.insert(key, endpoint: endpoint)
            }
        }
        evictBeyondCapacity(endpoint)
        return ageShare ?? 1
    }

    /// An endpoint was restarted or replaced: it has nothing cached any more. Takes time in proportion to what it had.
    public mutating func clear(endpoint: Int) {
        clearRouted(endpoint: endpoint)
        clearPrecise(endpoint: endpoint)
    }

    /// Forgets what was routed to an endpoint, and leaves what it published itself: whether that is gone it will say.
    public mutating func clearRouted(endpoint: Int) {
        guard endpoints.indices.contains(endpoint) else { return }
        endpoints[endpoint].blocks.forEach { text.remove($0, endpoint: endpoint) }
        holdings -= endpoints[endpoint].blocks.count
        endpoints[endpoint].blocks = RecencyList()
    }

    // MARK: What the engines answer

    /// Says how many tokens an endpoint keeps, from its configuration or metrics; nil if that is not known. What is
    /// learned from answers starts from here.
    public mutating func setCapacity(_ tokens: Int?, endpoint: Int) {
        guard reserve(endpoint) else { return }
        endpoints[endpoint].residency.tell(tokens.map { Double(max(0, $0)) })
        evictBeyondCapacity(endpoint)
    }

    /// How many tokens an endpoint seems to keep; nil while no limit is known.
    public func capacityTokens(endpoint: Int) -> Int? {
        guard endpoints.indices.contains(endpoint) else { return nil }
        return endpoints[endpoint].residency.capacityTokens.map { Int($0) }
    }

    /// An answer tells how much of its prompt was cached.
    ///
    /// - Parameter predictedTokens: what `match` made of it when it was routed, before calibration.
    /// - Parameter ageShare: what `insert` returned then; what was missing although it had just been used is no sign of a
    ///   smaller cache.
    /// - Parameter cachedTokens: the engine's `cached_tokens`; nil if the answer does not say, which counts as none once
    ///   the endpoint has ever told a number (vLLM leaves out a zero), and says nothing before.
    public mutating func observe(
        endpoint: Int, predictedTokens: Int, ageShare: Double = 1, cachedTokens: Int?, promptTokens: Int
    ) {
        guard reserve(endpoint), !endpoints[endpoint].isPrecise else { return }
        endpoints[endpoint].residency.observe(
            predicted: Double(max(0, predictedTokens)), cached: cachedTokens.map { max(0, $0) },
            prompt: Double(max(0, promptTokens)), heldTokens: endpoints[endpoint].blocks.tokens,
            ageShare: ageShare)
        evictBeyondCapacity(endpoint)
    }

    /// What a prediction of cached tokens has been worth at an endpoint, lately.
    public func calibratedTokens(_ predictedTokens: Int, endpoint: Int) -> Int {
        guard endpoints.indices.contains(endpoint), !endpoints[endpoint].isPrecise else { return predictedTokens }
        return Int(Double(predictedTokens) * endpoints[endpoint].residency.ratio)
    }

    // MARK: What the engines publish

    /// Says whether an endpoint publishes what it stores and removes, so that blocks of tokens are matched instead of
    /// blocks of text. Blocks of text go on being recorded, for prompts that nobody has tokenized.
    public mutating func setPrecise(endpoint: Int, _ isPrecise: Bool) {
        guard reserve(endpoint), endpoints[endpoint].isPrecise != isPrecise else { return }
        endpoints[endpoint].isPrecise = isPrecise
        if isPrecise {
            _ = preciseEndpoints.insert(endpoint)
        } else {
            _ = preciseEndpoints.remove(endpoint)
            clearPrecise(endpoint)
        }
    }

    /// Whether an endpoint is matched by blocks of tokens.
    public func isPrecise(endpoint: Int) -> Bool { preciseEndpoints.contains(endpoint) }

    /// A precise endpoint stored a block of tokens. False if there is no room for it: it will look like a miss, never
    /// the other way round.
    @discardableResult
    public mutating func store(_ key: UInt64, endpoint: Int) -> Bool {
        guard endpoints.indices.contains(endpoint), endpoints[endpoint].isPrecise else { return false }
        let isFull = preciseHoldings >= maximumHoldings || tokens.count >= maximumEntries && !tokens.contains(key)
        if isFull, !endpoints[endpoint].preciseBlocks.contains(key) {
            counts.droppedBlocks &+= 1
            return false
        }
        if !endpoints[endpoint].preciseBlocks.touch(key, weight: 1) {
            preciseHoldings += 1
            tokens.insert(key, endpoint: endpoint)
        }
        return true
    }

    /// A precise endpoint removed a block of tokens.
    public mutating func remove(_ key: UInt64, endpoint: Int) {
        guard endpoints.indices.contains(endpoint), endpoints[endpoint].preciseBlocks.remove(key) else { return }
        preciseHoldings -= 1
        tokens.remove(key, endpoint: endpoint)
    }

    /// A precise endpoint removed all its blocks of tokens.
    public mutating func clearPrecise(endpoint: Int) {
        if endpoints.indices.contains(endpoint) { clearPrecise(endpoint) }
    }

    // MARK: Statistics

    /// Counts for metrics.
    public var statistics: PrefixIndexStatistics {
        var statistics = counts
        statistics.textEntries = text.count
        statistics.tokenEntries = tokens.count
        statistics.memoryBytes = text.memoryBytes + tokens.memoryBytes
        for endpoint in endpoints {
            statistics.memoryBytes += endpoint.blocks.memoryBytes + endpoint.preciseBlocks.memoryBytes
        }
        return statistics
    }

    /// Tokens that an endpoint is believed to have cached, by what was routed to it.
    public func heldTokens(endpoint: Int) -> Int {
        endpoints.indices.contains(endpoint) ? Int(endpoints[endpoint].blocks.tokens) : 0
    }

    // MARK: Room

    /// Makes a place for an endpoint; false if its number is out of range.
    private mutating func reserve(_ endpoint: Int) -> Bool {
        guard (0..<Self.endpointLimit).contains(endpoint) else { return false }
        while endpoints.count <= endpoint { endpoints.append(Endpoint()) }
        return true
    }

    private mutating func clearPrecise(_ endpoint: Int) {
        endpoints[endpoint].preciseBlocks.forEach { tokens.remove($0, endpoint: endpoint) }
        preciseHoldings -= endpoints[endpoint].preciseBlocks.count
        endpoints[endpoint].preciseBlocks = RecencyList()
    }

    private mutating func evictBeyondCapacity(_ endpoint: Int) {
        guard let capacity = endpoints[endpoint].residency.capacityTokens else { return }
        while endpoints[endpoint].blocks.tokens > capacity, evictOldest(of: endpoint) {}
    }

    /// Drops the oldest blocks of those who hold most, until there is room for so many new ones.
    private mutating func makeRoom(for blocks: Int) {
        func isFull() -> Bool { text.count + blocks > maximumEntries || holdings + blocks > maximumHoldings }
        while isFull() {
            var largest = 0
            for index in endpoints.indices where endpoints[index].blocks.count > endpoints[largest].blocks.count {
                largest = index
            }
            guard evictOldest(of: largest) else { return }
            for _ in 1..<Self.evictedAtOnce where isFull() { _ = evictOldest(of: largest) }
        }
    }

    private mutating func evictOldest(of endpoint: Int) -> Bool {
        guard let key = endpoints[endpoint].blocks.removeOldest() else { return false }
        holdings -= 1
        text.remove(key, endpoint: endpoint)
        counts.evictedBlocks &+= 1
        return true
    }
}

/// What routing knows of every endpoint at one moment, in dense columns: index `i` of each is endpoint `i` of the pool.
///
/// The scheduler keeps one table and refreshes it before a pick; a pick reads it and writes nothing. Loads are the
/// gateway's own counters, reservations included, unless the name says `scraped`.
public struct CandidateTable: Sendable {
    /// What does not change while the pool stands.
    public struct Identity: Hashable, Sendable {
        /// The endpoint's name: host and port.
        public var name: String
        /// Its labels, for filters.
        public var labels: [String: String]

        /// Creates an identity.
        public init(name: String, labels: [String: String] = [:]) {
            self.name = name
            self.labels = labels
        }
    }

    /// Adapters as the engine reports them (`vllm:lora_requests_info`).
    public struct Adapters: Hashable, Sendable {
        /// Adapters in GPU memory.
        public var active: [String] { didSet { activeBits = Self.bits(of: active) } }
        /// Adapters that requests wait for.
        public var waiting: [String] { didSet { waitingBits = Self.bits(of: waiting) } }
        /// How many can be active at once; 0 if unknown.
        public var limit: Int

        /// A bit per adapter, by which most questions are answered without comparing names.
        private var activeBits: UInt64
        private var waitingBits: UInt64

        /// Creates a report.
        public init(active: [String] = [], waiting: [String] = [], limit: Int = 0) {
            self.active = active
            self.waiting = waiting
            self.limit = limit
            activeBits = Self.bits(of: active)
            waitingBits = Self.bits(of: waiting)
        }

        /// The bit of a name: one of 64 by the FNV-1a hash of its UTF-8 form.
        static func bit(of name: String) -> UInt64 {
            let hash = name.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
            return 1 << (hash >> 58)
        }

        /// Requests for an adapter have been sent to the endpoint: until it tells better, it has it or loads it.
        public mutating func requested(_ name: String) {
            let bit = Self.bit(of: name)
            if !isActive(name, bit: bit), !isWaiting(name, bit: bit), waiting.count < Self.waitingLimit {
                waiting.append(name)
            }
        }

        /// Adapters that are noted as waited for between two reports.
        private static let waitingLimit = 1024

        private static func bits(of names: [String]) -> UInt64 { names.reduce(0) { $0 | bit(of: $1) } }

        /// Whether the adapter, whose bit is given, is in GPU memory.
        func isActive(_ name: String, bit: UInt64) -> Bool { activeBits & bit != 0 && active.contains(name) }

        /// Whether requests wait for the adapter, whose bit is given.
        func isWaiting(_ name: String, bit: UInt64) -> Bool { waitingBits & bit != 0 && waiting.contains(name) }
    }

    /// Who the endpoints are.
    public var identities: [Identity]
    /// Whether the endpoint may get this request: it is up, has room, has not failed it, and is of the wanted subset.
    public var isCandidate: [Bool]
    /// Requests in flight, of both classes.
    public var inFlightRequests: [Int32]
    /// Requests in flight that have produced a token.
    public var decodingRequests: [Int32]
    /// Uncached prompt tokens of requests without a first token.
    public var pendingPrefillTokens: [Int32]
    /// Tokens of context that requests in flight hold.
    public var contextTokens: [Int32]
    /// KV-cache tokens reserved by requests in flight.
    public var reservedKVTokens: [Int32]
    /// The size of the KV cache in tokens; 0 if unknown.
    public var kvTokens: [Int32]
    /// Tokens of this request's prompt that the endpoint has cached, by the prefix index.
    public var cachedPromptTokens: [Int32]
    /// Blocks of this request's prompt that the endpoint has cached, contiguous from the first.
    public var cachedBlocks: [Int32]
    /// Blocks of this request's prompt.
    public var promptBlocks: Int32
    /// Waiting requests in the engine: scraped, corrected by our own counters where they are newer.
    public var scrapedWaiting: [Int32]
    /// Running requests in the engine, likewise.
    public var scrapedRunning: [Int32]
    /// Share of the KV cache in use, 0...1, likewise.
    public var scrapedKVUsage: [Float]
    /// Predicted time to first token of this request there, in milliseconds; negative if there is no prediction.
    public var predictedTTFTMilliseconds: [Float]
    /// Predicted time per output token of this request there, in milliseconds; negative if there is no prediction.
    public var predictedTPOTMilliseconds: [Float]
    /// Time that one uncached prompt token takes the engine, in milliseconds, as learned.
    public var prefillTokenMilliseconds: [Float]
    /// Time that one more request of this one's context adds to every step, in milliseconds, as learned.
    public var addedStepMilliseconds: [Float]
    /// The tightest limit on the time per output token among the requests that run there, in milliseconds.
    public var tightestTPOTLimitMilliseconds: [Float]
    /// Adapters per endpoint.
    public var adapters: [Adapters]
    /// How old the scraped columns are, in milliseconds; infinite where nothing was ever scraped.
    public var scrapeAgeMilliseconds: [Float]
    /// Names of further metrics that the engines report, for policies that are configured to read them.
    public var attributeNames: [String]
    /// Their values: one column per name, one value per endpoint, NaN where an endpoint does not report it.
    public var attributes: [[Double]]

    /// A table of endpoints without any load, none of which has reported any of the attributes.
    public init(_ identities: [Identity], attributeNames: [String] = []) {
        let count = identities.count
        self.identities = identities
        isCandidate = Array(repeating: true, count: count)
        inFlightRequests = Array(repeating: 0, count: count)
        decodingRequests = inFlightRequests
        pendingPrefillTokens = inFlightRequests
        contextTokens = inFlightRequests
        reservedKVTokens = inFlightRequests
        kvTokens = inFlightRequests
        cachedPromptTokens = inFlightRequests
        cachedBlocks = inFlightRequests
        promptBlocks = 0
        scrapedWaiting = inFlightRequests
        scrapedRunning = inFlightRequests
        scrapedKVUsage = Array(repeating: 0, count: count)
        predictedTTFTMilliseconds = Array(repeating: -1, count: count)
        predictedTPOTMilliseconds = predictedTTFTMilliseconds
        prefillTokenMilliseconds = scrapedKVUsage
        addedStepMilliseconds = scrapedKVUsage
        tightestTPOTLimitMilliseconds = Array(repeating: .infinity, count: count)
        adapters = Array(repeating: Adapters(), count: count)
        scrapeAgeMilliseconds = Array(repeating: 0, count: count)
        self.attributeNames = attributeNames
        attributes = attributeNames.map { _ in Array(repeating: .nan, count: count) }
    }

    /// Endpoints of the pool.
    public var count: Int { identities.count }

    /// Prompt tokens that the endpoint would have to compute for the request.
    public func uncachedTokens(of request: RoutingRequest, at index: Int) -> Int {
        max(0, request.promptTokens - Int(cachedPromptTokens[index]))
    }
}

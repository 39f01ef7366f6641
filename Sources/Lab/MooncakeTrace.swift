import Basics

/// Blocks of 16 tokens that one Mooncake id of 512 tokens stands for.
private let blocksPerID = 512 / 16
/// The most ids one line may have: two million tokens, more than any model reads.
private let maxIDs = 4096

/// Reads Mooncake lines, and spreads their 3 s grid by a seeded U(0, 3 s) (`workloads.md` B.5).
func mooncakeRequests(in bytes: [UInt8], file: String, seed: UInt64) throws(LabError) -> [TraceRequest] {
    var generator = SeededGenerator(seed: seed)
    var requests: [TraceRequest] = []
    for (number, line) in ByteLines(bytes) where !line.allSatisfy({ $0 == UInt8(ascii: " ") }) {
        var scanner = FlatObjectScanner(line)
        let fields: [FlatObjectScanner.Field]
        do {
            fields = try scanner.fields()
        } catch {
            throw .badLine(file: file, line: number, reason: error.reason)
        }
        func whole(_ name: String) -> Int? {
            for field in fields where field.name == name {
                if case .number(let value) = field.value { return Int(exactly: value.rounded()) }
            }
            return nil
        }
        guard let stamp = whole("timestamp"), let prompt = whole("input_length"), let output = whole("output_length")
        else {
            throw .badLine(
                file: file, line: number, reason: "timestamp, input_length and output_length must be numbers")
        }
        var ids: [UInt64] = []
        for field in fields where field.name == "hash_ids" {
            guard case .numbers(let values) = field.value, values.count <= maxIDs else {
                throw .badLine(file: file, line: number, reason: "hash_ids must be a list of at most \(maxIDs) numbers")
            }
            ids = values.map { $0.bitPattern }
        }
        let jitter = TimeSpan.seconds(3 * generator.unit())
        guard prompt > 0, output > 0 else { continue }
        requests.append(
            TraceRequest(
                arrival: .zero + .milliseconds(Double(stamp)) + jitter, promptTokens: prompt, outputTokens: output,
                promptBlockHashes: blockHashes(ids: ids, promptTokens: prompt)))
    }
    return requests
}

/// One hash per full 16-token block, each chained with the one before: equal ids from the start give equal hashes.
func blockHashes(ids: [UInt64], promptTokens: Int) -> [UInt64] {
    var hashes: [UInt64] = []
    let limit = promptTokens / 16
    hashes.reserveCapacity(min(limit, ids.count * blocksPerID))
    var chain: UInt64 = 0x51_7C_C1_B7_27_22_0A_95
    for id in ids {
        for block in 0..<UInt64(blocksPerID) where hashes.count < limit {
            chain = mixed(chain ^ mixed(id &+ block &* 0x9E37_79B9_7F4A_7C15))
            hashes.append(chain)
        }
    }
    return hashes
}

/// The finaliser of SplitMix64: a bijection that spreads every bit.
func mixed(_ value: UInt64) -> UInt64 {
    var word = value
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
}

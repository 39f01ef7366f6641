import Basics

/// The length of one line of an offline job.
public struct OfflineLength: Hashable, Sendable {
    /// Length of the prompt, in tokens.
    public var promptTokens: Int
    /// Length of the answer, in tokens.
    public var outputTokens: Int

    /// Creates a length.
    public init(promptTokens: Int, outputTokens: Int) {
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
    }
}

/// The lines of an offline job, repeated for as long as a scenario wants more.
public struct OfflineJob: Hashable, Sendable {
    /// What to call it in reports.
    public var name: String
    /// The lines, in order; never empty.
    public private(set) var lengths: [OfflineLength]

    /// Creates a job of lines of these lengths.
    public init(name: String, lengths: [OfflineLength]) throws(LabError) {
        guard !lengths.isEmpty else { throw .emptyFile(name) }
        self.name = name
        self.lengths = lengths
    }

    /// Reads `num_prefill_tokens,num_decode_tokens,…` lines, as in microsoft/vidur's length files.
    public init(bytes: [UInt8], file: String) throws(LabError) {
        var lengths: [OfflineLength] = []
        var sawHeader = false
        for (number, line) in ByteLines(bytes) where !line.isEmpty {
            let columns = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            guard columns.count >= 2 else {
                throw .badLine(file: file, line: number, reason: "expected at least 2 columns")
            }
            if !sawHeader {
                sawHeader = true
                guard columns[0].elementsEqual("num_prefill_tokens".utf8),
                    columns[1].elementsEqual("num_decode_tokens".utf8)
                else {
                    throw .badLine(
                        file: file, line: number,
                        reason: "expected a header that begins with num_prefill_tokens,num_decode_tokens")
                }
                continue
            }
            guard let prompt = ASCIINumber.decimal(columns[0]), let output = ASCIINumber.decimal(columns[1]) else {
                throw .badLine(file: file, line: number, reason: "token counts must be numbers")
            }
            guard prompt >= 1, output >= 1 else { continue }
            lengths.append(OfflineLength(promptTokens: Int(prompt), outputTokens: Int(output)))
        }
        try self.init(name: file, lengths: lengths)
    }

    /// 10,000 lines with the length statistics of the arXiv summarisation job (`workloads.md` B.3): prompts of about 2,570
    /// tokens, answers of about 300 with a long tail, together at most 4,096.
    public static func generatedSummarization(seed: UInt64) -> OfflineJob {
        var generator = SeededGenerator(seed: seed)
        var job = OfflineJob()
        job.lengths = (0..<10_000).map { _ in
            let output = outputLengths.draw(using: &generator)
            // The long answers of the original belong to short prompts, as the sum is bounded.
            let prompt = min(promptLengths.draw(using: &generator), max(1, 4096 - output))
            return OfflineLength(promptTokens: prompt, outputTokens: output)
        }
        return job
    }

    private init() {
        name = "arxiv-summarization (generated)"
        lengths = []
    }

    /// Length quantiles of microsoft/vidur's arXiv summarisation file (MIT).
    private static let promptLengths = QuantileCurve([
        (0, 1), (0.01, 61), (0.05, 709), (0.1, 1183), (0.2, 1762), (0.3, 2133), (0.4, 2446), (0.5, 2711),
        (0.6, 2988), (0.7, 3244), (0.8, 3486), (0.9, 3702), (0.95, 3814), (0.99, 3931), (1, 4046),
    ])

    private static let outputLengths = QuantileCurve([
        (0, 5), (0.01, 36), (0.05, 59), (0.1, 78), (0.2, 104), (0.3, 124), (0.4, 145), (0.5, 166), (0.6, 191),
        (0.7, 221), (0.8, 269), (0.85, 305), (0.9, 377), (0.92, 430), (0.94, 590), (0.95, 844), (0.96, 1500),
        (0.97, 2200), (0.98, 2864), (0.99, 3332), (0.995, 3638), (1, 4056),
    ])
}

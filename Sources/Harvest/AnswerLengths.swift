/// How long real-time answers lately were: a histogram over octaves, old answers forgotten exponentially.
struct AnswerLengths {
    /// Answers that count in the long run.
    private static let memory = 1000.0
    /// Until so many have been seen, all answers count as short.
    private static let fewest = 8.0
    /// Shares of answers by the number of bits of their length: 1, 2 to 3, 4 to 7 and so on.
    private var shares = [Double](repeating: 0, count: 24)
    private var count = 0.0

    /// Counts an answer.
    mutating func observe(tokens: Int) {
        count = min(count + 1, Self.memory)
        for index in shares.indices { shares[index] *= 1 - 1 / count }
        shares[Self.octave(tokens)] += 1 / count
    }

    /// The share of answers shorter than `tokens`, on the belief that lengths are spread evenly within an octave.
    func shareBelow(_ tokens: Double) -> Double {
        guard tokens > 1 else { return 0 }
        guard count >= Self.fewest else { return 1 }
        let octave = Self.octave(Int(min(tokens, 1e6)))
        let begin = Double(1 << octave)
        return shares[..<octave].reduce(0, +) + shares[octave] * min(1, (tokens - begin) / begin)
    }

    private static func octave(_ tokens: Int) -> Int {
        min(23, Int.bitWidth - 1 - max(1, tokens).leadingZeroBitCount)
    }
}

import Basics

/// The faults that a simulated server commits on purpose.
///
/// Shares are in thousandths of the requests for completions, drawn independently in the order of the properties; the
/// first that hits decides.
public struct FaultPlan: Hashable, Sendable, Codable {
    /// Share answered at once with `rejectStatus`.
    public var rejectPerMille = 0
    /// 429 or 503.
    public var rejectStatus = 429
    /// `Retry-After` of rejected requests in seconds; 0 leaves the header out.
    public var retryAfterSeconds = 1
    /// Share answered at once with status 500.
    public var errorPerMille = 0
    /// Share that never gets an answer: the server keeps silent until the client leaves.
    public var hangPerMille = 0
    /// Share cut off after some tokens: the connection closes without the end of the answer.
    public var cutPerMille = 0
    /// Wait before every request enters the engine, in real milliseconds whatever the speedup.
    public var delayMilliseconds = 0

    /// A plan without faults.
    public init() {}

    /// Reads a plan in which anything may be left out, but nothing misspelt.
    public init(from decoder: any Decoder) throws {
        for key in try decoder.container(keyedBy: AnyKey.self).allKeys where CodingKeys(stringValue: key.name) == nil {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "there is no fault named '\(key.name)'"))
        }
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func number(_ key: CodingKeys, _ fallback: Int, in range: ClosedRange<Int>) throws -> Int {
            guard let value = try values.decodeIfPresent(Int.self, forKey: key) else { return fallback }
            guard range.contains(value) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: values,
                    debugDescription: "\(key.stringValue) must be \(range.lowerBound) to \(range.upperBound)")
            }
            return value
        }
        rejectPerMille = try number(.rejectPerMille, 0, in: 0...1000)
        rejectStatus = try number(.rejectStatus, 429, in: 400...599)
        retryAfterSeconds = try number(.retryAfterSeconds, 1, in: 0...86_400)
        errorPerMille = try number(.errorPerMille, 0, in: 0...1000)
        hangPerMille = try number(.hangPerMille, 0, in: 0...1000)
        cutPerMille = try number(.cutPerMille, 0, in: 0...1000)
        delayMilliseconds = try number(.delayMilliseconds, 0, in: 0...600_000)
    }

    private enum CodingKeys: String, CodingKey {
        case rejectPerMille, rejectStatus, retryAfterSeconds, errorPerMille, hangPerMille, cutPerMille
        case delayMilliseconds
    }

    private struct AnyKey: CodingKey {
        var name: String
        var stringValue: String { name }
        var intValue: Int? { nil }
        init?(stringValue: String) { name = stringValue }
        init?(intValue: Int) { nil }
    }

    /// What happens to one request.
    enum Fate: Hashable, Sendable {
        case served, rejected, failed, hung, cut
    }

    /// Draws the fate of the next request.
    func fate(using generator: inout SeededGenerator) -> Fate {
        func hits(_ perMille: Int) -> Bool { perMille > 0 && Int.random(in: 0..<1000, using: &generator) < perMille }
        if hits(rejectPerMille) { return .rejected }
        if hits(errorPerMille) { return .failed }
        if hits(hangPerMille) { return .hung }
        return hits(cutPerMille) ? .cut : .served
    }
}

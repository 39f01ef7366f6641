/// Something a gate reads: the shell keeps asking it and reports what it says with `DispatchGate.observe`.
///
/// Equal sources are one source: what several elements of a gate need is asked for once.
public enum GateSource: Hashable, Sendable {
    /// An instant query; the first sample of the answer is the reading.
    case prometheus(query: String)
    /// The first sample of a gauge, counter or untyped metric with these labels in a text exposition.
    case scrape(url: String, metric: String, labels: [String: String])
    /// The number under a key.
    case redisKey(address: String, key: String)
}

extension GateSource: CustomStringConvertible {
    /// The source in words, without a password in its address.
    public var description: String {
        switch self {
        case .prometheus(let query): "prometheus query \(query)"
        case .scrape(let url, let metric, let labels):
            "metric \(metric)" + (labels.isEmpty ? "" : GateQueries.matchers(labels))
                + " of \(AddressMask.withoutPassword(url))"
        case .redisKey(let address, let key): "redis key \(key) at \(AddressMask.withoutPassword(address))"
        }
    }
}

/// What a source said.
public enum GateReading: Hashable, Sendable {
    /// A number. Not-a-number and the infinities count as absent.
    case value(Double)
    /// The source answered and has no such sample, or none that is a number.
    case absent
    /// The source could not be asked, in one sentence.
    case failed(String)
}

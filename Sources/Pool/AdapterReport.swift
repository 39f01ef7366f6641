/// The LoRA adapters of one model server as its metrics page tells them.
public struct AdapterReport: Hashable, Sendable {
    /// Names beyond this many, and longer ones than this, are left out: a bound on what a confused server can make us hold.
    private static let nameLimit = 1024
    private static let nameLimitBytes = 256

    /// Adapters in GPU memory.
    public var active: [String]
    /// Adapters that requests wait for.
    public var waiting: [String]
    /// How many can be active at once; 0 if unknown.
    public var limit: Int

    /// Creates a report.
    public init(active: [String] = [], waiting: [String] = [], limit: Int = 0) {
        self.active = active
        self.waiting = waiting
        self.limit = limit
    }

    /// Reads the labels of `vllm:lora_requests_info`; of several series the one with the largest value, which is the time
    /// of its update, counts (shared reference `gaie-protocol.md` 3.2). Nil if the page has none.
    init?(page: UnsafeRawBufferPointer, spec: MetricSpec) {
        var newest: (time: Double, report: AdapterReport)?
        PrometheusText.forEachSample(in: page, matching: [spec]) { _, sample in
            guard sample.value.isFinite, newest.map({ sample.value > $0.time }) ?? true else { return }
            newest = (
                sample.value,
                AdapterReport(
                    active: Self.names(sample.label("running_lora_adapters")),
                    waiting: Self.names(sample.label("waiting_lora_adapters")),
                    limit: max(0, sample.label("max_lora").flatMap { Int($0) } ?? 0))
            )
        }
        guard let newest else { return nil }
        self = newest.report
    }

    private static func names(_ list: String?) -> [String] {
        guard let list else { return [] }
        let names = list.split(separator: ",", maxSplits: nameLimit).prefix(nameLimit).map { name in
            String(name.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        return names.filter { !$0.isEmpty && $0.utf8.count <= nameLimitBytes }
    }
}

import DispatchGates
import Pool

/// One thing to ask, and the sources that its answer is for: what lies on one page is asked for once.
enum GateQuestion: Hashable, Sendable {
    case query(String, GateSource)
    case page(url: String, [PageEntry])
    case key(address: String, key: String, GateSource)

    /// A metric on a page.
    struct PageEntry: Hashable, Sendable {
        let source: GateSource
        let spec: MetricSpec
    }

    /// The questions that cover `sources`.
    static func covering(_ sources: Set<GateSource>) -> [GateQuestion] {
        var questions: [GateQuestion] = []
        var pages: [String: [PageEntry]] = [:]
        for source in sources {
            switch source {
            case .prometheus(let query): questions.append(.query(query, source))
            case .redisKey(let address, let key): questions.append(.key(address: address, key: key, source))
            case .scrape(let url, let metric, let labels):
                let spec = MetricSpec(name: metric, labels: labels.map { .init(name: $0.key, value: $0.value) })
                pages[url, default: []].append(PageEntry(source: source, spec: spec))
            }
        }
        return questions + pages.map { .page(url: $0.key, $0.value) }
    }

    var sources: [GateSource] {
        switch self {
        case .query(_, let source), .key(_, _, let source): [source]
        case .page(_, let entries): entries.map(\.source)
        }
    }
}

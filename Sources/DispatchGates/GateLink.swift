import Basics

/// One element of a gate, with what stands around it.
///
/// A tree of gates is a chain: its elements are asked in order, and the first that does not let a request through ends it,
/// as no combinator turns a no into a yes. The combinators around an element only say what its no means.
struct GateLink: Sendable {
    /// What an element decides by.
    enum Element: Sendable {
        case constant(budget: Double)
        case metric(MetricGate)
        case quota(GateConfiguration.RedisQuota)
        case slots(GateConfiguration.LocalMaxConcurrency)
        case windows(AIMDWindows)
    }

    /// A combinator around an element.
    enum Wrapper: Sendable {
        case waitOnRefuse
        /// The links of the gate inside it lie in `scope`.
        case tierPriority(tierLabel: String, scope: Range<Int>)
    }

    /// What a no of an element comes to.
    enum Judgement {
        case `is`(GateVerdict)
        /// The gate in these links does not count as saturated: the request goes on behind it, holding nothing there.
        case goesOn(Range<Int>)
    }

    let type: String
    var element: Element
    /// Innermost first.
    let wrappers: [Wrapper]
    /// Requests that hold a place here: slots in use, or those counted since the last reading.
    var taken = 0
    /// When a refused quota is worth another try.
    var askAgainAt: Instant?

    /// What a no of this element means for a request.
    ///
    /// Upstream's `tier-priority-admission` takes only a refusal for saturation: a gate inside it that has the request wait, or
    /// drops it, counts as not saturated (shared reference `async-processor.md` 4.2).
    ///
    /// - Parameter mustWait: whether the request is to wait whatever stands around the element.
    func judge(_ verdict: GateVerdict, mustWait: Bool, labels: [String: String]) -> Judgement {
        if mustWait { return .is(.wait) }
        var verdict = verdict
        for wrapper in wrappers {
            switch (wrapper, verdict) {
            case (.waitOnRefuse, .refuse): verdict = .wait
            case (.tierPriority(let tierLabel, _), .refuse):
                verdict = Self.saturated(labels: labels, tierLabel: tierLabel)
            case (.tierPriority(_, let scope), .wait), (.tierPriority(_, let scope), .drop): return .goesOn(scope)
            default: break
            }
        }
        return .is(verdict)
    }

    /// Whether verdicts depend on the request even where the element is closed, so that requests must be asked about.
    var sortsWhenClosed: Bool {
        wrappers.contains { if case .tierPriority = $0 { true } else { false } }
    }

    /// Upstream's table for a saturated pool: who is reserved waits, interactive overflow is turned away, others go back.
    private static func saturated(labels: [String: String], tierLabel: String) -> GateVerdict {
        let classification = labels[PriorityLane.classificationLabel]
        if classification == PriorityLane.reserved { return .wait }
        if classification == PriorityLane.overflow, labels[tierLabel] == "interactive" {
            return .drop(reason: GateVerdict.tooManyRequests)
        }
        return .refuse(reason: "the pool is saturated")
    }

    /// The elements of a configuration, in the order they are asked.
    static func chain(
        _ configuration: GateConfiguration, wrappers: [Wrapper] = [], at start: Int = 0
    ) -> [GateLink] {
        func link(_ element: Element) -> [GateLink] {
            [GateLink(type: configuration.type, element: element, wrappers: wrappers)]
        }
        switch configuration {
        case .constant(let budget): return link(.constant(budget: budget))
        case .redis(let gate): return link(.metric(MetricGate(gate)))
        case .prometheusSaturation(let gate): return link(.metric(MetricGate(gate)))
        case .prometheusBudget(let gate): return link(.metric(MetricGate(gate)))
        case .prometheusQuery(let gate): return link(.metric(MetricGate(gate)))
        case .endpointScrape(let gate): return link(.metric(MetricGate(gate)))
        case .redisQuota(let gate): return link(.quota(gate))
        case .localMaxConcurrency(let gate): return link(.slots(gate))
        case .aimd(let gate): return link(.windows(AIMDWindows(gate)))
        case .composite(let gates):
            return gates.reduce(into: []) { links, gate in
                links += chain(gate, wrappers: wrappers, at: start + links.count)
            }
        case .waitOnRefuse(let gate): return chain(gate, wrappers: [.waitOnRefuse] + wrappers, at: start)
        case .tierPriorityAdmission(let gate):
            let scope = start..<(start + elementCount(gate.saturationGate))
            let wrapper = Wrapper.tierPriority(tierLabel: gate.tierLabel, scope: scope)
            return chain(gate.saturationGate, wrappers: [wrapper] + wrappers, at: start)
        }
    }

    private static func elementCount(_ configuration: GateConfiguration) -> Int {
        switch configuration {
        case .composite(let gates): gates.reduce(0) { $0 + elementCount($1) }
        case .waitOnRefuse(let gate): elementCount(gate)
        case .tierPriorityAdmission(let gate): elementCount(gate.saturationGate)
        default: 1
        }
    }
}

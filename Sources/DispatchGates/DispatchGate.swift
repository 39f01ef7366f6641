public import Basics

/// Decides whether a request may be dispatched now, by a configured gate and all that it holds.
///
/// Pure: the caller keeps asking the `sources` and reports readings, asks `budget` for how much may be in flight and
/// `apply` about each request, asks Redis for the quotas that `apply` wants, and gives back what `takeReturns` names.
/// Elements are asked in order; the first that says no ends the chain, and what earlier ones reserved is given back.
public struct DispatchGate: Sendable {
    /// What a request holds here, or is about to.
    private struct Passage: Sendable {
        var subject: GateSubject
        var added: [String: String] = [:]
        var next = 0
        var holds: [Hold] = []
        /// The quota that was asked for and is not answered yet.
        var pending: QuotaRequest?
    }

    private enum Hold: Sendable {
        case place(link: Int)
        case band(link: Int, lane: PriorityLane)
        case quota(link: Int, QuotaRequest)

        var link: Int {
            switch self {
            case .place(let link), .band(let link, _), .quota(let link, _): link
            }
        }
    }

    private static let quotaRetry = TimeSpan.milliseconds(500)
    private static let unsetConcurrencyWindow = TimeSpan.seconds(300)

    /// The configuration it was made of.
    public let configuration: GateConfiguration
    /// What the shell keeps asking.
    public let sources: Set<GateSource>
    private let owner: String
    private var links: [GateLink]
    private var board: ReadingBoard
    private var passages: [UInt64: Passage] = [:]
    /// Questions to Redis whose request was taken back before the answer came.
    private var abandoned: [UInt64: QuotaRequest] = [:]
    private var returns: [QuotaRequest] = []
    private var acquisitions: UInt64 = 0

    /// Creates a gate.
    ///
    /// - Parameters:
    ///   - configuration: what it is made of.
    ///   - owner: the beginning of every `QuotaRequest.owner`; unique per process and gate.
    ///   - readingInterval: how often the shell asks the sources; upstream caches readings for 5 s.
    ///   - staleAfter: a reading older than this counts as failed; by default three intervals, at least 15 s.
    public init(
        _ configuration: GateConfiguration, owner: String, readingInterval: TimeSpan = .seconds(5),
        staleAfter: TimeSpan? = nil
    ) {
        self.configuration = configuration
        self.owner = owner
        links = GateLink.chain(configuration)
        board = ReadingBoard(staleAfter: staleAfter ?? max(readingInterval * 3, .seconds(15)))
        sources = Set(
            links.flatMap { link -> [GateSource] in
                if case .metric(let gate) = link.element { gate.allSources } else { [] }
            })
    }

    // MARK: Readings and budgets

    /// Takes in what a source said.
    public mutating func observe(_ reading: GateReading, of source: GateSource, now: Instant) {
        guard sources.contains(source) else { return }
        board.post(reading, of: source, now: now)
        for index in links.indices {
            guard case .metric(let gate) = links[index].element, gate.sources.contains(source) else { continue }
            links[index].taken = 0
        }
    }

    /// The share of the workers that may be busy: 0 closed ... 1, the least of the elements'.
    ///
    /// Elements that count requests themselves (`local-max-concurrency`, `aimd`, `redis-quota`, a counted scrape) limit
    /// through `apply` alone: upstream's budgets for them, the free share, would count what is in flight twice. They give
    /// 1 here, and 0 only while they would turn every request away. An element within `tier-priority-admission` gives 1
    /// while it is closed: only by asking about each request can be told who waits and who is dropped.
    public func budget(now: Instant) -> Double {
        links.reduce(1) { least, link in
            if link.sortsWhenClosed, ownBudget(link, now: now) <= 0 { return least }
            return min(least, share(link, now: now))
        }
    }

    /// The same by what is measured alone: for requests that were let through already, which themselves fill the elements that
    /// count requests.
    public func measuredBudget(now: Instant) -> Double {
        links.reduce(1) { least, link in
            switch link.element {
            case .slots, .windows, .quota: return least
            case .constant(let budget): return link.sortsWhenClosed ? least : min(least, budget)
            case .metric(let gate):
                let budget = gate.budget(gate.finding(board, now: now))
                if link.sortsWhenClosed, budget <= 0 { return least }
                return min(least, gate.conversion?.isCounted == true && budget > 0 ? 1 : budget)
            }
        }
    }

    /// The budget by upstream's formulas, free shares included: for `async_dispatch_budget`.
    public func reportedBudget(now: Instant) -> Double {
        links.reduce(1) { min($0, ownBudget($1, now: now)) }
    }

    private func share(_ link: GateLink, now: Instant) -> Double {
        switch link.element {
        case .constant, .quota: ownBudget(link, now: now)
        case .metric(let gate):
            if gate.conversion?.isCounted == true {
                ownBudget(link, now: now) > 0 ? 1 : 0
            } else {
                ownBudget(link, now: now)
            }
        case .slots(let gate): link.taken < gate.limit ? 1 : 0
        case .windows(let windows): windows.hasRoom(now: now) ? 1 : 0
        }
    }

    private func ownBudget(_ link: GateLink, now: Instant) -> Double {
        switch link.element {
        case .constant(let budget): return budget
        case .metric(let gate):
            let finding = gate.finding(board, now: now)
            if case .value(_, let free) = finding, Double(link.taken) >= free { return 0 }
            return gate.budget(finding)
        case .quota: return 1
        case .slots(let gate): return max(0, Double(gate.limit - link.taken) / Double(gate.limit))
        case .windows(let windows): return windows.budget(now: now)
        }
    }

    // MARK: Requests

    /// Asks the chain about a request. What it reserves is held until `release`.
    ///
    /// Asking again about a request that holds something gives that back first; while a quota is asked for, the verdict is
    /// `wait`.
    public mutating func apply(_ subject: GateSubject, now: Instant) -> GateVerdict {
        if passages[subject.id]?.pending != nil || abandoned[subject.id] != nil { return .wait }
        release(subject.id)
        return advance(Passage(subject: subject), now: now)
    }

    /// The answer to `acquire`; the chain goes on behind that gate.
    ///
    /// The answer for a request that was released meanwhile is `wait`, and what was granted is given back.
    public mutating func resume(_ id: UInt64, granted: Bool, now: Instant) -> GateVerdict {
        if let request = abandoned.removeValue(forKey: id) {
            if granted { returns.append(request) }
            return .wait
        }
        guard var passage = passages[id], let request = passage.pending,
            case .quota(let gate) = links[passage.next].element
        else { return .wait }
        passage.pending = nil
        passage.added[PriorityLane.classificationLabel] = granted ? PriorityLane.reserved : PriorityLane.overflow
        if granted {
            passage.holds.append(.quota(link: passage.next, request))
        } else if gate.gatingMode == .blocking {
            links[passage.next].askAgainAt = now + Self.quotaRetry
            return fail(passage, .refuse(reason: "the quota \(request.key) is used up"), now: now)
        }
        passage.next += 1
        return advance(passage, now: now)
    }

    /// The source of a quota could not be asked: the gate is closed to this request for the moment.
    ///
    /// Whether the quota was granted is unknown, so it is among the returns.
    public mutating func acquireFailed(_ id: UInt64, now: Instant) -> GateVerdict {
        if let request = abandoned.removeValue(forKey: id) {
            returns.append(request)
            return .wait
        }
        guard var passage = passages[id], let request = passage.pending else { return .wait }
        passage.pending = nil
        passage.holds.append(.quota(link: passage.next, request))
        links[passage.next].askAgainAt = now + Self.quotaRetry
        return fail(passage, .wait, mustWait: true, now: now)
    }

    /// The answer to `acquire` of a caller that has not asked, and will not now: the gate is closed to this request for the
    /// moment. There is nothing to return.
    public mutating func unasked(_ id: UInt64, now: Instant) -> GateVerdict {
        if abandoned.removeValue(forKey: id) != nil { return .wait }
        guard var passage = passages[id], passage.pending != nil else { return .wait }
        passage.pending = nil
        return fail(passage, .wait, mustWait: true, now: now)
    }

    /// Whether a no to the question that is open for this request turns it away. The no of a quota that classifies becomes
    /// its label instead, and so must not be an old one.
    public func refusalBlocks(_ id: UInt64) -> Bool {
        guard let passage = passages[id], passage.pending != nil, case .quota(let gate) = links[passage.next].element
        else { return false }
        return gate.gatingMode == .blocking
    }

    /// The request is over: frees what it held. Once more does nothing.
    ///
    /// Every request that was told to proceed is to be released, or withdrawn, once.
    public mutating func release(_ id: UInt64) { end(id, wasSent: true) }

    /// The request was taken back before it was sent: gives back all it held, a rate limit's token included.
    public mutating func withdraw(_ id: UInt64) { end(id, wasSent: false) }

    private mutating func end(_ id: UInt64, wasSent: Bool) {
        guard let passage = passages.removeValue(forKey: id) else { return }
        abandoned[id] = passage.pending
        giveBack(passage, from: 0, proceeded: wasSent && passage.pending == nil)
    }

    /// Takes in how a request ended. To be told before its `release`.
    ///
    /// - Parameter sentAt: when the request was sent: only evidence newer than the last decrease counts.
    public mutating func learn(
        _ lesson: GateLesson, of id: UInt64, sentAt: Instant, now: Instant, advice: GateAdvice = GateAdvice()
    ) {
        guard let passage = passages[id] else { return }
        for case .band(let index, let lane) in passage.holds {
            guard case .windows(var windows) = links[index].element else { continue }
            windows.learn(lesson, of: lane, sentAt: sentAt, now: now, advice: advice)
            links[index].element = .windows(windows)
        }
    }

    /// Quota to give back since the last call: slots of requests that are over, and all that a chain acquired and did not
    /// use. Tokens of a rate limit are used up by a request that went.
    public mutating func takeReturns() -> [QuotaRequest] {
        defer { returns = [] }
        return returns
    }

    // MARK: The outlook

    /// When, by the passing of time alone, something may open next.
    public func opensAt(now: Instant) -> Instant? {
        links.lazy.compactMap { link -> Instant? in
            switch link.element {
            case .constant, .slots: nil
            case .quota: link.askAgainAt.flatMap { $0 > now ? $0 : nil }
            case .windows(let windows): windows.opensAt(now: now)
            case .metric(let gate):
                max(gate.whenFailed, gate.whenAbsent) > gate.budget(gate.finding(board, now: now))
                    ? gate.allSources.compactMap { board.staleAt($0, now: now) }.min() : nil
            }
        }.min()
    }

    /// Requests that were let through and not released, or wait for a quota, those taken back meanwhile included.
    public var heldCount: Int { passages.count + abandoned.count }

    /// What each element has to say for itself.
    public func statuses(now: Instant) -> [GateStatus] {
        links.map { link in
            var status = GateStatus(
                type: link.type, inferencePool: "", metricValue: nil, metricThreshold: nil, isSourceAvailable: nil,
                sourceProblem: nil, budget: ownBudget(link, now: now), windows: [])
            switch link.element {
            case .metric(let gate): Self.describe(gate, gate.finding(board, now: now), in: &status)
            case .windows(let windows): status.windows = windows.statuses
            case .constant, .quota, .slots: break
            }
            return status
        }
    }

    private static func describe(_ gate: MetricGate, _ finding: MetricGate.Finding, in status: inout GateStatus) {
        status.inferencePool = gate.inferencePool
        status.metricThreshold = gate.threshold
        status.isSourceAvailable = false
        switch finding {
        case .value(let value, _):
            status.metricValue = value
            status.isSourceAvailable = true
        case .absent: status.sourceProblem = "there is no sample"
        case .failed(let reason): status.sourceProblem = reason
        }
    }

    // MARK: The chain

    private mutating func advance(_ start: Passage, now: Instant) -> GateVerdict {
        var passage = start
        while passage.next < links.count {
            let index = passage.next
            switch links[index].element {
            case .constant, .metric:
                guard ownBudget(links[index], now: now) > 0 else {
                    return fail(passage, .refuse(reason: "the \(links[index].type) gate is closed"), now: now)
                }
                if case .metric(let gate) = links[index].element, gate.conversion?.isCounted == true {
                    links[index].taken += 1
                }
            case .quota(let gate):
                guard let value = passage.subject.metadata[gate.attribute] else { break }
                let request = quotaRequest(gate, value: value)
                passage.pending = request
                passages[passage.subject.id] = passage
                return .acquire(request)
            case .slots(let gate):
                guard links[index].taken < gate.limit else {
                    // Upstream's blocks there, so no combinator around it learns of it.
                    if gate.gatingMode == .blocking { return fail(passage, .wait, mustWait: true, now: now) }
                    return fail(passage, .refuse(reason: "\(gate.limit) requests are in flight"), now: now)
                }
                links[index].taken += 1
                passage.holds.append(.place(link: index))
            case .windows(var windows):
                let lane = windows.lane(labels: labels(of: passage))
                guard windows.enter(lane, now: now) else {
                    links[index].element = .windows(windows)
                    let no = GateVerdict.refuse(reason: "the window of \(lane.name) is full or closed")
                    return fail(passage, lane.isReserved ? .wait : no, now: now)
                }
                links[index].element = .windows(windows)
                passage.holds.append(.band(link: index, lane: lane))
            }
            passage.next += 1
        }
        passages[passage.subject.id] = passage
        return .proceed(labels: passage.added)
    }

    /// An element has said no.
    ///
    /// - Parameter mustWait: the request waits whatever the combinators around the element say.
    private mutating func fail(
        _ passage: Passage, _ verdict: GateVerdict, mustWait: Bool = false, now: Instant
    ) -> GateVerdict {
        switch links[passage.next].judge(verdict, mustWait: mustWait, labels: labels(of: passage)) {
        case .is(let verdict):
            passages[passage.subject.id] = nil
            giveBack(passage, from: 0, proceeded: false)
            return verdict
        case .goesOn(let scope):
            giveBack(passage, from: scope.lowerBound, proceeded: false)
            var passage = passage
            passage.holds.removeAll { scope.contains($0.link) }
            passage.next = scope.upperBound
            return advance(passage, now: now)
        }
    }

    /// Gives back in reverse what a request holds at this link and those behind it.
    private mutating func giveBack(_ passage: Passage, from first: Int, proceeded: Bool) {
        if !proceeded { uncount(passage, from: first) }
        for hold in passage.holds.reversed() where hold.link >= first {
            switch hold {
            case .place(let index): links[index].taken -= 1
            case .band(let index, let lane):
                guard case .windows(var windows) = links[index].element else { continue }
                windows.leave(lane)
                links[index].element = .windows(windows)
            case .quota(_, let request):
                if !proceeded || request.mode == .concurrency { returns.append(request) }
            }
        }
    }

    /// A request that did not go does not count against the last reading.
    private mutating func uncount(_ passage: Passage, from first: Int) {
        for index in min(first, passage.next)..<passage.next {
            guard case .metric(let gate) = links[index].element, gate.conversion?.isCounted == true else { continue }
            links[index].taken = max(0, links[index].taken - 1)
        }
    }

    private func labels(of passage: Passage) -> [String: String] {
        passage.subject.labels.merging(passage.added) { _, added in added }
    }

    private mutating func quotaRequest(_ gate: GateConfiguration.RedisQuota, value: String) -> QuotaRequest {
        acquisitions += 1
        return QuotaRequest(
            address: gate.address, key: "\(gate.prefix)\(gate.attribute):\(value)", mode: gate.mode, limit: gate.limit,
            window: gate.window > .zero ? gate.window : Self.unsetConcurrencyWindow, owner: "\(owner)/\(acquisitions)")
    }
}

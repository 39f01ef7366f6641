import Basics

/// The requests of one priority that wait: whose turn it is among their flows, and who is next in a flow.
///
/// Requests themselves lie in the room's slots; here are their places.
struct Band {
    /// The flow that those share for which there is no room among the flows that are told apart.
    static let overflowName = "other"
    /// The most requests that leave for one newcomer.
    private static let mostLeaving = 8
    /// The least that a request costs, in tokens: nobody gets turns for nothing.
    static let minimumCost = 16.0

    let priority: Int
    let policy: BandPolicy
    let timeToLive: TimeSpan
    private let outputWeight: Double
    private let flowWeights: [String: Double]
    private let maxFlows: Int

    /// All that wait, and those that limits count.
    private(set) var waiting = WaitingAmounts()
    private(set) var counted = WaitingAmounts()
    /// Arrivals that limits count, and those exempt, oldest first.
    private(set) var countedArrivals = LinkedOrder()
    private(set) var exemptArrivals = LinkedOrder()
    /// Tokens that the band is owed under its minimum share; positive: it goes first.
    private(set) var shareCredit = 0.0

    private(set) var flows: [Flow] = []
    /// Flows with requests that limits count, the one that takes up most of what a band may hold first.
    private(set) var largest = SlotHeap()
    private var largestPositions: [Int32] = []
    private var turns: FlowTurns
    /// Which flows are kept back; nil where nobody asks.
    private var shares: FlowShares?
    /// Flows whose turn has to wait for the others'.
    private var deferred: [Int] = []
    private var shared = SlotHeap()
    private var indexOfFlow: [String: Int] = [:]
    private var overflow: Int?
    private var freeFlows: [Int] = []
    private var idleFlows = LinkedOrder()
    private var idleLinks: [Link] = []

    init(priority: Int, configuration: AdmissionConfiguration) {
        self.priority = priority
        policy = configuration.policy(of: priority)
        timeToLive = configuration.timeToLive(inBand: policy)
        outputWeight = configuration.outputTokenWeight
        flowWeights = configuration.flowWeights
        maxFlows = configuration.maxFlowsPerBand
        turns = FlowTurns(quantum: policy.fairness == .tokenFair ? configuration.quantumTokens : 1)
        if policy.fairness == .tokenFair, priority >= 0, configuration.isolationTolerance != nil {
            shares = FlowShares()
        }
    }

    var isEmpty: Bool { waiting.requests == 0 }

    /// The flows that are told apart, and the overflow flow if there is one, in no order.
    var knownFlows: [Int] { Array(indexOfFlow.values) + (overflow.map { [$0] } ?? []) }

    func isOverflow(_ flow: Int) -> Bool { flow == overflow }

    // MARK: Waiting

    /// Lets the request in `slot` wait; its place is filled in.
    mutating func insert(_ slot: Int, in slots: inout WaitingSlots, key: Int64, tie: UInt64, now: Instant) {
        let index = flow(named: slots.requests[slot].flow, now: now)
        slots.places[slot].flow = index
        let place = slots.places[slot]
        if flows[index].waiting.requests == 0 { wake(index, now: now) }
        seen(index, now: now)
        flows[index].waiting.add(place)
        waiting.add(place)
        let item = SlotHeap.Item(key: key, tie: tie, slot: slot)
        if policy.fairness == .strict {
            shared.insert(item, positions: &slots.orderPositions)
        } else {
            flows[index].queue.insert(item, positions: &slots.orderPositions)
        }
        if place.countsAgainstLimits {
            counted.add(place)
            Self.arrive(slot, in: &countedArrivals, &slots)
            // One that went to the front of the band went before all others of its flow.
            if countedArrivals.first == slot {
                flows[index].arrivals.prepend(slot, links: &slots.flowLinks)
            } else {
                flows[index].arrivals.append(slot, links: &slots.flowLinks)
            }
            flows[index].counted.add(place)
            rank(index)
        } else {
            Self.arrive(slot, in: &exemptArrivals, &slots)
        }
    }

    /// Takes the request in `slot` out, for whatever reason.
    mutating func remove(_ slot: Int, in slots: inout WaitingSlots, now: Instant) {
        let place = slots.places[slot]
        let index = place.flow
        if policy.fairness == .strict {
            shared.remove(slot: slot, positions: &slots.orderPositions)
        } else {
            flows[index].queue.remove(slot: slot, positions: &slots.orderPositions)
        }
        waiting.subtract(place)
        flows[index].waiting.subtract(place)
        if flows[index].waiting.requests == 0 { sleep(index, now: now) }
        if place.countsAgainstLimits {
            counted.subtract(place)
            countedArrivals.remove(slot, links: &slots.links)
            flows[index].arrivals.remove(slot, links: &slots.flowLinks)
            flows[index].counted.subtract(place)
            rank(index)
        } else {
            exemptArrivals.remove(slot, links: &slots.links)
        }
        if isEmpty { shareCredit = min(shareCredit, 0) }
    }

    // Mutating, both of these, for one reason: a band is then looked at in place. Read otherwise it is copied, with a
    // reference counted for each of its columns, and they are asked at every step.

    /// The slot that is next in fair order.
    mutating func head() -> Int? {
        if policy.fairness == .strict { return shared.first?.slot }
        guard let flow = turns.next else { return nil }
        return flows[flow].queue.first?.slot
    }

    /// Which limit of the band leaves no room for `request`.
    mutating func refusal(of request: WaitingRequest) -> AdmissionRefusal? {
        counted.refusal(of: request, policy.limits)?.band
    }

    /// The slots of the requests that have to leave so that `request` can come in; nil if there is no room for it.
    ///
    /// Where flows are treated fairly, so are they at the door: who floods the band would else keep the others out. The
    /// newest requests of the flow that takes up most leave, as long as it takes up more than that of the newcomer would
    /// (the longest queue drops: Suter, Lakshman, Stiliadis and Choudhury, 1998; of several limits the one counts of which
    /// a flow takes up most: Ghodsi et al., "Dominant resource fairness", 2011).
    mutating func leaving(for request: WaitingRequest, in slots: WaitingSlots) -> [Int]? {
        guard counted.refusal(of: request, policy.limits) != nil else { return [] }
        let own = indexOfFlow[request.flow] ?? (indexOfFlow.count >= maxFlows ? overflow : nil)
        guard let flow = largest.first?.slot, flow != own else { return nil }
        var newcomer = own.map { flows[$0].counted } ?? WaitingAmounts()
        newcomer.add(request)
        let weight = own.map { turns.weight(of: $0) } ?? flowWeights[request.flow] ?? 1
        let share = policy.limits.share(of: newcomer) / weight
        var (band, rest) = (counted, flows[flow].counted)
        var leaving: [Int] = []
        var next = flows[flow].arrivals.last
        while let slot = next, leaving.count < Self.mostLeaving,
            policy.limits.share(of: rest) / turns.weight(of: flow) > share
        {
            leaving.append(slot)
            band.subtract(slots.places[slot])
            rest.subtract(slots.places[slot])
            if band.refusal(of: request, policy.limits) == nil { return leaving }
            next = flows[flow].arrivals.before(slot, links: slots.flowLinks)
        }
        return nil
    }

    /// The first `limit` slots in fair order.
    func first(_ limit: Int, in slots: WaitingSlots) -> [Int] {
        if policy.fairness == .strict { return shared.smallest(limit) }
        var queues: [Int: [Int]] = [:]
        func slot(_ flow: Int, _ number: Int) -> Int? {
            let queue = queues[flow] ?? flows[flow].queue.smallest(limit)
            queues[flow] = queue
            return number < queue.count ? queue[number] : nil
        }
        let order = turns.order(limit: limit) { flow, number in
            slot(flow, number).map { cost(of: slots.places[$0].use) }
        }
        return order.compactMap { slot($0.flow, $0.number) }
    }

    /// The slot of the request that has waited longest, and since when.
    func oldest(in slots: WaitingSlots) -> (slot: Int, since: Instant)? {
        guard let counted = countedArrivals.first else {
            return exemptArrivals.first.map { ($0, slots.places[$0].since) }
        }
        let since = slots.places[counted].since
        if let exempt = exemptArrivals.first, slots.places[exempt].since < since {
            return (exempt, slots.places[exempt].since)
        }
        return (counted, since)
    }

    /// Tokens that go before a request of `flow` that would be ordered by `key`, within this band.
    func tokensAhead(of flow: String, key: Int64, ownTokens: Int, in slots: WaitingSlots) -> Int {
        if policy.fairness == .strict {
            guard policy.ordering != .firstCome else { return waiting.tokens }
            return shared.slots(upTo: key, limit: 1024).reduce(0) { $0 + slots.places[$1].use.total }
        }
        let own = indexOfFlow[flow].map { flows[$0].waiting } ?? WaitingAmounts()
        // While the flow works off what it has waiting and then the request itself, each other flow gets as much.
        let others = turns.waitingFlows - (own.requests > 0 ? 1 : 0)
        let (product, overflows) = others.multipliedReportingOverflow(by: own.tokens + ownTokens)
        return min(waiting.tokens, overflows ? .max : own.tokens + min(product, waiting.tokens))
    }

    // MARK: Fairness

    /// A request that waits is being dispatched.
    mutating func charge(_ use: TokenUse, flow index: Int, now: Instant) {
        turns.charge(index, cost: cost(of: use))
        note(tokenCost(of: use), flow: index, now: now)
    }

    /// A request was dispatched without waiting.
    mutating func chargeUnqueued(_ request: WaitingRequest, now: Instant) {
        let index = flow(named: request.flow, now: now)
        turns.chargeUnqueued(index, cost: cost(of: request.use))
        seen(index, now: now)
        note(tokenCost(of: request.use), flow: index, now: now)
        guard flows[index].waiting.requests == 0 else { return }
        // It has just been seen, so it is the last to be forgotten.
        idleFlows.remove(index, links: &idleLinks)
        idleFlows.append(index, links: &idleLinks)
        flows[index].since = now
    }

    /// A dispatched request of `flow` turned out to have taken `actual`.
    mutating func settle(flow: String, estimated: TokenUse, actual: TokenUse, now: Instant) {
        guard let index = indexOfFlow[flow] ?? overflow else { return }
        turns.settle(index, difference: cost(of: actual) - cost(of: estimated))
        note(tokenCost(of: actual) - tokenCost(of: estimated), flow: index, now: now)
    }

    private mutating func note(_ cost: Double, flow index: Int, now: Instant) {
        flows[index].note(cost: cost, now: now)
        guard shares != nil else { return }
        shares?.add(cost, to: index, isWaiting: turns.isWaiting(index), now: now)
    }

    private mutating func seen(_ index: Int, now: Instant) {
        shares?.seen(index, now: now) { turns.isWaiting($0) }
    }

    // MARK: Shares

    /// Whether a flow is kept from the others because it has got far more than they.
    mutating func standing(of flow: String, now: Instant) -> FlowStanding {
        guard shares?.watchedCount ?? 0 > 0, let index = indexOfFlow[flow] ?? overflow else { return .free }
        judge(index, now: now)
        return shares?.standing(of: index) ?? .free
    }

    /// What flows that are not kept back got of all that was started lately, 0 to 1.
    mutating func othersPart(now: Instant) -> Double { shares?.othersPart(now: now) ?? 1 }

    /// Lets the other flows go before one that is kept back; false if they do already, or it is not.
    mutating func deferTurn(of flow: String) -> Bool {
        guard let index = indexOfFlow[flow] ?? overflow, (shares?.standing(of: index) ?? .free) != .free,
            !turns.isBehind(index)
        else {
            return false
        }
        turns.setBehind(index, true)
        deferred.append(index)
        return true
    }

    /// Turns are taken as usual again.
    mutating func resumeTurns() {
        for index in deferred { turns.setBehind(index, false) }
        deferred.removeAll(keepingCapacity: true)
    }

    /// Judges the flows that are watched anew.
    mutating func reviewShares(now: Instant) {
        for index in shares?.allWatched() ?? [] { judge(index, now: now) }
    }

    private mutating func judge(_ index: Int, now: Instant) {
        shares?.judge(index, isWaiting: turns.isWaiting(index), now: now)
    }

    /// `tokens` were dispatched among the bands that share with this one while it had work waiting.
    mutating func accrueShare(ofTokens tokens: Double) { shareCredit += policy.minimumShare * tokens }

    /// The band itself dispatched `tokens`. What it gets when nobody above it waits is not held against it later.
    mutating func spendShare(tokens: Double) { shareCredit = max(shareCredit - tokens, -tokens) }

    // MARK: Flows

    /// Forgets flows that have had nothing waiting since `before`.
    mutating func forgetFlows(idleSince before: Instant, now: Instant) {
        while let index = idleFlows.first, flows[index].since <= before { forget(index, now: now) }
    }

    private func cost(of use: TokenUse) -> Double {
        policy.fairness == .tokenFair ? tokenCost(of: use) : 1
    }

    private func tokenCost(of use: TokenUse) -> Double {
        max(use.cost(outputWeight: outputWeight), Self.minimumCost)
    }

    private mutating func flow(named name: String, now: Instant) -> Int {
        if let index = indexOfFlow[name] { return index }
        if indexOfFlow.count >= maxFlows {
            // Another one's place is taken over unless it would lose a debt by that, and could come back without it.
            guard let idle = idleFlows.first, idle != overflow, !turns.isInDebt(idle) else { return overflowFlow() }
            forget(idle, now: now)
        }
        let index = addFlow(Flow(name: name), weight: flowWeights[name] ?? 1)
        indexOfFlow[name] = index
        return index
    }

    private mutating func overflowFlow() -> Int {
        if let overflow { return overflow }
        let index = addFlow(Flow(name: Self.overflowName), weight: 1)
        overflow = index
        return index
    }

    private mutating func addFlow(_ flow: Flow, weight: Double) -> Int {
        let index = freeFlows.popLast() ?? flows.count
        if index == flows.count {
            flows.append(flow)
            idleLinks.append(Link())
            largestPositions.append(-1)
        } else {
            flows[index] = flow
        }
        turns.addFlow(index, weight: weight)
        shares?.addFlow(index, weight: weight)
        idleFlows.append(index, links: &idleLinks)
        return index
    }

    private mutating func forget(_ index: Int, now: Instant) {
        shares?.removeFlow(index, now: now)
        idleFlows.remove(index, links: &idleLinks)
        if index == overflow { overflow = nil } else { indexOfFlow[flows[index].name] = nil }
        freeFlows.append(index)
        flows[index] = Flow(name: "")
    }

    /// Puts a flow where it belongs by what it takes up.
    private mutating func rank(_ index: Int) {
        guard policy.fairness != .strict else { return }
        let isRanked = largestPositions[index] >= 0
        guard flows[index].counted.requests > 0 else {
            if isRanked { largest.remove(slot: index, positions: &largestPositions) }
            return
        }
        let share = policy.limits.share(of: flows[index].counted) / turns.weight(of: index)
        let item = SlotHeap.Item(key: -Int64(min(share * 1e9, 9e18)), tie: UInt64(index), slot: index)
        if isRanked {
            largest.update(slot: index, to: item, positions: &largestPositions)
        } else {
            largest.insert(item, positions: &largestPositions)
        }
    }

    private mutating func wake(_ index: Int, now: Instant) {
        idleFlows.remove(index, links: &idleLinks)
        turns.join(index)
        flows[index].since = now
        flows[index].recent = RateEstimate(timeConstant: Flow.horizon)
    }

    private mutating func sleep(_ index: Int, now: Instant) {
        turns.leave(index)
        idleFlows.append(index, links: &idleLinks)
        flows[index].since = now
    }

    /// Enters an arrival so that the order of `since` holds. One that comes back is the oldest, or takes its turn.
    private static func arrive(_ slot: Int, in order: inout LinkedOrder, _ slots: inout WaitingSlots) {
        let since = slots.places[slot].since
        if let first = order.first, since < slots.places[first].since {
            order.prepend(slot, links: &slots.links)
        } else {
            if let last = order.last { slots.places[slot].since = max(since, slots.places[last].since) }
            order.append(slot, links: &slots.links)
        }
    }
}

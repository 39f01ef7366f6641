public import Basics

/// Where requests wait while the pool is saturated: bounded bands, the highest priority first, flows fairly inside.
///
/// A caller lets requests in with `insert`, asks for the `head` of the line as long as there is a place for it, and
/// says what it did with each: `dispatch` (which charges its flow) or `remove`. When a dispatched request ends,
/// `settle` says what it took. All of them cost O(log n); nothing scans the room.
public struct WaitingRoom: Sendable {
    /// What the room was told once.
    public let configuration: AdmissionConfiguration
    /// How fast work leaves the room while there is some.
    public private(set) var drain: DrainRate
    /// Requests waiting with a priority of zero or above.
    public private(set) var realtimeCount = 0

    private let totalLimits: WaitingLimits
    let noEndpointTimeToLive: TimeSpan?
    var slots = WaitingSlots()
    var bands: [Band] = []
    /// Indices of bands, highest priority first.
    private(set) var order: [(priority: Int, index: Int)] = []
    /// What limits count, over all bands and over sheddable ones.
    private(set) var counted = WaitingAmounts()
    private var countedSheddable = WaitingAmounts()
    /// Requests that stop waiting by their own word before their band's time to live ends.
    var expiries = SlotHeap()
    private var arrivals: UInt64 = 0
    private var hasExceptions = false
    private var hasDeferred = false
    var hasEndpoints = true
    /// Since when `hasEndpoints` has been what it is.
    var endpointsChanged = Instant.zero

    /// Creates an empty room.
    public init(configuration: AdmissionConfiguration = .init()) {
        self.configuration = configuration
        totalLimits = configuration.totalLimits
        noEndpointTimeToLive = configuration.noEndpointTimeToLive
        drain = DrainRate(maxBands: configuration.maxBands)
    }

    /// Requests waiting in all bands.
    public var count: Int { slots.count }

    /// Requests waiting with a priority below zero.
    public var sheddableCount: Int { count - realtimeCount }

    // MARK: Coming in

    /// Lets `request` wait, unless there is no room. Requests that had to make room for it are handed out.
    public mutating func insert(_ request: WaitingRequest, now: Instant) -> AdmissionOutcome {
        guard slots.slot(of: request.id) == nil else { return .refused(.duplicate) }
        guard let index = band(of: request.priority, create: true) else { return .refused(.bands) }
        var evicted: [WaitingRequest] = []
        if request.countsAgainstLimits {
            guard let leaving = bands[index].leaving(for: request, in: slots) else {
                return .refused(bands[index].refusal(of: request) ?? .bandRequests)
            }
            // Nobody leaves for one who cannot come in all the same.
            if let refusal = refusalInTotal(of: request, without: leaving) { return .refused(refusal) }
            for slot in leaving { evicted.append(takeOut(slot, now: now)) }
            while counted.refusal(of: request, totalLimits) != nil, let victim = nextVictim() {
                evicted.append(takeOut(victim, now: now))
            }
        }
        enter(request, band: index, now: now)
        return .admitted(evicted: evicted)
    }

    private mutating func enter(_ request: WaitingRequest, band index: Int, now: Instant) {
        let slot = slots.insert(request, band: index, since: min(request.enqueued, now))
        arrivals += 1
        let key = orderingKey(of: request, inBand: index)
        bands[index].insert(slot, in: &slots, key: key, tie: arrivals, now: now)
        if request.priority >= 0 { realtimeCount += 1 }
        if request.countsAgainstLimits {
            counted.add(slots.places[slot])
            if request.priority < 0 { countedSheddable.add(slots.places[slot]) }
        }
        let expiry = individualExpiry(of: request, at: slot)
        if expiry < .distantFuture {
            let item = SlotHeap.Item(key: expiry.nanoseconds, tie: request.id, slot: slot)
            expiries.insert(item, positions: &slots.expiryPositions)
            slots.places[slot].expiresAlone = true
        }
    }

    /// Which total limit would leave no room for `request` if the requests in the slots `leaving` did not wait; nor, if it
    /// is a real-time one, any sheddable one.
    private func refusalInTotal(of request: WaitingRequest, without leaving: [Int]) -> AdmissionRefusal? {
        var rest = counted
        for slot in leaving { rest.subtract(slots.places[slot]) }
        guard request.priority >= 0, let refusal = rest.refusal(of: request, totalLimits) else {
            return rest.refusal(of: request, totalLimits)?.total
        }
        rest.requests -= countedSheddable.requests
        rest.bytes -= countedSheddable.bytes
        rest.tokens -= countedSheddable.tokens
        return rest.refusal(of: request, totalLimits) == nil ? nil : refusal.total
    }

    /// The newest request of the lowest sheddable band.
    private func nextVictim() -> Int? {
        for (priority, index) in order.reversed() where priority < 0 {
            if let last = bands[index].countedArrivals.last { return last }
        }
        return nil
    }

    // MARK: Whose turn it is

    /// The request that is next in turn; it stays until dispatched or removed.
    ///
    /// - Parameters:
    ///   - realtime: whether it is the turn of real-time or of sheddable work. Real-time turns are also those of
    ///     sheddable requests whose band goes before real-time ones by `BandPolicy.appliesAcrossClasses`.
    ///   - floor: the lowest priority whose turn it may be.
    public mutating func head(realtime: Bool, now: Instant, floor: Int = .min) -> WaitingRequest? {
        choice(realtime: realtime, now: now, floor: floor).map { slots.requests[$0.slot] }
    }

    /// Up to `limit` requests in turn behind the head: who may pass a head that does not fit.
    ///
    /// They are of the head's band alone, unless it has gone before a higher one: then those of the highest band that
    /// waits come first, and those of its own follow.
    public mutating func behindHead(realtime: Bool, now: Instant, limit: Int, floor: Int = .min) -> [WaitingRequest] {
        guard limit > 0, let head = choice(realtime: realtime, now: now, floor: floor) else { return [] }
        var passing: [Int] = []
        for index in head.passed.map({ [$0, head.band] }) ?? [head.band] where passing.count < limit {
            passing += bands[index].first(limit - passing.count + 1, in: slots).filter { $0 != head.slot }
        }
        return passing.prefix(limit).map { slots.requests[$0] }
    }

    private struct Choice {
        var slot: Int
        var band: Int
        /// The higher band before which it goes.
        var passed: Int?
    }

    private mutating func choice(realtime: Bool, now: Instant, floor: Int) -> Choice? {
        var highest: Int?
        var overdue: (slot: Int, band: Int, due: Instant)?
        var owed: Int?
        for (priority, index) in order where !bands[index].isEmpty {
            guard priority >= floor else { break }
            let isInClass = (priority >= 0) == realtime
            if isInClass, highest == nil {
                highest = index
                if !hasExceptions { break }
                continue
            }
            guard isInClass || (realtime && bands[index].policy.appliesAcrossClasses) else { continue }
            if let bound = bands[index].policy.ageingBound, let oldest = bands[index].oldest(in: slots) {
                let due = oldest.since + bound
                if due <= now, overdue.map({ due < $0.due }) ?? true { overdue = (oldest.slot, index, due) }
            }
            if owed == nil, bands[index].shareCredit > 0 { owed = index }
        }
        if let overdue { return Choice(slot: overdue.slot, band: overdue.band, passed: highest) }
        guard let index = owed ?? highest, let slot = bands[index].head() else { return nil }
        return Choice(slot: slot, band: index, passed: owed == nil ? nil : highest)
    }

    /// Whether a flow is kept from the others of its band because it has got far more than they; never without an
    /// `AdmissionConfiguration.isolationTolerance`.
    public mutating func standing(ofFlow flow: String, priority: Int, now: Instant) -> FlowStanding {
        guard configuration.isolationTolerance != nil, let index = band(of: priority, create: false) else {
            return .free
        }
        return bands[index].standing(of: flow, now: now)
    }

    /// Lets the other flows of a band go before one that is kept back and may not start now, until `resumeTurns`; false
    /// if they do already, or it is not kept back.
    public mutating func deferTurn(flow: String, priority: Int) -> Bool {
        guard let index = band(of: priority, create: false), bands[index].deferTurn(of: flow) else { return false }
        hasDeferred = true
        return true
    }

    /// Flows take their turns as usual again.
    public mutating func resumeTurns() {
        guard hasDeferred else { return }
        for index in bands.indices { bands[index].resumeTurns() }
        hasDeferred = false
    }

    /// What those flows of a band that are not watched for having got too much got of all that was started lately, 0 to 1.
    public mutating func othersPart(priority: Int, now: Instant) -> Double {
        band(of: priority, create: false).map { bands[$0].othersPart(now: now) } ?? 1
    }

    // MARK: Going out

    /// Takes a request out because it starts now, and charges its flow for what it is expected to take; nil if it does
    /// not wait here.
    @discardableResult
    public mutating func dispatch(_ id: UInt64, now: Instant) -> WaitingRequest? {
        guard let slot = slots.slot(of: id) else { return nil }
        let place = slots.places[slot]
        bands[place.band].charge(place.use, flow: place.flow, now: now)
        if hasExceptions { accountShares(of: place) }
        drain.dispatched(priority: place.priority, tokens: place.use.total)
        return takeOut(slot, now: now)
    }

    /// Charges the flow of a request that starts now and never waited here.
    public mutating func dispatchedWithoutWaiting(_ request: WaitingRequest, now: Instant) {
        guard let index = band(of: request.priority, create: true) else { return }
        bands[index].chargeUnqueued(request, now: now)
    }

    /// Corrects what a dispatched request was charged by what it really took. One that failed before it took anything
    /// is settled with `TokenUse.none`.
    public mutating func settle(
        flow: String, priority: Int, estimated: TokenUse, actual: TokenUse, now: Instant
    ) {
        guard let index = band(of: priority, create: false) else { return }
        bands[index].settle(flow: flow, estimated: estimated, actual: actual, now: now)
    }

    /// Takes a request out that does not start: its client left, or it can go nowhere; nil if it does not wait here.
    @discardableResult
    public mutating func remove(_ id: UInt64, now: Instant) -> WaitingRequest? {
        slots.slot(of: id).map { takeOut($0, now: now) }
    }

    /// Takes everybody out, in no particular order of importance: the pool is shutting down.
    public mutating func removeAll(now: Instant) -> [WaitingRequest] {
        var everybody: [WaitingRequest] = []
        for (_, index) in order {
            while let slot = bands[index].oldest(in: slots)?.slot { everybody.append(takeOut(slot, now: now)) }
        }
        return everybody.sorted { $0.id < $1.id }
    }

    mutating func takeOut(_ slot: Int, now: Instant) -> WaitingRequest {
        let place = slots.places[slot]
        bands[place.band].remove(slot, in: &slots, now: now)
        if place.expiresAlone { expiries.remove(slot: slot, positions: &slots.expiryPositions) }
        if place.isRealtime { realtimeCount -= 1 }
        if place.countsAgainstLimits {
            counted.subtract(place)
            if !place.isRealtime { countedSheddable.subtract(place) }
        }
        return slots.free(slot)
    }

    /// Every band that waits and has a minimum share of what this dispatch is part of is owed its part of it.
    private mutating func accountShares(of place: WaitingSlots.Place) {
        let tokens = Double(max(1, place.use.total))
        for (priority, index) in order where bands[index].policy.minimumShare > 0 && !bands[index].isEmpty {
            let sharesClass = (priority >= 0) == place.isRealtime
            guard sharesClass || (priority < 0 && bands[index].policy.appliesAcrossClasses) else { continue }
            bands[index].accrueShare(ofTokens: tokens)
        }
        if bands[place.band].policy.minimumShare > 0 { bands[place.band].spendShare(tokens: tokens) }
    }

    // MARK: Bands

    /// The index of the band of `priority`. A new one takes the place of an empty one if there are too many.
    private mutating func band(of priority: Int, create: Bool) -> Int? {
        let position = order.firstIndex { $0.priority <= priority } ?? order.count
        if position < order.count, order[position].priority == priority { return order[position].index }
        guard create else { return nil }
        let band = Band(priority: priority, configuration: configuration)
        if bands.count < configuration.maxBands {
            bands.append(band)
            order.insert((priority, bands.count - 1), at: position)
        } else {
            guard let empty = order.lastIndex(where: { bands[$0.index].isEmpty }) else { return nil }
            let index = order.remove(at: empty).index
            bands[index] = band
            order.insert((priority, index), at: empty < position ? position - 1 : position)
        }
        hasExceptions = bands.contains { $0.policy.makesExceptions }
        return order.first { $0.priority == priority }?.index
    }

    mutating func observeDrain(now: Instant) {
        drain.observe(highestWaiting: order.first { !bands[$0.index].isEmpty }?.priority, now: now)
    }

    mutating func forgetIdleFlows(now: Instant) {
        let before = now - configuration.idleFlowTimeout
        for index in bands.indices {
            bands[index].forgetFlows(idleSince: before, now: now)
            bands[index].reviewShares(now: now)
        }
    }
}

extension WaitingAmounts {
    enum Kind {
        case requests, bytes, tokens

        var band: AdmissionRefusal {
            switch self {
            case .requests: .bandRequests
            case .bytes: .bandBytes
            case .tokens: .bandTokens
            }
        }

        var total: AdmissionRefusal {
            switch self {
            case .requests: .totalRequests
            case .bytes: .totalBytes
            case .tokens: .totalTokens
            }
        }
    }

    /// Which of `limits` leaves no room for `request` beside these.
    func refusal(of request: WaitingRequest, _ limits: WaitingLimits) -> Kind? {
        if let most = limits.requests, requests >= most { return .requests }
        if let most = limits.bytes, bytes + request.bytes > most { return .bytes }
        if let most = limits.tokens, tokens + request.use.total > most { return .tokens }
        return nil
    }
}

import Basics

/// Which flows of a band get far more than the others, by what was started for them lately.
///
/// A flow is watched once it has got more than twice what the others have on average (each divided by its weight), by
/// more than chance explains; it is watched until it asks for no more than half as much again as they get. While it is
/// watched it is above its share whenever it is above their average; below half of that it is free, so that nobody starves
/// by it. Who asks for nothing is not among the others. All steps take constant time, spread over calls.
struct FlowShares {
    /// Over how many seconds is looked back; older cost counts less and less. Who has not been seen for as long asks for
    /// nothing.
    private static let horizonSeconds = 10.0
    /// How many times the others' average makes a flow one that is watched.
    private static let ratio = 2.0
    /// From how many times on it goes on being watched though it asks for no more.
    private static let releaseRatio = 1.5
    /// Up to how many times the others' average it is nevertheless free.
    private static let freeRatio = 0.5
    /// How many standard deviations, and how many requests, are left to chance.
    private static let deviations = 3.0

    /// A sum that forgets.
    private struct RecentCost {
        private var value = 0.0
        private var updated = Instant.zero

        mutating func roll(_ now: Instant) -> Double {
            let elapsed = (now - updated).seconds
            if elapsed > 0 {
                value *= exponential(-elapsed / FlowShares.horizonSeconds)
                updated = now
            }
            return value
        }

        mutating func add(_ cost: Double, now: Instant) { value = max(0, roll(now) + cost) }
    }

    private struct Account {
        var weight = 1.0
        var cost = RecentCost()
        var seen = Instant.zero
        var isActive = false
        var isWatched = false
        var standing = FlowStanding.free
    }

    private var accounts: [Account] = []
    /// Flows that ask for something, the one not seen for longest first.
    private var active = LinkedOrder()
    private var links: [Link] = []
    private var activeWeight = 0.0
    private var total = RecentCost()
    private var totalWatched = RecentCost()
    /// The squares of what requests cost.
    private var squares = RecentCost()
    /// How many flows are watched: no others are kept back.
    private(set) var watchedCount = 0

    func standing(of flow: Int) -> FlowStanding { accounts[flow].standing }

    /// What those who are not watched got of all that was started lately, 0 to 1.
    mutating func othersPart(now: Instant) -> Double {
        let all = total.roll(now)
        return all > 0 ? min(max(1 - totalWatched.roll(now) / all, 0), 1) : 1
    }

    mutating func addFlow(_ flow: Int, weight: Double) {
        while accounts.count <= flow {
            accounts.append(Account())
            links.append(Link())
        }
        accounts[flow] = Account(weight: max(weight, 1e-6))
    }

    mutating func removeFlow(_ flow: Int, now: Instant) {
        retire(flow)
        set(flow, isWatched: false, .free, now: now)
    }

    /// A flow asks for something.
    mutating func seen(_ flow: Int, now: Instant, isWaiting: (Int) -> Bool) {
        if accounts[flow].isActive {
            active.remove(flow, links: &links)
        } else {
            accounts[flow].isActive = true
            activeWeight += accounts[flow].weight
        }
        accounts[flow].seen = now
        active.append(flow, links: &links)
        while let first = active.first, (now - accounts[first].seen).seconds > Self.horizonSeconds {
            if isWaiting(first) {
                active.remove(first, links: &links)
                active.append(first, links: &links)
                accounts[first].seen = now
            } else {
                retire(first)
            }
        }
    }

    /// Something was started for a flow, or turned out to have cost so much more.
    mutating func add(_ cost: Double, to flow: Int, isWaiting: Bool, now: Instant) {
        accounts[flow].cost.add(cost, now: now)
        total.add(cost, now: now)
        if cost > 0 { squares.add(cost * cost, now: now) }
        if accounts[flow].isWatched { totalWatched.add(cost, now: now) }
        judge(flow, isWaiting: isWaiting, now: now)
    }

    /// Judges a flow anew, as time has passed.
    ///
    /// - Parameter isWaiting: whether it asks for more than it has got.
    mutating func judge(_ flow: Int, isWaiting: Bool, now: Instant) {
        let account = accounts[flow]
        let own = accounts[flow].cost.roll(now)
        let otherWeight = activeWeight - (account.isActive ? account.weight : 0)
        // Sums of weights are as exact as rounding allows; no weight is as small as this.
        guard otherWeight > 1e-9 else { return set(flow, isWatched: false, .free, now: now) }
        let all = total.roll(now)
        let average = max(0, all - own) / otherWeight
        let share = own / account.weight
        let isWatched =
            account.isWatched
            ? isWaiting || share > Self.releaseRatio * average
            : share > Self.ratio * average + chance(average, request: all > 0 ? squares.roll(now) / all : 0)
        let standing: FlowStanding =
            share > average ? .aboveShare : share > Self.freeRatio * average ? .withinShare : .free
        set(flow, isWatched: isWatched, isWatched ? standing : .free, now: now)
    }

    /// How far above the average chance may take a flow.
    ///
    /// Poisson arrivals whose costs have the second moment `m` over the mean add up, forgotten as here, to a variance of
    /// `m / 2` times the expected sum (Campbell's theorem).
    private func chance(_ average: Double, request: Double) -> Double {
        Self.deviations * ((average * request / 2).squareRoot() + request)
    }

    /// The flows that are watched.
    func allWatched() -> [Int] {
        var flows: [Int] = []
        var next = watchedCount > 0 ? active.first : nil
        while let flow = next {
            if accounts[flow].isWatched { flows.append(flow) }
            next = active.after(flow, links: links)
        }
        return flows
    }

    private mutating func set(_ flow: Int, isWatched: Bool, _ standing: FlowStanding, now: Instant) {
        accounts[flow].standing = standing
        guard accounts[flow].isWatched != isWatched else { return }
        accounts[flow].isWatched = isWatched
        watchedCount += isWatched ? 1 : -1
        let own = accounts[flow].cost.roll(now)
        totalWatched.add(isWatched ? own : -own, now: now)
    }

    private mutating func retire(_ flow: Int) {
        guard accounts[flow].isActive else { return }
        accounts[flow].isActive = false
        active.remove(flow, links: &links)
        activeWeight -= accounts[flow].weight
        if active.first == nil { activeWeight = 0 }
    }
}

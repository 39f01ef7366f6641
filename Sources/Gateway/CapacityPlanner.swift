import Basics

/// How many requests a pool could do with beyond those of remote processors that it runs, at one moment.
struct PoolRoom: Hashable {
    /// Whether sheddable work may run there at all: harvesting is on and an endpoint is up.
    var isOpen = false
    /// Sheddable requests that could be started at once, all callers' together.
    var startable = 0
    /// Sheddable requests that run, all callers' together.
    var running = 0
    /// Sheddable requests that have been started so far, all callers' together.
    var started = 0
}

/// What one processor has in one pool.
struct ProcessorLoad: Hashable {
    /// Requests that wait for a place.
    var waiting = 0
    /// Requests that have one.
    var running = 0

    var held: Int { waiting + running }
}

/// Works out how many requests each processor may have in one pool, waiting ones included.
///
/// A processor's credit is what it has running there and its share of what is kept ahead of that: as much as could be started
/// at once, and as much as will be started until the next credit has reached the processor and its requests have come back:
/// at the pace of late, or in a rush such as there has lately been (when a wave of real-time requests ends, much room appears
/// at a time). What is ahead waits in the gateway, so that room is used the moment it appears; it is little, so that what waits
/// can be ordered anew where it comes from. Processors that do not use what they have leave all but a handful to the others.
struct CapacityPlanner {
    /// Kept ahead for every processor while the pool is open at all: so many that one short request after another keeps a place
    /// busy over a round trip.
    static let handful = 4
    /// One interval between credits and one round trip.
    static let horizon = TimeSpan.milliseconds(100)
    /// More is never kept ahead in one pool.
    static let maximumAhead = 4096
    /// By how much the largest rush counts less each round: it is forgotten within some ten seconds.
    private static let rushDecay = 0.99
    /// A processor that has used less than its credit for so many rounds does not want it.
    private static let patience = 4

    private struct Demand {
        var credit = 0
        var idleRounds = 0
    }

    private var starts = RateEstimate(timeConstant: .seconds(1))
    private var startedBefore: Int?
    private var lastStarts = 0
    private var rush = 0.0
    private var demands: [String: Demand] = [:]

    /// The credits of all processors that are connected; those that are not named are forgotten.
    mutating func credits(for loads: [String: ProcessorLoad], room: PoolRoom, now: Instant) -> [String: Int] {
        let ahead = ahead(in: room, now: now)
        demands = demands.filter { loads[$0.key] != nil }
        for (name, load) in loads {
            let demand = demands[name] ?? Demand()
            // A credit that has just grown takes a while to be used.
            let usesIt = load.held * 4 >= demand.credit * 3
            demands[name, default: Demand()].idleRounds = usesIt ? 0 : demand.idleRounds + 1
        }
        let hungry = demands.values.count { $0.idleRounds < Self.patience }
        let left = ahead - (loads.count - hungry) * Self.handful
        let share = hungry > 0 ? (max(0, left) + hungry - 1) / hungry : ahead / max(1, loads.count)
        var credits: [String: Int] = [:]
        for (name, load) in loads {
            let wants = hungry == 0 || demands[name].map { $0.idleRounds < Self.patience } ?? true
            let credit = room.isOpen ? load.running + max(Self.handful, wants ? share : 0) : load.running
            credits[name] = credit
            demands[name]?.credit = credit
        }
        return credits
    }

    /// How many requests beyond those that run should be here, all processors' together.
    private mutating func ahead(in room: PoolRoom, now: Instant) -> Int {
        let newStarts = max(0, room.started - (startedBefore ?? room.started))
        starts.add(Double(newStarts), now: now)
        startedBefore = room.started
        // Two rounds make the horizon. A pool that was filled from nothing tells of no rush to come.
        rush = max(rush * Self.rushDecay, Double(min(newStarts + lastStarts, room.running / 2)))
        lastStarts = newStarts
        let pace = starts.perSecond(now: now) * Self.horizon.seconds
        return min(max(0, room.startable) + Int(max(pace, rush).rounded(.up)), Self.maximumAhead)
    }
}

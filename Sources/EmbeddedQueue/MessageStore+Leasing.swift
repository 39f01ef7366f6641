package import Basics
package import Delivery
package import GRDB

/// Messages of one class, tenant and target: they are taken in the order of their deadlines.
struct Lane: Hashable, Sendable {
    let tenant: String
    let target: String
    /// The deadline of the first, in nanoseconds since the epoch.
    var deadline: Int64 = 0
    /// The number of the first.
    var sequence: Int64 = 0
}

/// What one call may take.
package struct LeaseRequest: Hashable, Sendable {
    /// Messages.
    package var limit: Int
    /// Bytes of payload: no further message is taken once they are exceeded.
    package var maximumBytes: Int
    /// How long the leases last.
    package var duration: TimeSpan
    /// Targets whose messages are left where they are.
    package var excluding: Set<String>

    /// Asks for messages.
    package init(
        limit: Int, maximumBytes: Int = .max, duration: TimeSpan, excluding: Set<String> = []
    ) {
        self.limit = limit
        self.maximumBytes = maximumBytes
        self.duration = duration
        self.excluding = excluding
    }
}

extension MessageStore {
    /// Lanes of a class looked at in one call. With more, the next call goes on where this one ended, so that every lane
    /// has its turn; the order is that of `lease` among the lanes looked at.
    package static let maximumLanes = 512
    /// Lanes looked at to find out whether one is ready; with more, all excluded, it takes a lease call to know.
    private static let maximumLanesAtAGlance = 4096
    /// What a message costs its tenant beside its bytes of payload, so that many small ones are not free.
    package static let baseCost = 1024

    /// Takes ready messages: the highest class first; in a class the tenant whose turn it is (`FairShare`); of a tenant the
    /// earliest deadline, then the first submitted.
    ///
    /// Lanes are found by stepping from one to the next in the index, so messages of excluded targets are not looked at,
    /// however many there are.
    package mutating func lease(
        _ request: LeaseRequest, token: Int64, time: DeliveryTime, _ database: Database
    ) throws -> [LeasedMessage] {
        try observe(time, database)
        try endOverdue(time, database)
        var taken = Taken(request: request, token: token, time: time)
        var below = Int.max
        while taken.hasRoom, let priority = try Self.highestClass(below: below, database) {
            try take(from: priority, into: &taken, database)
            below = priority
        }
        return taken.messages
    }

    /// Takes messages that wait and whose deadline lies before an instant; the earliest first. Those that wait for the time
    /// of their next attempt only once the deadline has passed, if that attempt may still be made before it.
    package mutating func leaseOverdue(
        before instant: Instant, _ request: LeaseRequest, token: Int64, time: DeliveryTime, _ database: Database
    ) throws -> [LeasedMessage] {
        try observe(time, database)
        var taken = Taken(request: request, token: token, time: time)
        let overdue = try Int64.fetchAll(
            database.cachedStatement(
                sql: """
                    SELECT sequence FROM message
                    WHERE state < 2 AND deadline < ? AND (state = 0 OR deadline <= ? OR due >= deadline)
                    ORDER BY deadline, sequence LIMIT ?
                    """), arguments: [instant.nanoseconds, time.wall.nanoseconds, request.limit])
        for sequence in overdue where taken.hasRoom { _ = try take(sequence, into: &taken, database) }
        return taken.messages
    }

    /// Extends leases; returns those that are lost.
    package mutating func extend(_ leases: [Lease], until steadyEnd: Instant) -> [Lease] {
        leases.filter { !self.leases.extend($0, until: steadyEnd) }
    }

    /// How long until a message whose target is not excluded may be ready; nil if nothing is known to become ready.
    package func timeUntilReady(
        excluding: Set<String>, time: DeliveryTime, _ database: Database
    ) throws -> TimeSpan? {
        var spans: [TimeSpan] = []
        switch try glance(excluding: excluding, database) {
        case .ready: return .zero
        case .tooManyLanes: spans.append(.milliseconds(50))
        case .nothing: break
        }
        if let due = try Int64.fetchOne(
            database.cachedStatement(sql: "SELECT MIN(due) FROM message WHERE state = 1"))
        {
            spans.append(Instant(nanoseconds: due) - time.wall)
        }
        if leases.earliestEnd < .distantFuture { spans.append(leases.earliestEnd - time.steady) }
        return spans.min()
    }

    private enum Glance { case ready, nothing, tooManyLanes }

    private func glance(excluding: Set<String>, _ database: Database) throws -> Glance {
        var looked = 0
        var below = Int.max
        while let priority = try Self.highestClass(below: below, database) {
            if excluding.isEmpty { return .ready }
            let lanes = try Self.lanes(
                of: priority, from: Lane(tenant: "", target: ""), limit: Self.maximumLanesAtAGlance - looked, database)
            if lanes.contains(where: { !excluding.contains($0.target) }) { return .ready }
            looked += lanes.count
            if looked >= Self.maximumLanesAtAGlance { return .tooManyLanes }
            below = priority
        }
        return .nothing
    }

    /// What a lease call has gathered.
    private struct Taken {
        let request: LeaseRequest
        let token: Int64
        let time: DeliveryTime
        var messages: [LeasedMessage] = []
        var bytes = 0
        /// Those that could not be read count as well: they bound the work of the call.
        var count = 0

        var hasRoom: Bool { count < request.limit && bytes < request.maximumBytes }
    }

    private mutating func take(from priority: Int, into taken: inout Taken, _ database: Database) throws {
        var readers = try lanesToServe(of: priority, excluding: taken.request.excluding, database)
            .map { LaneReader(lane: $0, priority: priority) }
        let isOnly = readers.count == 1
        var share = shares[priority] ?? FairShare()
        while taken.hasRoom {
            guard let index = Self.next(readers, share) else { break }
            let sequence = readers[index].head.sequence
            let wanted = isOnly ? taken.request.limit - taken.count : nil
            try readers[index].advance(wanted: wanted, database)
            let cost = try take(sequence, into: &taken, database)
            share.charge(readers[index].lane.tenant, cost: cost + Self.baseCost)
            if readers[index].isEmpty { readers.remove(at: index) }
        }
        shares[priority] = share
    }

    /// The lane to serve: that of the tenant with the earliest start, and of this tenant's the one with the earliest
    /// deadline.
    private static func next(_ readers: [LaneReader], _ share: FairShare) -> Int? {
        guard readers.count > 1 else { return readers.isEmpty ? nil : 0 }
        var best: (index: Int, key: (Int64, Int64, Int64))?
        var tenant = readers[0].lane.tenant
        var start = share.start(of: tenant)
        for (index, reader) in readers.enumerated() {
            if reader.lane.tenant != tenant {
                tenant = reader.lane.tenant
                start = share.start(of: tenant)
            }
            let key = (start, reader.head.deadline, reader.head.sequence)
            if let best, best.key <= key { continue }
            best = (index, key)
        }
        return best?.index
    }

    /// Leases one message; returns the bytes of its payload.
    private mutating func take(_ sequence: Int64, into taken: inout Taken, _ database: Database) throws -> Int {
        taken.count += 1
        guard let (stored, isReadable) = try StoredMessage.fetchWithPayload(sequence, database) else { return 0 }
        guard isReadable else {
            try finishUnreadable(stored, now: taken.time.wall, database)
            return 0
        }
        try database.cachedStatement(
            sql: "UPDATE message SET state = 2, due = ?, token = ? WHERE sequence = ?"
        ).execute(arguments: [taken.time.wall.nanoseconds, taken.token, sequence])
        let leased = stored.leased(token: taken.token)
        leases.insert(
            leased.lease, until: taken.time.steady + taken.request.duration,
            hasWebhook: stored.message.webhook != nil)
        taken.messages.append(leased)
        taken.bytes += stored.message.payload.count
        return stored.message.payload.count
    }

    /// The lanes of a class that are served in this call.
    private mutating func lanesToServe(
        of priority: Int, excluding: Set<String>, _ database: Database
    ) throws -> [Lane] {
        let beginning = Lane(tenant: "", target: "")
        let start = resumption[priority] ?? beginning
        var lanes = try Self.lanes(of: priority, from: start, limit: Self.maximumLanes, database)
        if start != beginning, lanes.count < Self.maximumLanes {
            let wrapped = try Self.lanes(
                of: priority, from: beginning, limit: Self.maximumLanes - lanes.count, database)
            // The index orders by bytes, as these do not need to: it is enough to stop at a lane that is there already.
            let seen = Set(lanes.map { [$0.tenant, $0.target] })
            lanes += wrapped.prefix { !seen.contains([$0.tenant, $0.target]) }
        }
        resumption[priority] = lanes.count < Self.maximumLanes ? nil : lanes.last
        return lanes.filter { !excluding.contains($0.target) }
    }

    private static func highestClass(below priority: Int, _ database: Database) throws -> Int? {
        try Int.fetchOne(
            database.cachedStatement(
                sql: """
                    SELECT priority FROM message INDEXED BY message_lane
                    WHERE state = 0 AND priority < ? ORDER BY priority DESC LIMIT 1
                    """), arguments: [priority])
    }

    /// The lanes of a class from one on, each with its first message: one or two steps in the index for each.
    ///
    /// The next lane is that of the same tenant's next target, or else the next tenant's first. Asked for both at once, by
    /// `(tenant, target) > (?, ?)`, SQLite would read through the whole lane that it comes from.
    private static let lanesStatement = """
        WITH RECURSIVE lane (sequence, tenant, target, deadline) AS (
            SELECT sequence, tenant, target, deadline FROM message
            WHERE sequence = ifnull(
                (SELECT sequence FROM message INDEXED BY message_lane
                    WHERE state = 0 AND priority = ?1 AND tenant = ?2 AND target >= ?3
                    ORDER BY target, deadline, sequence LIMIT 1),
                (SELECT sequence FROM message INDEXED BY message_lane
                    WHERE state = 0 AND priority = ?1 AND tenant > ?2
                    ORDER BY tenant, target, deadline, sequence LIMIT 1))
            UNION ALL
            SELECT m.sequence, m.tenant, m.target, m.deadline FROM lane CROSS JOIN message AS m
            WHERE m.sequence = ifnull(
                (SELECT sequence FROM message AS n INDEXED BY message_lane
                    WHERE n.state = 0 AND n.priority = ?1 AND n.tenant = lane.tenant AND n.target > lane.target
                    ORDER BY n.target, n.deadline, n.sequence LIMIT 1),
                (SELECT sequence FROM message AS n INDEXED BY message_lane
                    WHERE n.state = 0 AND n.priority = ?1 AND n.tenant > lane.tenant
                    ORDER BY n.tenant, n.target, n.deadline, n.sequence LIMIT 1))
            LIMIT ?4)
        SELECT tenant, target, deadline, sequence FROM lane
        """

    static func lanes(
        of priority: Int, from start: Lane, limit: Int, _ database: Database
    ) throws -> [Lane] {
        try Row.fetchCursor(
            database.cachedStatement(sql: lanesStatement),
            arguments: [priority, start.tenant, start.target, limit]
        ).reduce(into: []) { lanes, row in
            lanes.append(Lane(tenant: row[0], target: row[1], deadline: row[2], sequence: row[3]))
        }
    }
}

/// Reads on in a lane, a few messages at a time.
private struct LaneReader {
    typealias Place = (deadline: Int64, sequence: Int64)

    let lane: Lane
    let priority: Int
    private(set) var head: Place
    private(set) var isEmpty = false
    /// The messages behind the head, the next one last.
    private var ahead: [Place] = []
    private var chunk = 4

    init(lane: Lane, priority: Int) {
        self.lane = lane
        self.priority = priority
        head = (lane.deadline, lane.sequence)
    }

    /// Steps to the next message. `wanted` says how many will be asked for, if that is known.
    mutating func advance(wanted: Int?, _ database: Database) throws {
        if ahead.isEmpty {
            chunk = min(chunk * 2, 256)
            ahead = try Row.fetchCursor(
                database.cachedStatement(
                    sql: """
                        SELECT deadline, sequence FROM message INDEXED BY message_lane
                        WHERE state = 0 AND priority = ? AND tenant = ? AND target = ?
                            AND (deadline, sequence) > (?, ?) ORDER BY deadline, sequence LIMIT ?
                        """),
                arguments: [
                    priority, lane.tenant, lane.target, head.deadline, head.sequence, min(wanted ?? chunk, 1024),
                ]
            ).reduce(into: []) { $0.append(($1[0], $1[1])) }
            ahead.reverse()
        }
        guard let next = ahead.popLast() else {
            isEmpty = true
            return
        }
        head = next
    }
}

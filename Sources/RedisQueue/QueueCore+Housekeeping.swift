import Basics
import Delivery
import MessageQueues
import RedisClient
import Synchronization

extension QueueCore {
    /// How often to look after retries and claims although nothing is known to be due: others may have died.
    private static let longestRest = TimeSpan.seconds(2)
    /// Changes of the retry set within this time are looked at together.
    private static let shortestRest = TimeSpan.milliseconds(10)
    /// Bytes that one look reads at most.
    private static let maximumDecodedBytes: Int64 = 16 << 20

    /// Gives back claims of the dead and retries whose time has come, and keeps what lies in stock, until the task is
    /// cancelled.
    func keepHouse() async {
        var stockIsKept = configuration.clock.steady()
        while !Task.isCancelled {
            let version = chores.version
            let connection = connections.version
            let longest = min(Self.longestRest, leaseDuration.withLock { $0 } * (1 / 3.0))
            var rest = longest
            do {
                try await keepStock(since: &stockIsKept)
                rest = min(rest, try await tend() ?? rest)
                if !isCutOff, troubles.withLock({ $0.succeeded() }) {
                    configuration.reportsError(RedisQueueRecovery(place: place))
                }
            } catch {
                if Task.isCancelled { return }
                if troubles.withLock({ $0.failed("\(error)") }) { configuration.reportsError(error) }
                // What lies in stock is looked after all the same.
                await connections.wait(past: connection, atMost: min(troubles.withLock { $0.rest }, longest))
                continue
            }
            guard rest > .zero else { continue }
            try? await Task.sleep(for: .nanoseconds(min(rest, Self.shortestRest).nanoseconds))
            await chores.wait(past: version, atMost: rest - Self.shortestRest)
        }
    }

    /// Extends the leases of what lies in stock, each third of their time.
    private func keepStock(since last: inout Instant) async throws {
        let duration = leaseDuration.withLock { $0 }
        let now = configuration.clock.steady()
        guard now - last >= duration * (1 / 3.0) else { return }
        last = now
        let leases = table.withLock { $0.stock.leases }
        if !leases.isEmpty { _ = try await extend(leases, duration: duration) }
    }

    /// Moves what is due; returns how long until there may be more, if that is known.
    func tend() async throws -> TimeSpan? {
        let reply: RESPValue
        let now = configuration.clock.steady()
        do {
            reply = try await client.run(
                TendScript.tend,
                keys: [keys.pending, keys.claimed, keys.owners, keys.claims, keys.retry].map(RedisArgument.text),
                arguments: [
                    .text(configuration.queueName), .integer(Int64(RedisSortedSetQueue.Configuration.maximumMoves)),
                    .integer(Self.maximumDecodedBytes), configuration.isDefaultQueue ? 1 : 0,
                    .text(foreignRetries.withLock { $0.place(now: now) }),
                ])
        } catch {
            throw failure(error)
        }
        let values = reply.asArray ?? []
        let moved = values.prefix(2).reduce(0) { $0 + ($1.asInteger ?? 0) }
        if moved > 0 { readiness.notify() }
        if values.count >= 5 {
            let cursor = values[3].asString ?? ""
            foreignRetries.withLock { $0.looked(until: cursor, count: values[4].asInteger ?? 0) }
        }
        return values.dropFirst(2).first?.asDouble.map { TimeSpan.seconds($0) }
    }

    // MARK: Cancellations

    /// How often cancel keys are looked at where the server does not tell of them.
    private static let cancellationPoll = TimeSpan.milliseconds(250)
    /// Cancel keys in one look.
    private static let maximumLook = 512

    func nextCancellations() async throws -> [Lease] {
        while !Task.isCancelled {
            let version = cancellations.version
            let requests = table.withLock { table in
                let ids = table.takeChangedIDs(limit: Self.maximumLook)
                return ids.flatMap { table.requests(of: $0) }
            }
            if requests.isEmpty {
                if isTold {
                    await cancellations.wait(past: version, atMost: .seconds(60))
                } else {
                    await cancellations.wait(past: version, atMost: Self.cancellationPoll)
                    _ = table.withLock { $0.noteChanges(of: nil) }
                }
                continue
            }
            let leases = try await told(of: requests)
            if !leases.isEmpty { return leases }
        }
        return []
    }

    /// The leases of those requests that are cancelled; those in stock are ended here.
    private func told(of requests: [RequestName]) async throws -> [Lease] {
        let cancelled: Set<RequestName>
        do {
            cancelled = try await self.cancelled(among: requests)
        } catch {
            _ = table.withLock { $0.noteChanges(of: requests.map(\.id)) }
            if Task.isCancelled { return [] }
            throw error
        }
        let (handed, stocked) = table.withLock { table in
            var handed: [Lease] = []
            var stocked: [LeasedMessage] = []
            for request in requests where cancelled.contains(request) {
                for lease in table.tellCancellation(of: request) {
                    if let message = table.takeFromStock(lease) {
                        stocked.append(message)
                    } else {
                        handed.append(lease)
                    }
                }
            }
            return (handed, stocked)
        }
        for message in stocked {
            do {
                try await endCancelled(message)
            } catch {
                configuration.reportsError(error)
            }
        }
        return handed
    }
}

import Basics
import Delivery
import MessageQueues
import RedisClient
import Synchronization

extension QueueCore {
    /// One call claims at most so many messages, so that the server is not kept busy.
    private static let maximumClaims = 256
    /// Where targets are excluded, a call claims at least so many: not all that the script takes are wanted.
    private static let minimumClaims = 32
    func lease(limit: Int, duration: TimeSpan, excluding targets: Set<String>) async throws -> [LeasedMessage] {
        leaseDuration.withLock { $0 = duration }
        guard !table.withLock({ $0.isStopped }) else { return [] }
        var taken = table.withLock { $0.take(limit: limit, excluding: targets) }
        do {
            while taken.count < limit {
                var wanted = min(limit - taken.count, Self.maximumClaims)
                var passed = 0
                if !targets.isEmpty {
                    wanted = max(wanted, Self.minimumClaims)
                    guard let place = goOnSearching(leavingOut: targets) else { break }
                    passed = place
                }
                let begun = configuration.clock.steady()
                let found = try await claim(
                    limit: wanted, passing: passed, excluding: targets, duration: duration)
                let before = taken.count
                // The script leaves out what is evidently of an excluded target; the rest shows here.
                var surplus: [LeasedMessage] = []
                for message in found.messages {
                    let isWanted = !targets.contains(message.message.target)
                    if isWanted, taken.count < limit {
                        taken.append(message)
                    } else if !((isWanted || stockRoom > 0) && table.withLock { $0.put(message) }) {
                        surplus.append(message)
                    }
                }
                _ = await giveBack(surplus)
                if !targets.isEmpty {
                    let now = configuration.clock.steady()
                    search.withLock {
                        $0.looked(
                            found: taken.count > before, wasted: !surplus.isEmpty, passed: found.passed + surplus.count,
                            reachedEnd: found.reachedEnd, took: now - begun, now: now)
                    }
                }
                if found.reachedEnd || found.left == 0 || taken.count == before { break }
            }
        } catch {
            // What has been taken is worth more than the error, which will be met again.
            if taken.isEmpty { throw error }
            reportOnce(error)
        }
        return taken.enumerated().sorted { left, right in
            let (first, second) = (left.element.message, right.element.message)
            if first.priority != second.priority { return first.priority > second.priority }
            if first.deadline != second.deadline { return first.deadline < second.deadline }
            return left.offset < right.offset
        }.map(\.element)
    }

    func leaseOverdue(before instant: Instant, limit: Int, duration: TimeSpan) async throws -> [LeasedMessage] {
        leaseDuration.withLock { $0 = duration }
        guard !table.withLock({ $0.isStopped }) else { return [] }
        let taken = table.withLock { $0.takeOverdue(before: instant, limit: limit) }
        let wanted = min(limit - taken.count, Self.maximumClaims)
        guard wanted > 0 else { return taken }
        let bound = "(\(instant.seconds)"
        do {
            return taken + (try await claim(limit: wanted, upperBound: bound, duration: duration).messages)
        } catch {
            if taken.isEmpty { throw error }
            reportOnce(error)
            return taken
        }
    }

    /// How many more messages fit into stock.
    private var stockRoom: Int {
        table.withLock { table in
            table.stock.bytes >= configuration.maximumStockBytes ? 0 : configuration.maximumStock - table.stock.count
        }
    }

    /// How many messages to pass over; nil if it is not time to go on.
    private func goOnSearching(leavingOut targets: Set<String>) -> Int? {
        let now = configuration.clock.steady()
        let version = readiness.version
        let isTold = isTold
        return search.withLock { search in
            search.leaveOut(targets)
            guard case .at(let next) = search.turn(version: version, isTold: isTold), now >= next else { return nil }
            return search.look(version: version)
        }
    }

    /// Gives messages back as they are; what fails comes back when its lease runs out. Returns whether all went well.
    private func giveBack(_ messages: [LeasedMessage]) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            for message in messages {
                group.addTask { [self] in
                    do {
                        _ = try await orForget(message.lease) { try await giveBack(message.lease, after: .zero) }
                        return true
                    } catch {
                        reportOnce(error)
                        return false
                    }
                }
            }
            return await group.reduce(true) { $0 && $1 }
        }
    }

    /// Gives back what has not been handed out, unless that fails.
    func giveBackStock() async {
        while true {
            let messages = table.withLock { $0.take(limit: 256, excluding: []) }
            guard !messages.isEmpty, await giveBack(messages) else { return }
        }
    }

    func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease] {
        let (known, lost) = table.withLock { table in
            var known: [(Lease, HeldClaim)] = []
            var lost: [Lease] = []
            for lease in leases {
                if let claim = table[lease] { known.append((lease, claim)) } else { lost.append(lease) }
            }
            return (known, lost)
        }
        guard !known.isEmpty else { return lost }
        let reply: RESPValue
        do {
            reply = try await client.run(
                ClaimScripts.extend, keys: [.text(keys.owners), .text(keys.claims)],
                arguments: [.integer(max(1, duration.nanoseconds / 1_000_000))]
                    + known.flatMap { [.bytes($0.1.key), .bytes($0.1.owner)] })
        } catch {
            throw failure(error)
        }
        let places = (reply.asArray ?? []).compactMap(\.asInteger)
        let gone = table.withLock { table in
            places.compactMap { place -> Lease? in
                guard known.indices.contains(Int(place) - 1) else { return nil }
                let (lease, claim) = known[Int(place) - 1]
                // Whoever settles it gets to know.
                if claim.mayHaveEnded || table[lease]?.mayHaveEnded ?? true { return nil }
                table.remove(lease)
                return lease
            }
        }
        return lost + gone
    }

    func waitUntilReady(excluding targets: Set<String>) async throws {
        while !Task.isCancelled {
            let version = readiness.version
            if table.withLock({ $0.hasStock(excluding: targets) }) { return }
            if !targets.isEmpty {
                // What waits may all be of those targets: the search has its own pace.
                let isTold = isTold
                let turn = search.withLock { search in
                    search.leaveOut(targets)
                    return search.turn(version: version, isTold: isTold)
                }
                guard case .at(let next) = turn else {
                    await readiness.wait(past: version, atMost: Self.quietLook)
                    continue
                }
                try? await configuration.clock.sleep(for: next - configuration.clock.steady())
                if Task.isCancelled { return }
            }
            do {
                if try await client.send(RedisCommand("ZCARD", [.text(keys.pending)])).asInteger ?? 0 > 0 { return }
            } catch .cancelled {
                return
            } catch {
                throw failure(error)
            }
            await readiness.wait(past: version, atMost: isTold ? Self.quietLook : configuration.poll)
        }
    }

    /// How often to look although the server tells of changes.
    private static let quietLook = TimeSpan.seconds(5)

    func depth() async throws -> QueueDepth {
        let results = configuration.resultQueueName ?? configuration.defaultResultQueueName
        do throws(RedisError) {
            let replies = try await client.send([
                RedisCommand("ZCARD", [.text(keys.pending)]), RedisCommand("ZCARD", [.text(keys.claims)]),
                RedisCommand("ZCARD", [.text(keys.retry)]), RedisCommand("LLEN", [.text(results)]),
                RedisCommand("LLEN", [.text(keys.deadLetters)]),
                RedisCommand("ZRANGE", [.text(keys.pending), 0, 0, "WITHSCORES"]),
            ]).map { reply throws(RedisError) -> RESPValue in
                switch reply {
                case .success(let value): value
                case .failure(let error): throw .server(error)
                }
            }
            var depth = QueueDepth()
            depth.ready = Int(replies[0].asInteger ?? 0)
            depth.leased = Int(replies[1].asInteger ?? 0)
            depth.delayed = Int(replies[2].asInteger ?? 0)
            depth.results = Int(replies[3].asInteger ?? 0)
            depth.deadLetters = Int(replies[4].asInteger ?? 0)
            // RESP3 has a pair for each member, RESP2 puts all of them into one row.
            let head = replies[5].asArray ?? []
            let score = (head.first?.asArray ?? head).dropFirst().first?.asDouble
            if let score, score > 0 { depth.earliestDeadline = Instant(seconds: score.rounded(.down)) }
            return depth
        } catch {
            throw failure(error)
        }
    }
}

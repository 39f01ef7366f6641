import Admission
import Basics
import Testing

@Suite struct RandomRoomTests {
    /// A room without fairness, as a list: what a `WaitingRoom` must agree with, written down as simply as possible.
    private struct NaiveRoom {
        var waiting: [(request: WaitingRequest, arrival: Int)] = []
        let ageingBound = TimeSpan.seconds(20)

        func expiry(_ request: WaitingRequest) -> Instant {
            let deadline = request.deadline ?? .distantFuture
            guard request.countsAgainstLimits else { return deadline }
            return min(deadline, request.enqueued + min(request.timeToLive ?? .seconds(40), .seconds(40)))
        }

        private func comesBefore(
            _ left: (request: WaitingRequest, arrival: Int), _ right: (request: WaitingRequest, arrival: Int)
        ) -> Bool {
            let key = { (request: WaitingRequest) in request.priority < 0 ? expiry(request) : request.enqueued }
            return (-left.request.priority, key(left.request), left.arrival)
                < (-right.request.priority, key(right.request), right.arrival)
        }

        func head(realtime: Bool, now: Instant) -> WaitingRequest? {
            let all = waiting.filter { ($0.request.priority >= 0) == realtime }
            let first = all.min(by: comesBefore)
            // Only band 1 ages.
            let oldest = all.filter { $0.request.priority == 1 }.min {
                ($0.request.enqueued, $0.arrival) < ($1.request.enqueued, $1.arrival)
            }
            if let oldest, let first, first.request.priority > 1, oldest.request.enqueued + ageingBound <= now {
                return oldest.request
            }
            return first?.request
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func aRoomAgreesWithAListThatIsSearched(seed: UInt64) {
        var configuration = AdmissionConfiguration(maxRequestsPerBand: 100_000, timeToLive: .seconds(40))
        configuration.realtimeBand.fairness = .strict
        configuration.bands[1] = BandPolicy(limits: .init(), fairness: .strict, ageingBound: .seconds(20))
        var room = WaitingRoom(configuration: configuration)
        var naive = NaiveRoom()
        var generator = SeededGenerator(seed: seed)
        var time = 0.0
        func forget(_ id: UInt64) { naive.waiting.removeAll { $0.request.id == id } }
        for step in 0..<3000 {
            time += generator.unit() * 0.5
            let now = Instant(seconds: time)
            let draw = generator.unit()
            if naive.waiting.isEmpty || draw < 0.55 {
                let counts = generator.unit() < 0.8
                let entry = request(
                    UInt64(step), priority: Int.random(in: -2...2, using: &generator), at: time,
                    timeToLive: generator.unit() < 0.3 ? generator.unit() * 60 : nil,
                    deadline: generator.unit() < 0.5 ? time + Double(Int.random(in: 0..<90, using: &generator)) : nil,
                    bytes: Int.random(in: 0..<1000, using: &generator), counts: counts)
                #expect(room.insert(entry, now: now) == .admitted(evicted: []))
                naive.waiting.append((entry, step))
            } else if draw < 0.7 {
                let victim = naive.waiting[Int.random(in: naive.waiting.indices, using: &generator)].request
                #expect(room.remove(victim.id, now: now) == victim)
                #expect(room.remove(victim.id, now: now) == nil)
                forget(victim.id)
            } else if draw < 0.95 {
                let realtime = generator.unit() < 0.5
                let head = room.head(realtime: realtime, now: now)
                #expect(head == naive.head(realtime: realtime, now: now))
                if let head {
                    #expect(room.dispatch(head.id, now: now) == head)
                    forget(head.id)
                }
            } else {
                let expired = naive.waiting.map(\.request).filter { naive.expiry($0) <= now }
                    .sorted { (naive.expiry($0), $0.id) < (naive.expiry($1), $1.id) }
                #expect(room.removeExpired(now: now) == expired)
                for request in expired { forget(request.id) }
            }
            #expect(room.count == naive.waiting.count)
            #expect(room.realtimeCount == naive.waiting.count { $0.request.priority >= 0 })
            #expect(room.depths.reduce(0) { $0 + $1.bytes } == naive.waiting.reduce(0) { $0 + $1.request.bytes })
        }
    }

    /// Everything at once, under tight limits: what a room did, and whether it kept its books.
    private func history(seed: UInt64) -> [UInt64] {
        var configuration = AdmissionConfiguration(maxRequestsPerBand: 30, maxBands: 4, timeToLive: .seconds(20))
        configuration.bands[0] = BandPolicy(
            limits: .init(requests: 30), ageingBound: .seconds(5), minimumShare: 0.1)
        configuration.bands[-1] = BandPolicy(fairness: .roundRobin, minimumShare: 0.1, appliesAcrossClasses: true)
        configuration.totalLimits = WaitingLimits(requests: 60, tokens: 30_000)
        configuration.maxFlowsPerBand = 3
        configuration.idleFlowTimeout = .seconds(3)
        configuration.noEndpointTimeToLive = .seconds(4)
        var room = WaitingRoom(configuration: configuration)
        var generator = SeededGenerator(seed: seed)
        var waiting: Set<UInt64> = []
        var running: [WaitingRequest] = []
        var history: [UInt64] = []
        var time = 0.0
        for id in 0..<5000 as Range<UInt64> {
            time += generator.unit() * 0.1
            let now = Instant(seconds: time)
            let entry = request(
                id, priority: Int.random(in: -3...3, using: &generator),
                flow: "f\(Int.random(in: 0..<6, using: &generator))", at: time - generator.unit(),
                input: Int.random(in: 0..<2000, using: &generator), output: Int.random(in: 0..<200, using: &generator),
                counts: generator.unit() < 0.9)
            if case .admitted(let evicted) = room.insert(entry, now: now) {
                waiting.insert(id)
                for victim in evicted {
                    let isOfItsBand = victim.priority == entry.priority
                    #expect(isOfItsBand || (entry.priority >= 0 && victim.priority < 0))
                    #expect(waiting.remove(victim.id) != nil)
                    history.append(victim.id)
                }
            }
            for _ in 0..<Int.random(in: 0...2, using: &generator) {
                guard let head = room.head(realtime: generator.unit() < 0.7, now: now) else { continue }
                #expect(room.dispatch(head.id, now: now) == head && waiting.remove(head.id) != nil)
                history.append(head.id)
                running.append(head)
            }
            if running.count > 5 {
                let done = running.remove(at: Int.random(in: running.indices, using: &generator))
                room.settle(
                    flow: done.flow, priority: done.priority, estimated: done.use,
                    actual: TokenUse(
                        uncachedInputTokens: Int.random(in: 0..<4000, using: &generator), outputTokens: 50),
                    now: now)
            }
            if generator.unit() < 0.02 { room.endpointsChanged(anyIsUp: generator.unit() < 0.7, now: now) }
            if generator.unit() < 0.3 {
                for expired in room.removeExpired(now: now) {
                    #expect(waiting.remove(expired.id) != nil)
                    history.append(expired.id)
                }
            }
            #expect(room.count == waiting.count && room.depths.reduce(0) { $0 + $1.requests } == waiting.count)
            #expect(room.depths.count <= 4)
        }
        let rest = room.removeAll(now: Instant(seconds: time)).map(\.id)
        #expect(Set(rest) == waiting)
        return history + rest
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func noRequestIsLostOrInventedAndTheSameSeedGivesTheSameHistory(seed: UInt64) {
        let first = history(seed: seed)
        #expect(first.count == Set(first).count)
        #expect(first == history(seed: seed))
    }
}

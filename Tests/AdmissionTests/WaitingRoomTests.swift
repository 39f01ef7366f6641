import Admission
import Basics
import Testing

@Suite struct WaitingRoomTests {
    private func request(
        _ id: UInt64, priority: Int = 0, expires: Double = 100, deadline: Double = 0, bytes: Int = 0,
        counts: Bool = true
    ) -> WaitingRequest {
        WaitingRequest(
            id: id, priority: priority, expires: Instant(seconds: expires),
            orderingDeadline: Instant(seconds: deadline),
            bytes: bytes, countsAgainstLimits: counts)
    }

    @Test func higherBandsGoFirstAndArrivalDecidesInside() {
        var room = WaitingRoom(limits: .init())
        for (id, priority) in [(1, 0), (2, 5), (3, 0), (4, 5), (5, -1)] {
            #expect(room.insert(request(UInt64(id), priority: priority)) == nil)
        }
        var order: [UInt64] = []
        while let head = room.head(realtime: true) {
            order.append(head.id)
            room.remove(head.id)
        }
        #expect(order == [2, 4, 1, 3])
        #expect(room.realtimeCount == 0 && room.sheddableCount == 1)
        #expect(room.head(realtime: false)?.id == 5)
    }

    @Test func sheddableRequestsGoByDeadlineThenArrival() {
        var room = WaitingRoom(limits: .init())
        for (id, deadline) in [(1, 30.0), (2, 10.0), (3, 10.0), (4, 20.0)] {
            #expect(room.insert(request(UInt64(id), priority: -1, deadline: deadline)) == nil)
        }
        var order: [UInt64] = []
        while let head = room.head(realtime: false) {
            order.append(head.id)
            room.remove(head.id)
        }
        #expect(order == [2, 3, 4, 1])
    }

    @Test func aBandIsBoundedInRequestsAndBytesAndSoIsTheNumberOfBands() {
        var room = WaitingRoom(limits: .init(maxRequestsPerBand: 2, maxBytesPerBand: 100, maxBands: 2))
        #expect(room.insert(request(1, bytes: 60)) == nil)
        #expect(room.insert(request(2, bytes: 60)) == .full)
        #expect(room.insert(request(3, bytes: 40)) == nil)
        #expect(room.insert(request(4)) == .full)
        #expect(room.insert(request(5, counts: false)) == nil)
        #expect(room.insert(request(6, priority: 1)) == nil)
        #expect(room.insert(request(7, priority: 2)) == .full)
        room.remove(1)
        #expect(room.insert(request(8, bytes: 60)) == nil)
        #expect(room.count == 4)
    }

    @Test func expiredRequestsAreHandedOutOnce() {
        var room = WaitingRoom(limits: .init())
        _ = room.insert(request(1, expires: 5))
        _ = room.insert(request(2, expires: 50))
        #expect(room.removeExpired(now: Instant(seconds: 5)).map(\.id) == [1])
        #expect(room.removeExpired(now: Instant(seconds: 5)).isEmpty)
        #expect(room.count == 1)
    }

    @Test(arguments: 0..<20) func aRandomRoomNeverLosesInventsOrReordersARequest(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var room = WaitingRoom(limits: .init())
        var model: [(request: WaitingRequest, arrival: Int)] = []
        for step in 0..<2000 {
            if model.isEmpty || generator.unit() < 0.55 {
                let priority = Int.random(in: -2...2, using: &generator)
                let entry = request(
                    UInt64(step), priority: priority,
                    deadline: priority < 0 ? Double(Int.random(in: 0..<10, using: &generator)) : 0)
                #expect(room.insert(entry) == nil)
                model.append((entry, step))
            } else if generator.unit() < 0.5 {
                let victim = model.remove(at: Int.random(in: model.indices, using: &generator))
                #expect(room.remove(victim.request.id) == victim.request)
                #expect(room.remove(victim.request.id) == nil)
            } else {
                let realtime = generator.unit() < 0.5
                let expected = model.filter { ($0.request.priority >= 0) == realtime }.min {
                    ($1.request.priority, $0.request.orderingDeadline, $0.arrival)
                        < ($0.request.priority, $1.request.orderingDeadline, $1.arrival)
                }
                let head = room.head(realtime: realtime)
                #expect(head == expected?.request)
                if let head {
                    room.remove(head.id)
                    model.removeAll { $0.request.id == head.id }
                }
            }
            #expect(room.count == model.count)
            #expect(room.realtimeCount == model.count { $0.request.priority >= 0 })
        }
    }
}

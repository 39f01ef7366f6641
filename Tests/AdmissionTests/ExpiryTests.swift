import Admission
import Basics
import Testing

@Suite struct ExpiryTests {
    @Test func expiredRequestsAreHandedOutOnce() {
        var room = WaitingRoom()
        _ = room.admit(request(1, deadline: 5))
        _ = room.admit(request(2, deadline: 50))
        #expect(room.expiredIDs(at: 4.999).isEmpty)
        #expect(room.expiredIDs(at: 5) == [1])
        #expect(room.expiredIDs(at: 5).isEmpty)
        #expect(room.count == 1)
        #expect(room.expiredIDs(at: 30) == [2])
    }

    @Test func theShortestOfAllTimesToLiveCounts() {
        var configuration = AdmissionConfiguration(timeToLive: .seconds(20))
        configuration.bands[3] = BandPolicy(timeToLive: .seconds(8))
        configuration.bands[4] = BandPolicy(timeToLive: .seconds(80))
        var room = WaitingRoom(configuration: configuration)
        _ = room.admit(request(1))
        _ = room.admit(request(2, timeToLive: 6))
        _ = room.admit(request(3, timeToLive: 60))
        _ = room.admit(request(4, priority: 3, timeToLive: 9))
        _ = room.admit(request(5, priority: 4))
        _ = room.admit(request(6, timeToLive: 60, deadline: 10))
        _ = room.admit(request(7, priority: -1, deadline: 90, counts: false))
        _ = room.admit(request(8, priority: -1, timeToLive: 1, counts: false))
        #expect(room.expiredIDs(at: 6) == [2])
        #expect(room.expiredIDs(at: 8) == [4])
        #expect(room.expiredIDs(at: 10) == [6])
        #expect(room.expiredIDs(at: 20) == [1, 3, 5])
        // Messages wait until their deadline, or for good.
        #expect(room.expiredIDs(at: 90) == [7])
        #expect(room.count == 1)
    }

    @Test func anEndpointThatComesBackFindsTheRequestsThatWaitedForIt() {
        var configuration = AdmissionConfiguration(timeToLive: .seconds(10))
        configuration.noEndpointTimeToLive = .seconds(60)
        var room = WaitingRoom(configuration: configuration)
        room.endpointsChanged(anyIsUp: false, now: .zero)
        _ = room.admit(request(1))
        _ = room.admit(request(2, at: 40))
        #expect(room.expiredIDs(at: 50).isEmpty)
        #expect(room.expiredIDs(at: 60) == [1])
        room.endpointsChanged(anyIsUp: true, now: Instant(seconds: 61))
        #expect(room.expiredIDs(at: 70.9).isEmpty)
        #expect(room.expiredIDs(at: 71) == [2])
    }

    @Test func withoutEndpointsAShorterTimeToLiveCanApply() {
        var configuration = AdmissionConfiguration(timeToLive: .seconds(30))
        configuration.noEndpointTimeToLive = .seconds(2)
        var room = WaitingRoom(configuration: configuration)
        _ = room.admit(request(1))
        room.endpointsChanged(anyIsUp: false, now: Instant(seconds: 10))
        _ = room.admit(request(2, at: 11))
        #expect(room.expiredIDs(at: 12) == [1])
        #expect(room.expiredIDs(at: 13) == [2])
    }

    @Test func endpointsThatFlapDoNotKeepARequestWaitingForGood() {
        var configuration = AdmissionConfiguration(timeToLive: .seconds(10))
        configuration.noEndpointTimeToLive = .seconds(20)
        var room = WaitingRoom(configuration: configuration)
        _ = room.admit(request(1))
        for second in 1..<30 {
            room.endpointsChanged(anyIsUp: second % 2 == 0, now: Instant(seconds: Double(second)))
            #expect(room.expiredIDs(at: Double(second)).isEmpty)
        }
        #expect(room.expiredIDs(at: 30) == [1])
    }

    @Test func absurdTimesDoNoHarm() {
        var room = WaitingRoom()
        _ = room.admit(request(1, timeToLive: -1))
        _ = room.admit(request(2, timeToLive: 1e18, ttftLimit: 1e18))
        _ = room.insert(
            WaitingRequest(
                id: 3, priority: .min, enqueued: .zero, timeToLive: TimeSpan(nanoseconds: .max),
                deadline: Instant(nanoseconds: .max), ttftLimit: TimeSpan(nanoseconds: .max), bytes: .max,
                use: TokenUse(uncachedInputTokens: .max, outputTokens: .max), countsAgainstLimits: false), now: .zero)
        #expect(room.expiredIDs(at: 0) == [1])
        #expect(room.expiredIDs(at: 30) == [2])
        #expect(room.dispatchAll(realtime: false) == [3])
    }
}

import Admission
import Basics

/// How many requests a waiting room takes in and sends on per second, with 1,000 flows in ten bands.
func admissionFigures() -> [Figure] {
    [1000, 100_000].map { standing in
        Figure(
            name: "admission: insert and dispatch, \(standing) waiting", value: millionsPerSecond(standing: standing),
            unit: "M/s", bar: .atLeast(1))
    }
}

private func millionsPerSecond(standing: Int) -> Double {
    var room = WaitingRoom(
        configuration: AdmissionConfiguration(maxRequestsPerBand: 1_000_000, timeToLive: .seconds(3600)))
    var generator = SeededGenerator(seed: 7)
    let flows = (0..<1000).map { "tenant-\($0)" }
    var now = Instant.zero
    var id: UInt64 = 0
    func arrive() {
        id += 1
        let draw = generator.next()
        let use = TokenUse(
            uncachedInputTokens: 100 + Int(draw >> 48) % 4000, outputTokens: 50 + Int(draw >> 32 & 0xffff) % 1000)
        _ = room.insert(
            WaitingRequest(
                id: id, priority: Int(draw & 0xffff) % 10, flow: flows[Int(draw >> 16 & 0xffff) % 1000],
                enqueued: now, bytes: 4000, use: use), now: now)
    }
    for _ in 0..<standing { arrive() }
    let microseconds = bestMicroseconds(runs: 300, calls: 1000) { _ in
        now = now + TimeSpan(nanoseconds: 1000)
        arrive()
        if let head = room.head(realtime: true, now: now) { room.dispatch(head.id, now: now) }
    }
    return 1 / microseconds
}

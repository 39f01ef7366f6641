import Basics
import MessageQueues
import Testing

@Suite struct ChangeSignalTests {
    @Test(.timeLimit(.minutes(5)))
    func aChangeBetweenTheLookAndTheWaitIsNotMissed() async {
        let signal = ChangeSignal()
        let version = signal.version
        signal.notify()
        await signal.wait(past: version)
        #expect(signal.version == version + 1)
    }

    @Test(.timeLimit(.minutes(5)))
    func allWhoWaitAreWoken() async {
        let signal = ChangeSignal()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<100 { group.addTask { await signal.wait(past: 0) } }
            group.addTask { signal.notify() }
        }
        #expect(signal.version == 1)
    }

    @Test(.timeLimit(.minutes(5)))
    func cancellingEndsTheWait() async {
        let signal = ChangeSignal()
        for _ in 0..<200 {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await signal.wait(past: 0) }
                group.cancelAll()
            }
        }
        #expect(signal.version == 0)
    }

    @Test(.timeLimit(.minutes(5)))
    func aWaitWithALimitEnds() async {
        let signal = ChangeSignal()
        await signal.wait(past: 0, atMost: .milliseconds(1))
        #expect(signal.version == 0)
    }
}

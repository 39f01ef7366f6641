import Basics
import MessageQueues
import Synchronization
import Testing

@testable import PubSubQueue

struct AcknowledgementCallsTests {
    private static let ids = (0..<1000).map { "id\($0)" }

    /// Calls that fail with the error that `fails` returns, and what sizes they had.
    private static func calls(
        exactlyOnce: Bool, sizes: SizeRecord, fails: @escaping @Sendable ([String]) -> PubSubError? = { _ in nil }
    ) -> AcknowledgementCalls {
        let calls = AcknowledgementCalls { _, ids throws(PubSubError) in
            sizes.add(ids.count)
            if let error = fails(ids) { throw error }
        }
        calls.setExactlyOnce(exactlyOnce)
        return calls
    }

    @Test(arguments: [(true, 30, 34), (false, 1000, 1)])
    func whereVerdictsAreToldCallsAreSmall(_ isExactlyOnce: Bool, _ largest: Int, _ count: Int) async {
        let sizes = SizeRecord()
        let verdicts = await Self.calls(exactlyOnce: isExactlyOnce, sizes: sizes).perform(.acknowledge, Self.ids)
        #expect(verdicts == Self.ids.map { _ in .confirmed })
        #expect(sizes.all.max() == largest)
        #expect(sizes.all.count == count)
        #expect(sizes.all.reduce(0, +) == 1000)
    }

    @Test func eachIDHasItsOwnVerdictWhateverTheCallItWentIn() async {
        let calls = Self.calls(exactlyOnce: true, sizes: SizeRecord()) { ids in
            let late = ids.filter { $0.hasSuffix("7") }
            return PubSubError(
                .failedPrecondition, place: "s", detail: "d",
                acknowledgements: Dictionary(
                    uniqueKeysWithValues: late.map { ($0, "PERMANENT_FAILURE_INVALID_ACK_ID") }))
        }
        let verdicts = await calls.perform(.acknowledge, Self.ids)
        #expect(verdicts == Self.ids.map { $0.hasSuffix("7") ? .lost : .confirmed })
    }

    @Test func aLargeCallWhoseAnswerDoesNotArriveIsMadeAgainInSmallOnes() async {
        let sizes = SizeRecord()
        let calls = Self.calls(exactlyOnce: false, sizes: sizes) { ids in
            ids.count > 60 || ids.contains("id5")
                ? PubSubError(.unavailable, place: "s", detail: "the connection is closed") : nil
        }
        let verdicts = await calls.perform(.setDeadline(seconds: 60, timeout: .seconds(1)), Self.ids)
        #expect(verdicts == (0..<1000).map { $0 < 30 ? .failed : .confirmed })
        #expect(sizes.all.count == 35)
    }

    @Test func oneIDThatIsNotAcceptedFailsAlone() async {
        let calls = Self.calls(exactlyOnce: true, sizes: SizeRecord()) { ids in
            ids.contains("id77") ? PubSubError(.invalid, place: "s", detail: "d") : nil
        }
        let verdicts = await calls.perform(.acknowledge, Self.ids)
        #expect(verdicts == (0..<1000).map { $0 == 77 ? .lost : .confirmed })
    }

    @Test(.timeLimit(.minutes(1))) func pausesOfDifferentLengthsDoNotWaitForOneAnother() async throws {
        let second = ChangeSignal()
        let begun = SizeRecord()
        let calls = AcknowledgementCalls { _, ids in
            begun.add(ids.count)
            if begun.all.count == 2 { second.notify() }
            await second.wait(past: 0)
        }
        let returns = [
            PubSubQueue.Return(ackID: "a", seconds: 0), PubSubQueue.Return(ackID: "b", seconds: 10),
            PubSubQueue.Return(ackID: "c", seconds: 0),
        ]
        #expect(await PubSubQueue.handBack(returns, calls).count == 3)
        #expect(begun.all.sorted() == [1, 2])
    }
}

/// The sizes of calls.
final class SizeRecord: Sendable {
    private let sizes = Mutex<[Int]>([])

    var all: [Int] { sizes.withLock { $0 } }

    func add(_ size: Int) { sizes.withLock { $0.append(size) } }
}

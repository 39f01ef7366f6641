import Basics
import Testing

@testable import KVEvents

/// One rule each; `FeedWorldTests` plays them against each other.
@Suite struct SequencerTests {
    private typealias Action = KVEventSequencer.Action

    private func sequencer(_ hasReplay: Bool = true) -> KVEventSequencer {
        KVEventSequencer(.init(hasReplay: hasReplay, retryPauses: [.milliseconds(1), .milliseconds(2)]))
    }

    private func payload(_ sequence: UInt64, engine: UInt8 = 0) -> [UInt8] { [engine, UInt8(sequence)] }

    private func actions(_ change: (inout [Action]) -> Void) -> [Action] {
        var actions: [Action] = []
        change(&actions)
        return actions
    }

    /// Connected, and with the batches 0, 1 and 2 from a replay.
    private func withThreeBatches() -> KVEventSequencer {
        var sequencer = sequencer()
        #expect(actions { sequencer.connected(into: &$0) } == [.requestReplay(from: 0, after: .zero)])
        for sequence: UInt64 in 0..<3 {
            #expect(
                actions { sequencer.replayed(sequence, payload(sequence), into: &$0) }
                    == [.apply(payload: payload(sequence), isLive: false)])
        }
        #expect(actions { sequencer.replayEnded(into: &$0) }.isEmpty)
        #expect(sequencer.isFollowing)
        return sequencer
    }

    @Test func whatComesDuringAReplayWaitsAndIsAppliedOnce() {
        var sequencer = sequencer()
        _ = actions { sequencer.connected(into: &$0) }
        for sequence: UInt64 in 1..<4 {
            #expect(actions { sequencer.live(sequence, payload(sequence), into: &$0) }.isEmpty)
        }
        for sequence: UInt64 in 0..<2 { _ = actions { sequencer.replayed(sequence, payload(sequence), into: &$0) } }
        #expect(
            actions { sequencer.replayEnded(into: &$0) } == [
                .apply(payload: payload(2), isLive: true), .apply(payload: payload(3), isLive: true),
            ])
        #expect(
            actions { sequencer.live(4, payload(4), into: &$0) } == [.apply(payload: payload(4), isLive: true)])
        #expect(sequencer.counters.batches == 5)
        #expect(sequencer.counters.replayedBatches == 2)
    }

    @Test func aReplayWithAHoleIsAskedForAgainAtOnce() {
        var sequencer = withThreeBatches()
        sequencer.disconnected()
        #expect(actions { sequencer.connected(into: &$0) } == [.requestReplay(from: 2, after: .zero)])
        #expect(actions { sequencer.replayed(2, payload(2), into: &$0) }.isEmpty)
        #expect(actions { sequencer.replayed(4, payload(4), into: &$0) }.isEmpty)
        // Nothing has come through the subscription that could show the hole.
        #expect(
            actions { sequencer.replayEnded(into: &$0) } == [.requestReplay(from: 2, after: .milliseconds(1))])
    }

    @Test func anEngineThatDoesNotKnowOurLastBatchIsAnother() {
        var shorter = withThreeBatches()
        shorter.disconnected()
        _ = actions { shorter.connected(into: &$0) }
        #expect(
            actions { shorter.replayEnded(into: &$0) } == [.forget, .requestReplay(from: 0, after: .zero)])

        var different = withThreeBatches()
        different.disconnected()
        _ = actions { different.connected(into: &$0) }
        #expect(
            actions { different.replayed(2, payload(2, engine: 1), into: &$0) }
                == [.forget, .requestReplay(from: 0, after: .zero)])
        #expect(different.counters.restarts == 1)
        #expect(
            actions { different.replayed(0, payload(0, engine: 1), into: &$0) }
                == [.apply(payload: payload(0, engine: 1), isLive: false)])
    }

    @Test func aReplayThatBringsNothingIsTriedAFewTimesAndThenGivenUp() {
        var sequencer = withThreeBatches()
        #expect(actions { sequencer.live(5, payload(5), into: &$0) } == [.requestReplay(from: 2, after: .zero)])
        #expect(
            actions { sequencer.replayFailed(into: &$0) } == [.requestReplay(from: 2, after: .milliseconds(1))])
        #expect(
            actions { sequencer.replayFailed(into: &$0) } == [.requestReplay(from: 2, after: .milliseconds(2))])
        #expect(
            actions { sequencer.replayFailed(into: &$0) } == [.forget, .apply(payload: payload(5), isLive: true)])
        #expect(sequencer.isFollowing)
        #expect(sequencer.counters.failedReplays == 3)
    }

    @Test func whatIsHeldBackIsBounded() {
        var settings = KVEventSequencer.Settings(hasReplay: true, retryPauses: [])
        settings.maximumHeldBatches = 3
        settings.maximumHeldBytes = 5
        var sequencer = KVEventSequencer(settings)
        _ = actions { sequencer.connected(into: &$0) }
        for sequence: UInt64 in 0..<10 { _ = actions { sequencer.live(sequence, payload(sequence), into: &$0) } }
        // Two batches of two bytes each.
        #expect(sequencer.counters.droppedBatches == 8)
        #expect(
            actions { sequencer.replayFailed(into: &$0) } == [
                .apply(payload: payload(0), isLive: true), .apply(payload: payload(1), isLive: true),
            ])
        // The hole shows with what comes next.
        #expect(actions { sequencer.live(10, payload(10), into: &$0) } == [.requestReplay(from: 1, after: .zero)])
        #expect(sequencer.counters.gaps == 1)
    }
}

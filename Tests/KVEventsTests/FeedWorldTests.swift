import Basics
import InferenceAPI
import Testing

@testable import KVEvents

/// A made-up engine, a subscription that loses messages and breaks, a replay that fails: whatever happens, nothing may be
/// believed to be in a cache that is not, once the noise is over.
@Suite struct FeedWorldTests {
    private struct Engine {
        var sequence: UInt64 = 0
        var kept: [(sequence: UInt64, payload: [UInt8])] = []
        var prompts: [UInt32: Int] = [:]
        let memory: Int

        mutating func publish(_ random: inout SeededGenerator, time: inout Double) -> (UInt64, [UInt8]) {
            time += 1
            var writer = MessagePackWriter()
            writer.array(2)
            writer.float(time)
            let number = UInt32.random(in: 1...12, using: &random)
            let blocks = prompts[number, default: 0]
            let prompt = Prompt(number: number, blocks: blocks + 1, size: 2)
            writer.array(1)
            if blocks < 5, Bool.random(using: &random) {
                writer.stored(prompt, from: blocks)
                prompts[number] = blocks + 1
            } else if blocks > 0 {
                writer.removed(prompt.hashes[blocks - 1])
                prompts[number] = blocks - 1
            } else {
                writer.array(1)
                writer.text("SomethingNew")
            }
            defer { sequence += 1 }
            kept.append((sequence, writer.bytes))
            if kept.count > memory { kept.removeFirst() }
            return (sequence, writer.bytes)
        }

        var truth: Set<UInt64> {
            Set(prompts.flatMap { Prompt(number: $0.key, blocks: $0.value, size: 2).keys })
        }
    }

    private struct World {
        var engine: Engine
        var feed: KVEventFeed
        let index = IndexCopy()
        var time = 0.0
        var isConnected = false
        var live: [[[UInt8]]] = []
        var request: KVEventFeed.ReplayRequest?
        var answers: [[[UInt8]]] = []
        var replayWillBreak = false
        var random: SeededGenerator
        let replayFaults: Bool

        mutating func take(_ output: KVEventFeed.Output) {
            index.apply(output.changes)
            guard let replay = output.replay else { return }
            request = replay
            answers = []
        }

        mutating func publish(loses: Bool = true) {
            let (sequence, payload) = engine.publish(&random, time: &time)
            guard isConnected, !(loses && chance(0.1)) else { return }
            live.append([Array("kv@pod".utf8), ZMTPFrames.bigEndian(sequence), payload])
        }

        mutating func chance(_ probability: Double) -> Bool { random.unit() < probability }

        mutating func disconnect() {
            guard isConnected else { return }
            isConnected = false
            live = []
            request = nil
            answers = []
            feed.disconnected()
        }

        mutating func connect() {
            guard !isConnected else { return }
            isConnected = true
            var output = KVEventFeed.Output()
            feed.connected(into: &output)
            take(output)
        }

        mutating func deliverLive() {
            guard !live.isEmpty else { return }
            var output = KVEventFeed.Output()
            feed.received(live: live.removeFirst(), into: &output)
            take(output)
        }

        /// The engine answers a request, out of what it keeps now.
        mutating func serve(faults: Bool) {
            guard let current = request, answers.isEmpty else { return }
            request = nil
            #expect(current.parts == [[], ZMTPFrames.bigEndian(current.sequence)])
            answers = engine.kept.filter { $0.sequence >= current.sequence }.map { sequence, payload in
                [[], ZMTPFrames.bigEndian(sequence), payload]
            }
            if faults { answers = answers.filter { _ in random.unit() > 0.02 } }
            replayWillBreak = faults && chance(0.6)
            if !replayWillBreak { answers.append([[], ZMTPFrames.bigEndian(.max), []]) }
        }

        mutating func deliverReplay() {
            var output = KVEventFeed.Output()
            if answers.isEmpty {
                guard replayWillBreak else { return }
                replayWillBreak = false
                feed.replayFailed(into: &output)
            } else if !feed.received(replayed: answers.removeFirst(), into: &output) {
                answers = []
            }
            take(output)
        }

        mutating func restart() {
            disconnect()
            engine = Engine(memory: engine.memory)
        }

        mutating func step() {
            switch random.unit() {
            case ..<0.4: publish()
            case ..<0.65: deliverLive()
            case ..<0.72: serve(faults: replayFaults)
            case ..<0.97: for _ in 0..<8 { deliverReplay() }
            case ..<0.98: disconnect()
            case ..<0.983: restart()
            default: connect()
            }
        }

        /// Nothing is lost any more.
        mutating func calm() {
            connect()
            publish(loses: false)
            for _ in 0..<20_000 where !live.isEmpty || request != nil || !answers.isEmpty || !feed.isFollowing {
                deliverLive()
                serve(faults: false)
                deliverReplay()
            }
        }
    }

    private func run(seed: UInt64, memory: Int, hasReplay: Bool, replayFaults: Bool) -> World {
        var world = World(
            engine: Engine(memory: memory), feed: KVEventFeed(model: "llama", hasReplay: hasReplay),
            random: SeededGenerator(seed: seed), replayFaults: replayFaults)
        for _ in 0..<1500 { world.step() }
        world.calm()
        #expect(world.feed.isFollowing)
        #expect(world.index.content.redundant == 0)
        #expect(world.index.content.gpu.isSubset(of: world.engine.truth))
        return world
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func withReplayEverythingIsKnown(_ seed: UInt64) {
        let world = run(seed: seed, memory: .max, hasReplay: true, replayFaults: false)
        #expect(world.index.content.gpu == world.engine.truth)
        #expect(world.feed.counters.sequence.gaps > 0)
        #expect(world.feed.counters.malformedMessages == 0)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func withAReplayThatFailsNothingIsMadeUp(_ seed: UInt64) {
        let world = run(seed: seed, memory: .max, hasReplay: true, replayFaults: true)
        #expect(world.feed.counters.sequence.failedReplays > 0)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func withAShortMemoryNothingIsMadeUp(_ seed: UInt64) {
        let world = run(seed: seed, memory: 20, hasReplay: true, replayFaults: seed % 2 == 0)
        #expect(world.feed.counters.sequence.missedBatches > 0)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func withoutReplayNothingIsMadeUp(_ seed: UInt64) {
        let world = run(seed: seed, memory: 0, hasReplay: false, replayFaults: false)
        #expect(world.feed.counters.sequence.replays == 0)
        #expect(world.feed.counters.sequence.gaps > 0)
    }

    @Test func anEngineThatStartsAnewBehindTheSameConnectionIsNoticed() {
        var feed = KVEventFeed(model: "llama", hasReplay: false)
        var random = SeededGenerator(seed: 1)
        var time = 0.0
        var output = KVEventFeed.Output()
        feed.connected(into: &output)
        for _ in 0..<2 {
            var engine = Engine(memory: 0)
            for _ in 0..<30 {
                let (sequence, payload) = engine.publish(&random, time: &time)
                feed.received(live: [[], ZMTPFrames.bigEndian(sequence), payload], into: &output)
            }
        }
        #expect(feed.counters.sequence.restarts == 1)
        #expect(output.changes.count { $0 == .clear } == 1)
    }

    @Test func hostileNumbersAreOnlyCounted() {
        for hasReplay in [false, true] {
            var feed = KVEventFeed(model: "llama", hasReplay: hasReplay)
            var output = KVEventFeed.Output()
            feed.connected(into: &output)
            var random = SeededGenerator(seed: 3)
            for _ in 0..<20_000 {
                let sequence = ZMTPFrames.bigEndian(random.next() >> (random.next() & 63))
                if Bool.random(using: &random) {
                    feed.received(live: [[], sequence, [0x92, 0, 0x90]], into: &output)
                } else {
                    feed.received(replayed: [[], sequence, [0x92, 0, 0x90]], into: &output)
                }
                if random.next() & 15 == 0 { feed.replayFailed(into: &output) }
            }
            feed.received(live: [[1], [2], [3]], into: &output)
            feed.received(live: [], into: &output)
            #expect(feed.counters.malformedMessages >= 2)
        }
    }

    @Test func aPayloadThatIsNoBatchCostsWhatWasKnown() {
        var feed = KVEventFeed(model: "llama", hasReplay: false)
        var output = KVEventFeed.Output()
        feed.connected(into: &output)
        feed.received(live: [[], ZMTPFrames.bigEndian(0), [0xC1]], into: &output)
        #expect(output.changes == [.clear])
        #expect(feed.counters.malformedMessages == 1)
    }
}

/// As much of MessagePack as the made-up engine needs.
struct MessagePackWriter {
    private(set) var bytes: [UInt8] = []

    mutating func array(_ count: UInt8) { bytes.append(0x90 | count) }
    mutating func float(_ value: Double) { bytes += [0xCB] + ZMTPFrames.bigEndian(value.bitPattern) }
    mutating func integer(_ value: UInt64) { bytes += [0xCF] + ZMTPFrames.bigEndian(value) }
    mutating func text(_ value: String) { bytes += [0xA0 | UInt8(value.utf8.count)] + Array(value.utf8) }

    /// The event that stores one block of a prompt.
    mutating func stored(_ prompt: Prompt, from block: Int) {
        array(7)
        text("BlockStored")
        array(1)
        integer(prompt.hashes[block])
        if block > 0 { integer(prompt.hashes[block - 1]) } else { bytes.append(0xC0) }
        array(UInt8(prompt.size))
        for token in prompt.tokens[(block * prompt.size)..<((block + 1) * prompt.size)] { integer(UInt64(token)) }
        integer(UInt64(prompt.size))
        bytes.append(0xC0)
        text("GPU")
    }

    mutating func removed(_ hash: UInt64) {
        array(3)
        text("BlockRemoved")
        array(1)
        integer(hash)
        text("GPU")
    }
}

import Basics
import InferenceAPI
import KVEvents
import NIOCore
import NIOPosix
import Testing

/// Against publishers on libzmq, as engines have them.
@Suite(.serialized, .enabled(if: PythonInstallation.isPresent)) struct SubscriberTests {
    private struct World {
        let port: Int
        let replayPort: Int?
        let index: IndexCopy
        let subscriber: KVEventSubscriber

        func startPublisher(_ options: String = "{}") async throws -> Publisher {
            try await Publisher(port: port, replayPort: replayPort, options: options)
        }

        func holds(_ keys: [UInt64]) async throws {
            let (index, subscriber) = (index, subscriber)
            try await eventually("\(keys.count) blocks") { index.content.gpu == Set(keys) }
            #expect(index.content.redundant == 0)
            #expect(subscriber.status.counters.malformedMessages == 0)
        }

        func follows() async throws {
            let subscriber = subscriber
            try await eventually("a connection") { subscriber.status.connection == .following }
        }
    }

    /// Runs a test with a subscriber whose publisher may not be there yet.
    private func withWorld(
        replay: Bool = true, topicFilter: String = "kv@", _ change: (inout KVEventSettings) -> Void = { _ in },
        body: (World) async throws -> Void
    ) async throws {
        let port = try await freePort()
        let replayPort = replay ? try await freePort() : nil
        var settings = KVEventSettings()
        settings.maximumPause = .milliseconds(200)
        settings.replayIdleTimeout = .milliseconds(500)
        change(&settings)
        let index = IndexCopy()
        let subscriber = KVEventSubscriber(
            KVEventSource(
                host: "127.0.0.1", port: port, replayPort: replayPort, topicFilter: topicFilter, model: "llama"),
            settings: settings
        ) { index.apply($0) }
        do {
            try await body(World(port: port, replayPort: replayPort, index: index, subscriber: subscriber))
        } catch {
            await subscriber.close()
            throw error
        }
        await subscriber.close()
        #expect(subscriber.status.connection == .closed)
    }

    @Test(
        arguments: [
            #"{"form": "array"}"#, #"{"form": "map"}"#,
            #"{"form": "array", "digests": true, "replay_with_topic": true}"#,
            #"{"form": "map", "digests": true, "replay_with_topic": true}"#,
        ])
    func aLateSubscriberLearnsWhatWasBefore(_ options: String) async throws {
        try await withWorld { world in
            let publisher = try await world.startPublisher(options)
            let (first, second) = (Prompt(number: 1, blocks: 5), Prompt(number: 2, blocks: 3, model: "adapter"))
            try publisher.publish([[first.stored(to: 3)], [second.stored()], [first.stored(from: 3)]])
            try await world.holds(first.keys + second.keys)
            try await world.follows()
            try publisher.publish([[.removed(Array(second.hashes[1...]))]])
            try await world.holds(first.keys + second.keys.prefix(1))
            #expect(world.subscriber.status.blockSize == 4)
            #expect(world.subscriber.status.residentBlocks == 6)
            #expect(try #require(world.subscriber.status.lag).seconds < 60)
        }
    }

    @Test func withoutReplayItStartsFromWhatComes() async throws {
        try await withWorld(replay: false) { world in
            let publisher = try await world.startPublisher()
            let (lost, first, second) = (
                Prompt(number: 1, blocks: 2), Prompt(number: 2, blocks: 5), Prompt(number: 3, blocks: 3)
            )
            try publisher.publish([[lost.stored()]])
            try await firstBatch(of: publisher, in: world)
            try publisher.publish([[first.stored()]])
            try await world.holds(first.keys)
            // A hole that nobody can fill.
            try publisher.publish([[.removed([first.hashes[4]])]], lose: true)
            try publisher.publish([[second.stored()]])
            try await world.holds(second.keys)
            let counters = world.subscriber.status.counters.sequence
            #expect(counters.gaps == 1)
            #expect(counters.missedBatches == 1)
            #expect(counters.replays == 0)
        }
    }

    /// A subscription takes effect at its publisher at a time that nobody is told.
    private func firstBatch(of publisher: Publisher, in world: World) async throws {
        let subscriber = world.subscriber
        try await eventually("a first batch") {
            try publisher.publish([[]])
            return subscriber.status.counters.sequence.batches > 0
        }
    }

    @Test func aGapIsFilledByAReplay() async throws {
        try await withWorld { world in
            let publisher = try await world.startPublisher()
            let prompt = Prompt(number: 1, blocks: 6)
            try publisher.publish([[prompt.stored(to: 2)]])
            try await world.holds(Array(prompt.keys.prefix(2)))
            try await world.follows()
            try await firstLive(of: publisher, in: world)
            try publisher.publish([[prompt.stored(from: 2, to: 4)], [.removed([prompt.hashes[0]])]], lose: true)
            try publisher.publish([[prompt.stored(from: 4)]])
            try await world.holds(Array(prompt.keys.dropFirst()))
            let counters = world.subscriber.status.counters
            #expect(counters.sequence.gaps == 1)
            #expect(counters.sequence.missedBatches == 0)
            #expect(counters.residency.orphanedBlocks == 0)
            #expect(world.index.content.clears == 0)
        }
    }

    /// Publishes empty batches until one has come through the subscription.
    private func firstLive(of publisher: Publisher, in world: World) async throws {
        let subscriber = world.subscriber
        try await eventually("a live batch") {
            try publisher.publish([[]])
            let counters = subscriber.status.counters.sequence
            return counters.batches > counters.replayedBatches
        }
    }

    @Test func aGapBeyondTheEnginesMemoryCostsWhatWasKnown() async throws {
        try await withWorld { world in
            let publisher = try await world.startPublisher(#"{"buffer_steps": 2}"#)
            let (old, new) = (Prompt(number: 1, blocks: 2), Prompt(number: 2, blocks: 4))
            try publisher.publish([[old.stored()]])
            try await world.holds(old.keys)
            try await world.follows()
            try await firstLive(of: publisher, in: world)
            try publisher.publish([[old.stored()], [], [new.stored(to: 2)]], lose: true)
            try publisher.publish([[new.stored(from: 2)]])
            try await world.holds(new.keys)
            #expect(world.index.content.clears == 1)
            #expect(world.subscriber.status.counters.sequence.missedBatches > 0)
        }
    }

    @Test func anEngineThatStartedAnewHasNothing() async throws {
        try await withWorld { world in
            let old = Prompt(number: 1, blocks: 4)
            let first = try await world.startPublisher()
            try first.publish([[old.stored(to: 2)], [old.stored(from: 2)], []])
            try await world.holds(old.keys)
            first.stop()
            let new = Prompt(number: 2, blocks: 3)
            let second = try await world.startPublisher()
            // As many batches as the old one had, and more: only their content tells.
            try second.publish([[], [], [], [new.stored()]])
            try await world.holds(new.keys)
            #expect(world.index.content.clears == 1)
            #expect(world.subscriber.status.counters.sequence.restarts == 1)
            #expect(world.subscriber.status.connections == 2)
        }
    }

    @Test func manyBatchesThroughSmallBuffersComeOutRight() async throws {
        try await withWorld { world in
            let publisher = try await world.startPublisher(#"{"hwm": 1}"#)
            try await world.follows()
            let prompts = (1...1500).map { Prompt(number: $0, blocks: 8) }
            // Libzmq drops what a subscriber does not read at once, and what the replay's queue of 1000 does not hold.
            try publisher.publish(prompts.map { [$0.stored()] })
            try publisher.publish(prompts.dropLast(20).map { [.removed($0.hashes)] })
            let subscriber = world.subscriber
            // What is lost at the end is found out by what comes next.
            let end = try publisher.answer().sequence
            try await eventually("the end", within: .seconds(60)) {
                try publisher.publish([[]])
                return subscriber.status.counters.sequence.batches >= end
            }
            try await world.holds(prompts.suffix(20).flatMap(\.keys))
        }
    }

    @Test func heartbeatsGoBothWays() async throws {
        try await withWorld({ $0.heartbeat = .milliseconds(20) }) { world in
            let publisher = try await world.startPublisher(#"{"heartbeat_ms": 20}"#)
            try await world.follows()
            // Many times the silence after which each side would have given up the other.
            try await Task.sleep(for: .milliseconds(1000))
            let prompt = Prompt(number: 1, blocks: 1)
            try publisher.publish([[prompt.stored()]])
            try await world.holds(prompt.keys)
            #expect(world.subscriber.status.connections == 1)
        }
    }

    @Test func aPeerThatHangsIsGivenUpAndFoundAgain() async throws {
        try await withWorld({ $0.heartbeat = .milliseconds(50) }) { world in
            let publisher = try await world.startPublisher()
            let prompt = Prompt(number: 1, blocks: 2)
            try publisher.publish([[prompt.stored()]])
            try await world.holds(prompt.keys)
            try await world.follows()
            publisher.pause(true)
            let subscriber = world.subscriber
            try await eventually("that it is given up") {
                if case .connecting(let reason?) = subscriber.status.connection {
                    reason.contains("sign of life")
                } else {
                    false
                }
            }
            publisher.pause(false)
            try await world.follows()
            // It is the same engine still.
            #expect(world.index.content.clears == 0)
            #expect(world.index.content.gpu == Set(prompt.keys))
        }
    }

    @Test func othersTopicsDoNotCome() async throws {
        try await withWorld(topicFilter: "kv@mine") { world in
            let publisher = try await world.startPublisher(#"{"topic": "kv@mine@llama"}"#)
            try publisher.publish([[]])
            try await world.follows()
            try await firstLive(of: publisher, in: world)
            let before = world.subscriber.status.counters
            try publisher.publish(raw: ["6b7640796f757273", "00", "00"])
            try publisher.publish(raw: ["6b76406d696e65", "0000", "00"])
            let subscriber = world.subscriber
            try await eventually("the other message") {
                subscriber.status.counters.malformedMessages == before.malformedMessages + 1
            }
        }
    }
}

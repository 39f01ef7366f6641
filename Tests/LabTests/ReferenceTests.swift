import Basics
import EngineModel
import Foundation
import Testing

@testable import Lab

/// The shared traces lie beside the project and are not part of it.
enum SharedTraces {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../../shared/traces").standardizedFileURL

    static var areThere: Bool {
        FileManager.default.fileExists(atPath: folder.appending(path: "README.md").path())
    }

    static func file(_ name: String) throws -> LabFile {
        LabFile(name: name, bytes: [UInt8](try Data(contentsOf: folder.appending(path: name))))
    }

    static func conversation() throws -> LabFiles {
        LabFiles(
            trace: try file("azure2023_conv_full.csv"),
            offline: try file("arxiv_summarization_lengths_first10k.csv"))
    }
}

@Suite(
    "Beside published figures",
    .enabled(if: SharedTraces.areThere, "the shared traces are not at \(SharedTraces.folder.path())"))
struct ReferenceTests {
    @Test("The Azure conversation trace reads as documented")
    func azureTrace() throws {
        let file = try SharedTraces.file("azure2023_conv_full.csv")
        let trace = try Trace(bytes: file.bytes, format: .azure, file: file.name, seed: 1)
        #expect(trace.requests.count == 19_366)
        #expect(abs(trace.duration.seconds - 3501.7) < 0.1)
        #expect(abs(Double(trace.requests.reduce(0) { $0 + $1.promptTokens }) / 19_366 - 1154.7) < 0.1)
    }

    @Test("The Mooncake trace reads as documented, and its prefixes repeat")
    func mooncakeTrace() throws {
        let file = try SharedTraces.file("mooncake_conversation_busy15m.jsonl")
        let trace = try Trace(bytes: file.bytes, format: .mooncake, file: file.name, seed: 1)
        #expect(trace.requests.count == 3350)
        #expect(abs(trace.duration.seconds - 899) < 3)
        let blocks = trace.requests.flatMap(\.promptBlockHashes)
        #expect(Set(blocks).count < blocks.count * 9 / 10)
    }

    @Test("Mooncake prompts hit the prefix cache of a simulated replica")
    func prefixCache() throws {
        let file = try SharedTraces.file("mooncake_conversation_busy15m.jsonl")
        let trace = try Trace(bytes: file.bytes, format: .mooncake, file: file.name, seed: 1).cut(to: .seconds(60))
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        let setup = WorldSetup(
            trace: trace, supply: .none, job: .generatedSummarization(seed: 1), engineConfiguration: engine,
            replicas: 4, seed: 1, hidesLengths: false)
        let fleet = simulate(setup, with: OnlineOnlyDispatcher()).fleet
        #expect(fleet.realtimeFinished == trace.requests.count)
        #expect(fleet.engines.reduce(0) { $0 + $1.load.prefixHitTokens } > 0)
    }

    @Test("The work bound gives the published load and harvest")
    func workBound() throws {
        let files = try SharedTraces.conversation()
        let trace = try Trace(
            bytes: #require(files.trace).bytes, format: .azure, file: "conv", seed: 1)
        let job = try OfflineJob(bytes: #require(files.offline).bytes, file: "arxiv")
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100-published"))
        let bound = WorkBound(stepTime: engine.stepTime, replicas: 1)
        let online = trace.requests.reduce(0.0) {
            $0 + bound.workMilliseconds(promptTokens: $1.promptTokens, outputTokens: $1.outputTokens) / 1000
        }
        #expect(abs(online / trace.duration.seconds - 0.30) < 0.01)
        let batch = job.lengths.map { (Int32($0.promptTokens), Int32($0.outputTokens)) }
        let alone = bound.drainSeconds(trace: Trace(name: "none", requests: []), batch: batch)
        #expect(abs(10_000 / alone - 8.75) < 0.05)
        let beside = bound.drainSeconds(trace: trace, batch: batch)
        #expect(abs(10_000 / beside - 6.16) < 0.05)
    }

    /// The rows of the reference experiment at twice the conversation rate (`workloads.md` C.4). They check the physics, so
    /// they are compared with the constants that made them.
    @Test("Co-location lands near the reference table")
    func colocation() throws {
        var options = LabOptions()
        options.scale = 2
        options.engine = "llama-8b-h100-published"
        options.policies = try ["online-only", "ungated-64", "engine-priority-64"].map { name throws(LabError) in
            try Policy(named: name)
        }
        let results = try Lab.run(.named("colocate"), options: options, files: SharedTraces.conversation()).policies
        let expected = [
            (good: 0.999, ttft50: 60.0, ttft99: 325.0, tpot99: 31.9, perSecond: 0.0),
            (good: 0.408, ttft50: 226, ttft99: 6437, tpot99: 68.4, perSecond: 4.09),
            (good: 0.417, ttft50: 169, ttft99: 809, tpot99: 67.7, perSecond: 4.09),
        ]
        for (result, row) in zip(results, expected) {
            #expect(abs(result.realtime.good - row.good) < 0.02, "\(result.policy.name) good \(result.realtime.good)")
            #expect(abs(result.realtime.ttft.p50 / row.ttft50 - 1) < 0.15)
            #expect(abs(result.realtime.ttft.p99 / row.ttft99 - 1) < 0.10)
            #expect(abs(result.realtime.tpot.p99 / row.tpot99 - 1) < 0.03)
            #expect(abs(result.batch.requestsPerSecond - row.perSecond) < 0.05)
        }
    }
}

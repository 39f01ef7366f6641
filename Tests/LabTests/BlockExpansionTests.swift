import Basics
import EngineModel
import InferenceAPI
import PoolScheduler
import Testing

@testable import Lab

@Suite("Prompt blocks of traces")
struct BlockExpansionTests {
    private func trace(_ prompts: [(ids: [Int], tokens: Int)]) throws -> Trace {
        let lines = prompts.enumerated().map { index, prompt in
            "{\"timestamp\": \(index * 10_000), \"input_length\": \(prompt.tokens), \"output_length\": 4, "
                + "\"hash_ids\": [\(prompt.ids.map(String.init).joined(separator: ", "))]}"
        }
        return try Trace(
            bytes: Array(lines.joined(separator: "\n").utf8), format: .mooncake, file: "t", seed: 1)
    }

    private func fleet(_ trace: Trace, kvBlocks: Int = 10_000) throws -> Fleet {
        var engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        engine.kvBlocks = kvBlocks
        let setup = WorldSetup(
            trace: trace, supply: .none, job: .generatedSummarization(seed: 1), engineConfiguration: engine,
            replicas: 1, seed: 1, hidesLengths: false)
        return simulate(setup, with: RoutedDispatcher(.roundRobin, engine: engine, replicas: 1, seed: 1)).fleet
    }

    @Test("An engine reuses the contiguous beginning that it has, down to whole blocks")
    func reuse() throws {
        let fleet = try fleet(trace([([7, 8, 9], 1536), ([7, 8, 5], 1536), ([7, 8, 9], 1000), ([5, 8], 1024)]))
        // All but the last token of a prompt can be cached: 1,000 tokens hold 62 full blocks.
        #expect(fleet.requests.map(\.cachedTokens) == [0, 1024, 992, 0])
        #expect(fleet.answerFacts(1).cachedPromptTokens == 1024)
        #expect(fleet.answerFacts(1).promptTokens == 1536)
        #expect(fleet.answerFacts(1).outputTokens == 4)
    }

    @Test("A full cache forgets the ends of old prompts first")
    func leavesGoFirst() throws {
        // 80 blocks: the second prompt takes 65 and leaves 15 of the first one's 64, its beginning.
        let fleet = try fleet(trace([([1, 2], 1024), ([3, 4], 1024), ([1, 2], 1024)]), kvBlocks: 80)
        #expect(fleet.requests[2].cachedTokens == 15 * 16)
    }

    @Test("The gateway's larger blocks are every fourth hash of the chain")
    func coarse() throws {
        let trace = try trace([([7, 8], 600)])
        let blocks = try fleet(trace).promptBlocks(0)
        let fine = trace.requests[0].promptBlockHashes
        #expect(blocks.unitsPerBlock == 64)
        #expect(blocks.units == 600)
        #expect(blocks.hashes == stride(from: 3, to: 37, by: 4).map { fine[$0] })
        #expect(blocks.tokens(inBlocks: 9, promptTokens: 600) == 576)
        #expect(
            try fleet(Trace(name: "t", requests: [.init(arrival: .zero, promptTokens: 100, outputTokens: 2)]))
                .promptBlocks(0).hashes.isEmpty)
    }

    @Test("Generated conversations repeat their own beginnings and the system prompt of their application")
    func generated() {
        let requests = Trace.generatedSharedPrompts(seed: 5).requests
        #expect(requests.count > 2000)
        #expect(requests == Trace.generatedSharedPrompts(seed: 5).requests)
        #expect(requests != Trace.generatedSharedPrompts(seed: 6).requests)
        #expect(requests.allSatisfy { $0.promptBlockHashes.count == $0.promptTokens / 16 })
        #expect(Set(requests.map { $0.promptBlockHashes[0] }).count <= 12)
        var seen: Set<UInt64> = []
        var (hit, total) = (0, 0)
        for request in requests {
            hit += request.promptBlockHashes.prefix { seen.contains($0) }.count
            total += request.promptBlockHashes.count
            seen.formUnion(request.promptBlockHashes)
        }
        #expect((0.6...0.95).contains(Double(hit) / Double(total)))
    }
}

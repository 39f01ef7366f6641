import ArgumentParser
import EngineModel
import Foundation
import ModelServer
import NIOCore
import NIOPosix

/// `weir sim`: simulated model servers to try things on without a GPU.
struct SimCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sim", abstract: "Run simulated model servers: OpenAI paths, vLLM metrics, believable physics.")

    @Option(help: "Model servers, on consecutive ports.")
    var replicas: Int = 1

    @Option(help: "Port of the first one; 0 takes free ports.")
    var port: Int = 8000

    @Option(help: "Address to listen on.")
    var host: String = "127.0.0.1"

    @Option(help: "Name of the model; repeat for aliases.")
    var model: [String] = ["sim"]

    @Option(help: "Engine preset: \(EngineConfiguration.presetNames.joined(separator: ", ")).")
    var engine: String = "llama-8b-h100"

    @Option(help: "How much faster than real time the engines run.")
    var speedup: Double = 1

    @Option(help: "Longest prompt and answer together, in tokens.")
    var maxModelTokens: Int = 131_072

    @Option(help: "Seed of words, lengths, noise and faults.")
    var seed: UInt64 = 1

    @Flag(help: "Answer at once, without an engine: to measure what stands in front.")
    var instant = false

    @OptionGroup(title: "Engine") var knobs: EngineKnobs

    @OptionGroup(title: "Faults (thousandths of requests; also POST /admin/faults)") var faults: FaultOptions

    func run() async throws {
        guard var engine = EngineConfiguration.preset(named: engine) else {
            throw CommandFailure.usage(
                "unknown engine '\(engine)'; known are \(EngineConfiguration.presetNames.joined(separator: ", "))")
        }
        try knobs.apply(to: &engine)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: min(replicas, System.coreCount))
        let server: ModelServer
        do {
            server = try await ModelServer.start(
                ModelServerConfiguration(
                    engine: engine, models: model, host: host, port: port, replicas: replicas, speedup: speedup,
                    seed: seed, mode: instant ? .instant : .engine, maxModelTokens: maxModelTokens, faults: faults.plan),
                group: group)
        } catch let error as ModelServerError {
            throw CommandFailure.usage(error.description)
        } catch {
            throw CommandFailure.failed("cannot listen on \(host):\(port): \(error)")
        }
        for (index, port) in server.ports.enumerated() {
            StandardStreams.error("replica \(index) of \(model[0]) (\(self.engine)): http://\(host):\(port)")
        }
        await Signals.wait()
        await server.shutdown()
        try await group.shutdownGracefully()
    }
}

/// The knobs of the engine model.
struct EngineKnobs: ParsableArguments {
    @Option(help: "Most requests in one step.")
    var maxSequences: Int?

    @Option(help: "Most tokens in one step.")
    var maxBatchedTokens: Int?

    @Option(help: "Longest chunk of a long prompt per step, in tokens; 0 for no limit.")
    var longPrefillTokenThreshold: Int?

    @Option(help: "Blocks of KV cache.")
    var kvBlocks: Int?

    @Option(help: "Tokens in a block of KV cache.")
    var blockSize: Int?

    @Option(help: "Waiting requests and victims: fcfs or priority.")
    var schedulingPolicy: String = "fcfs"

    @Flag(inversion: .prefixedNo, help: "Reuse the KV cache of equal prompt starts.")
    var prefixCaching = true

    @Flag(inversion: .prefixedNo, help: "Compute long prompts in pieces, beside decodes.")
    var chunkedPrefill = true

    @Option(help: "Time outside the engine per request, in milliseconds.")
    var apiMilliseconds: Double?

    @Option(help: "Spread of the step time (sigma of its logarithm).")
    var noise: Double = 0

    /// Changes a preset.
    func apply(to engine: inout EngineConfiguration) throws {
        if let maxSequences { engine.maxSequences = maxSequences }
        if let maxBatchedTokens { engine.maxBatchedTokens = maxBatchedTokens }
        if let longPrefillTokenThreshold { engine.longPrefillTokenThreshold = longPrefillTokenThreshold }
        if let blockSize {
            guard blockSize > 0 else { throw CommandFailure.usage("a block holds at least one token") }
            // The cache keeps its size in tokens unless told otherwise.
            engine.kvBlocks = max(1, engine.kvTokens / blockSize)
            engine.blockSizeTokens = blockSize
        }
        if let kvBlocks { engine.kvBlocks = kvBlocks }
        if let apiMilliseconds { engine.apiMilliseconds = apiMilliseconds }
        engine.prefixCaching = prefixCaching
        engine.chunkedPrefill = chunkedPrefill
        engine.stepNoiseSigma = noise
        switch schedulingPolicy {
        case "fcfs": engine.policy = .firstComeFirstServed
        case "priority": engine.policy = .priority
        default:
            throw CommandFailure.usage("unknown scheduling policy '\(schedulingPolicy)'; known are fcfs, priority")
        }
        guard engine.maxSequences > 0, engine.maxBatchedTokens > 0, engine.kvBlocks > 0,
            engine.longPrefillTokenThreshold >= 0, engine.apiMilliseconds >= 0, (0...1).contains(noise)
        else { throw CommandFailure.usage("engine sizes must be above 0, and the noise from 0 to 1") }
    }
}

/// The faults to begin with.
struct FaultOptions: ParsableArguments {
    @Option(help: "Rejected with 429.")
    var reject: Int = 0

    @Option(help: "Answered with 500.")
    var error: Int = 0

    @Option(help: "Never answered.")
    var hang: Int = 0

    @Option(help: "Cut off in the middle.")
    var cut: Int = 0

    @Option(help: "Delay of every request, in milliseconds.")
    var delay: Int = 0

    func validate() throws {
        for (name, value) in [("reject", reject), ("error", error), ("hang", hang), ("cut", cut)] {
            guard (0...1000).contains(value) else { throw ValidationError("--\(name) must be 0 to 1000.") }
        }
        guard (0...600_000).contains(delay) else { throw ValidationError("--delay must be 0 to 600000.") }
    }

    /// The plan.
    var plan: FaultPlan {
        var plan = FaultPlan()
        plan.rejectPerMille = reject
        plan.errorPerMille = error
        plan.hangPerMille = hang
        plan.cutPerMille = cut
        plan.delayMilliseconds = delay
        return plan
    }
}

import Basics
import EngineModel
import Harvest

/// Runs scenarios: the decision code that ships, in virtual time, around simulated model servers.
public enum Lab {
    private static let longestTrace = TimeSpan.seconds(31 * 86_400)

    /// Runs a scenario to its end.
    ///
    /// The same scenario, options and files give the same report but for its wall time.
    /// - Parameters:
    ///   - wallClock: seconds since whenever; the lab has no clock of its own. Only reported.
    ///   - progress: told the name of each policy before it runs.
    public static func run(
        _ scenario: Scenario, options: LabOptions, files: LabFiles = .init(), wallClock: () -> Double = { 0 },
        progress: (String) -> Void = { _ in }
    ) throws(LabError) -> LabReport {
        let configuration = try options.validatedEngine()
        if scenario.kind == .prediction {
            return try runPrediction(scenario, options: options, progress: progress)
        }
        if options.seeds > 1 {
            return try runSeeds(scenario, options: options, files: files, wallClock: wallClock, progress: progress)
        }
        if scenario.kind == .calibrate {
            return LabReport(scenario: scenario, options: options, traceName: "anchors", calibration: calibrate())
        }
        let policies = options.policies.isEmpty ? scenario.defaultPolicies : options.policies
        if scenario.kind != .pushStory, let direct = policies.first(where: { $0 == .direct }) {
            throw .policyNeedsPush(direct.name)
        }
        if scenario.isAboutRouting {
            return try runRouting(
                scenario, policies: policies, options: options, files: files, engine: configuration,
                wallClock: wallClock, progress: progress)
        }
        let trace = try self.trace(scenario, options: options, files: files)
        let job =
            if let file = files.offline {
                try OfflineJob(bytes: file.bytes, file: file.name)
            } else { OfflineJob.generatedSummarization(seed: options.seed &+ 1) }
        let longest = job.lengths.map { $0.promptTokens + $0.outputTokens }.max() ?? 0
        guard longest <= configuration.kvTokens else {
            throw .badOption(
                name: "offline",
                reason:
                    "has a line of \(longest) tokens; the KV cache of \(options.engine) holds \(configuration.kvTokens)"
            )
        }
        var results: [PolicyResult] = []
        for policy in policies {
            progress(policy.name)
            let started = wallClock()
            let setup = self.setup(
                scenario, policy: policy, options: options, trace: trace, job: job, engine: configuration)
            let world = simulated(policy, setup: setup, options: options)
            let evaluation = Evaluation(setup: setup, limits: options.harvest, policy: policy, world: world)
            results.append(evaluation.result(wallSeconds: wallClock() - started))
        }
        return LabReport(
            scenario: scenario, options: options, traceName: trace.name, jobName: job.name,
            traceSeconds: trace.duration.seconds, policies: results)
    }

    static func trace(
        _ scenario: Scenario, options: LabOptions, files: LabFiles
    ) throws(LabError) -> Trace {
        var trace =
            if let file = files.trace {
                try Trace(bytes: file.bytes, format: options.format, file: file.name, seed: options.seed)
            } else if scenario.kind == .prefix {
                Trace.generatedSharedPrompts(seed: options.seed)
            } else if scenario.kind == .clumps {
                Trace.generatedCodeCompletion(seed: options.seed)
            } else {
                Trace.generatedConversation(seed: options.seed)
            }
        trace = trace.scaled(by: options.scale)
        if scenario.kind == .stepSurge {
            // Three surge lengths of trace are played in one.
            trace = trace.surging(
                from: Surge.begin, to: Surge.begin + Surge.length * Surge.factor, factor: Surge.factor)
            trace = trace.cut(to: Surge.total)
        }
        if scenario.kind == .gates {
            if files.trace == nil { trace = RecurringSurge.applied(to: trace) }
        }
        if let duration = options.duration { trace = trace.cut(to: duration) }
        guard trace.duration <= longestTrace else {
            throw .badOption(
                name: "trace", reason: "spans more than 31 days; cut it with a duration or raise the scale")
        }
        return trace
    }

    static func setup(
        _ scenario: Scenario, policy: Policy, options: LabOptions, trace: Trace, job: OfflineJob,
        engine: EngineConfiguration
    ) -> WorldSetup {
        var engine = engine
        if policy.usesEnginePriority { engine.policy = .priority }
        if case .oracle(let milliseconds) = policy {
            engine.batchFill = BatchFill(stepMilliseconds: Double(milliseconds))
        }
        var setup = WorldSetup(
            trace: trace, supply: .endless, job: job, engineConfiguration: engine, replicas: options.replicas,
            seed: options.seed, hidesLengths: options.hidesLengths, completionWindow: options.completionWindow)
        if case .weir = policy { setup.reportsProgress = true }
        if scenario.kind == .pushStory {
            setup.supply = .push(messages: options.messages, perSecond: options.messagesPerSecond)
        }
        if policy.isRealtimeOnly { setup.supply = .none }
        if scenario.kind == .stepSurge {
            setup.watched = (
                Surge.begin, Surge.begin + Surge.length + Surge.aftermath,
                Surge.stepShare * options.harvest.tpotLimitMilliseconds
            )
        }
        if scenario.kind == .gates {
            // Who has no gate is measured against the saturation that the gates are told to keep.
            setup.gate = (.saturation, GatePolicy.saturationThreshold)
            if case .gate(let gate) = policy { setup.gate = gate.watched }
        }
        return setup
    }

    /// Runs one policy in one world.
    static func simulated(_ policy: Policy, setup: WorldSetup, options: LabOptions) -> FinishedWorld {
        switch policy {
        case .onlineOnly:
            return simulate(setup, with: OnlineOnlyDispatcher())
        case .direct:
            return simulate(setup, with: DirectDispatcher())
        case .ungated(let workers), .enginePriority(let workers):
            return simulate(setup, with: CapDispatcher(limit: workers, countsRealtime: false))
        case .liveCap(let requests):
            return simulate(setup, with: CapDispatcher(limit: requests, countsRealtime: true))
        case .budgetGate(let maxConcurrency):
            return simulate(setup, with: BudgetGateDispatcher(maxConcurrency: maxConcurrency))
        case .gate(let gate):
            return simulate(
                setup, with: GateDispatcher(gate, engine: setup.engineConfiguration, replicas: setup.replicas))
        case .routed(let routing):
            return simulate(
                setup,
                with: RoutedDispatcher(
                    routing, engine: setup.engineConfiguration, replicas: setup.replicas, seed: setup.seed))
        case .oracle:
            return simulate(setup, with: OracleDispatcher())
        case .weir:
            return simulate(
                setup,
                with: WeirDispatcher(
                    replicas: setup.replicas, admission: setup.admission, harvest: options.harvest,
                    hidesLengths: setup.hidesLengths, priorFactor: options.priorFactor))
        }
    }
}

import Admission
import Basics
import EngineModel

extension Scenario {
    /// Whether it asks how real-time requests are placed, without any batch work.
    var isAboutRouting: Bool { kind == .prefix || kind == .herd || kind == .fairness }
}

/// The scenarios that ask how real-time requests are placed.
extension Lab {
    /// What `prefix` multiplies the rate of its trace by: from quiet to where round robin falls behind.
    private static let prefixLoads = [1.0, 1.5, 1.75, 2, 2.25]
    /// The 99th percentile of some ten requests a second moves by several per cent from one ten minutes to the next.
    private static let fairnessDuration = TimeSpan.seconds(1800)

    static func runRouting(
        _ scenario: Scenario, policies: [Policy], options: LabOptions, files: LabFiles, engine: EngineConfiguration,
        wallClock: () -> Double, progress: (String) -> Void
    ) throws(LabError) -> LabReport {
        let loads =
            switch scenario.kind {
            case .prefix: options.loads.isEmpty ? prefixLoads : options.loads
            default: options.loads.isEmpty ? [1] : options.loads
            }
        var results: [PolicyResult] = []
        var described = (name: "", seconds: 0.0)
        for load in loads {
            var options = options
            options.scale *= load
            let worlds = try RoutingWorlds(scenario, options: options, files: files, engine: engine)
            if load == loads[0] { described = (worlds.main.name, worlds.main.duration.seconds) }
            for policy in policies {
                progress(policy.name)
                let started = wallClock()
                var result = worlds.result(of: policy, wallSeconds: { wallClock() - started })
                if loads.count > 1 || scenario.kind == .prefix { result.load = load }
                results.append(result)
            }
        }
        return LabReport(
            scenario: scenario, options: options, traceName: described.name, traceSeconds: described.seconds,
            policies: results)
    }

    /// The traffic of a scenario at one load, and what it shows of a policy.
    private struct RoutingWorlds {
        private let scenario: Scenario
        private let options: LabOptions
        private let engine: EngineConfiguration
        /// The traffic that the general figures are of.
        let main: Trace
        /// No line of it is ever taken.
        private let job: OfflineJob
        private let herds: (equal: HerdTrace, mixed: HerdTrace)
        private let tenants: FairnessTraffic

        init(
            _ scenario: Scenario, options: LabOptions, files: LabFiles, engine: EngineConfiguration
        ) throws(LabError) {
            self.scenario = scenario
            self.options = options
            self.engine = engine
            job = .generatedSummarization(seed: options.seed &+ 1)
            func herd(isMixed: Bool) -> HerdTrace {
                HerdTrace(isMixed: isMixed, replicas: options.replicas, seed: options.seed)
            }
            herds = (herd(isMixed: false), herd(isMixed: true))
            tenants = FairnessTraffic(
                replicas: options.replicas, scale: options.scale, seed: options.seed,
                duration: options.duration ?? fairnessDuration)
            switch scenario.kind {
            case .herd: main = herds.mixed.trace
            case .fairness: main = tenants.beside
            default: main = try Lab.trace(scenario, options: options, files: files)
            }
        }

        func result(of policy: Policy, wallSeconds: () -> Double) -> PolicyResult {
            let world = run(policy, main)
            let herd = scenario.kind == .herd ? self.herd(policy, mixed: world) : nil
            let fairness = scenario.kind == .fairness ? self.fairness(policy, beside: world) : nil
            var result = Evaluation(setup: setup(policy, main), limits: options.harvest, policy: policy, world: world)
                .result(wallSeconds: wallSeconds())
            result.routing = RoutingFigures(world)
            result.herd = herd
            result.fairness = fairness
            return result
        }

        private func herd(_ policy: Policy, mixed world: FinishedWorld) -> HerdFigures {
            HerdFigures(
                equal: .init(run(policy, herds.equal.trace).fleet, burst: herds.equal.burst),
                mixed: .init(world.fleet, burst: herds.mixed.burst))
        }

        private func fairness(_ policy: Policy, beside world: FinishedWorld) -> FairnessFigures {
            var ageing = admission
            ageing.bands[FairnessTraffic.lowBand] = BandPolicy(ageingBound: FairnessTraffic.ageingBound)
            var aged: FinishedWorld?
            if case .weir = policy { aged = run(policy, tenants.bands, admission: ageing) }
            return FairnessFigures(
                alone: run(policy, tenants.alone), beside: world, flood: run(policy, tenants.flood),
                bands: run(policy, tenants.bands), ageing: aged)
        }

        /// Tenants are kept apart where that is what is looked at.
        private var admission: AdmissionConfiguration {
            var admission = AdmissionConfiguration()
            if scenario.kind == .fairness { admission.isolationTolerance = FairnessTraffic.isolationTolerance }
            return admission
        }

        private func run(
            _ policy: Policy, _ trace: Trace, admission own: AdmissionConfiguration? = nil
        ) -> FinishedWorld {
            var setup = setup(policy, trace)
            setup.admission = own ?? admission
            return Lab.simulated(policy, setup: setup, options: options)
        }

        private func setup(_ policy: Policy, _ trace: Trace) -> WorldSetup {
            var setup = Lab.setup(
                scenario, policy: policy, options: options, trace: trace, job: job, engine: engine)
            setup.supply = .none
            return setup
        }
    }
}

import Basics
import Delivery
import EmbeddedQueue
import GRDB
import PoolScheduler

// What befalls a world, and how it ends.
extension World {
    private enum Trouble { case crash, stop, freeze, clockStep, outage }

    /// A life that has gone quiet is asked to stop; after this much calm a world that is not over never will be.
    private static let patience = TimeSpan.seconds(6 * 3600)

    /// Puts down what happens by itself.
    func begin() {
        for index in 0..<profile.producers {
            agenda.put(.produce, at: now.steady + generator.seconds(0, 1 + Double(index)))
        }
        changeWeather()
        if profile.realtimeRate > 0 { put(.realtime, after: .seconds(0.1)) }
        if let interval = profile.turnInterval {
            for endpoint in endpoints.indices {
                put(.turn(endpoint: endpoint), after: interval * (2 * generator.unit()))
            }
        }
        put(.trouble, after: profile.troubleInterval)
        put(.calm, after: profile.duration)
        put(.inspect, after: .seconds(1))
    }

    func makeTrouble() throws {
        guard !isCalm else { return }
        put(.trouble, after: profile.troubleInterval * (0.1 + 1.8 * generator.unit()))
        let wishes: [(Trouble, Double)] = [
            (.crash, profile.crashes), (.stop, profile.stops), (.freeze, profile.freezes),
            (.clockStep, profile.clockSteps), (.outage, profile.outages),
        ]
        guard let (trouble, likelihood) = generator.pick(wishes), generator.chance(likelihood) else { return }
        switch trouble {
        case .crash: crash()
        case .stop: stop()
        case .freeze:
            guard let process, process.frozenUntil <= now.steady else { return }
            counts.freezes += 1
            process.frozenUntil = now.steady + generator.seconds(0.1, 30)
            disturbed = max(disturbed, process.frozenUntil)
            log.line(now) { "frozen until \((process.frozenUntil - Self.beginning.steady).seconds)" }
        case .clockStep: setClock()
        case .outage where generator.chance(0.5):
            extensionsFailUntil = now.steady + profile.consumer.leaseDuration * (1 + 2 * generator.unit())
            disturbed = max(disturbed, extensionsFailUntil)
            log.line(now) { "no lease is extended for a while" }
        case .outage:
            queueFailsUntil = now.steady + generator.seconds(0.1, 20)
            disturbed = max(disturbed, queueFailsUntil)
            log.line(now) { "the queue fails for a while" }
            // What waits to be stored meets another calendar.
            if generator.chance(profile.clockSteps) {
                put(.setClock, after: (queueFailsUntil - now.steady) * generator.unit())
            }
        }
    }

    /// Somebody corrects the wall clock, for the better or not.
    func setClock() {
        guard !isCalm else { return }
        let size = generator.one(of: TimeSpan.seconds(5), .seconds(100), .seconds(7200))
        let step = generator.span(.seconds(2), size)
        stepClock(by: generator.chance(0.5) ? step : .zero - step)
    }

    private func stepClock(by step: TimeSpan) {
        guard step != .zero else { return }
        counts.clockSteps += 1
        now.wall = now.wall + step
        disturbed = max(disturbed, now.steady)
        lastClockStep = now.steady
        log.line(now) { "the clock is set by \(step.seconds) s" }
    }

    // MARK: Lives

    private func crash() {
        guard let process else { return }
        counts.crashes += 1
        log.line(now) { "CRASH of life \(process.life)" }
        endLife(process)
    }

    private func stop() {
        guard let process, process.abortsAt > now.steady else { return }
        counts.stops += 1
        let isGentle = !process.isStopping && generator.chance(0.7)
        process.isStopping = true
        process.abortsAt = isGentle ? now.steady + profile.consumer.grace : now.steady
        disturbed = max(disturbed, now.steady)
        if isGentle {
            feed("stop") { $0.stop(now: $1) }
            // The gateway begins to drain as soon as the processor has been asked to stop.
            guard let process = self.process else { return }
            apply(process.scheduler.drain(now: now.steady), process)
        } else {
            feed("abort") { $0.abort(now: $1) }
        }
    }

    func endLife(_ process: Process) {
        self.process = nil
        counts.breakersOpened += process.machine.counters.breakersOpened
        disturbed = max(disturbed, now.steady)
        if isCalm, unfinished.isEmpty, producers.isSettled {
            finish()
        } else {
            put(.restart, after: isCalm ? .milliseconds(100) : generator.seconds(0.02, 4))
        }
    }

    /// A process is started: it opens the queue as its consumer, as `EmbeddedQueue.init` does.
    func start() throws {
        lives += 1
        var store = MessageStore(name: profile.consumer.queue)
        if mutation != .skipsRecovery || lives == 1 {
            try database.inTransaction(.immediate) {
                try store.recover(now, database)
                try store.writeTally(database)
                return .commit
            }
            _ = store.takeChanges()
        }
        let process = Process(
            life: lives, store: store,
            machine: ConsumerStateMachine(configuration: profile.consumer, seed: generator.next(), now: now),
            scheduler: makeScheduler())
        self.process = process
        disturbed = max(disturbed, now.steady)
        try noteRecovered()
        try readResults()
        log.line(now) { "life \(process.life) begins" }
        feed("begin") { $0.begin(now: $1) }
        put(.keepHouse(life: process.life), after: generator.seconds(0, 1))
        lookForCancellations()
    }

    // MARK: The end

    /// From here on nothing goes wrong any more.
    func beCalm() throws {
        isCalm = true
        log.line(now) { "calm" }
        queueFailsUntil = .zero
        extensionsFailUntil = .zero
        weather = [:]
        isPeak = false
        // What is corrected by less than half a second goes unnoticed (`MessageStore.clockStep`).
        if now.wall + .seconds(1) < latestWall { stepClock(by: latestWall - now.wall) }
        disturbed = max(disturbed, now.steady)
        progressed = now.steady
        calmSince = now.steady
        if let process {
            for id in process.running.sorted() where process.requests[id]?.plan == .hangs {
                guard let run = process.requests[id]?.run else { continue }
                process.requests[id]?.plan = .breaks(after: .zero)
                put(.runEnds(life: process.life, request: id, run: run), after: .milliseconds(1))
            }
        }
        for index in endpoints.indices {
            endpoints[index].isUp = true
            if let process { put(.noticeHealth(life: process.life, endpoint: index), after: .milliseconds(10)) }
        }
    }

    /// Once a second: what must not last, and whether the world is over.
    func inspect() throws {
        guard !isOver else { return }
        put(.inspect, after: .seconds(1))
        checkPatience()
        guard isCalm, let process else { return }
        if now.steady - calmSince > Self.patience {
            violate(.progress, "unfinished after hours of calm: \(unfinished.sorted().prefix(10))")
            isOver = true
        } else if now.steady - progressed > .seconds(100), try hasReadyMessages() {
            violate(.progress, "nothing has happened for long; unfinished: \(unfinished.sorted().prefix(10))")
            isOver = true
        } else if unfinished.isEmpty, producers.isSettled, !process.isStopping,
            process.machine.counters.held == 0
        {
            process.isStopping = true
            process.abortsAt = now.steady + profile.consumer.grace
            feed("last stop") { $0.stop(now: $1) }
        }
    }

    private func finish() {
        isOver = true
        log.line(now) { "over" }
        checkEnd()
    }
}

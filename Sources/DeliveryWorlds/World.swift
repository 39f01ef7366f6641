import Basics
import Delivery
import EmbeddedQueue
import GRDB
import PoolScheduler

/// Producers, a queue, a processor, a pool and its endpoints in virtual time, and an adversary who meddles with all of them.
///
/// What decides is the code that ships: `MessageStore`, `ConsumerStateMachine`, `PoolScheduler`. Around it is what the
/// shells do (`EmbeddedQueue`, `AsyncProcessor`, `Gateway`), with every wait turned into a happening. One seed makes one
/// world, to the last byte of its trace.
final class World {
    let seed: UInt64
    let mutation: Mutation?
    let profile: WorldProfile
    let database: Database
    var generator: SeededGenerator

    var agenda = Agenda()
    /// The present. The wall clock is the steady one and an offset, which the adversary changes.
    var now: DeliveryTime
    /// The greatest wall time that was ever shown, for the calm.
    var latestWall: Instant
    var isCalm = false
    var isOver = false

    /// The process with the consumer, the gateway and its pool; nil while it is dead.
    var process: Process?
    /// Processes so far.
    var lives = 0
    var queueFailsUntil = Instant.zero
    var extensionsFailUntil = Instant.zero

    // Around the process.
    var producers = Producers()
    var endpoints: [EndpointTruth]
    var weather: [String: Weather] = [:]

    // What the checker knows.
    var truths: [Int64: MessageTruth] = [:]
    /// The generation of an id that is not finished.
    var openGeneration: [String: Int64] = [:]
    /// Generations of an id whose results are kept, and those kept as dead letters.
    var keptResults: [String: [Int64]] = [:]
    var keptDead: [String: [Int64]] = [:]
    /// Generations that somebody may hold, in the order of submission.
    var held: Set<Int64> = []
    var unfinished: Set<Int64> = []
    /// The results that have been looked at.
    var lastCursor: Int64 = 0
    /// When something last happened that may hold things up: a crash, a failing queue, a clock that was set.
    var disturbed: Instant
    /// When something last came to an end or began.
    var progressed: Instant
    var lastClockStep = Instant.zero
    var calmSince = Instant.zero
    /// How long an endpoint has worked on a request at most.
    var longestRun = TimeSpan.zero
    var lastRequest: UInt64 = 0
    var isPeak = false

    var counts = WorldCounts()
    var violations: [Violation] = []
    var log: Log

    /// The beginning of the steady clock and of the calendar in every world.
    static let beginning = DeliveryTime(
        wall: Instant(seconds: 1_700_000_000), steady: Instant(seconds: 5_000))
    /// A world that is not over by then never will be.
    private static let happeningLimit = 400_000
    /// What follows from a violation is of no interest.
    private static let violationLimit = 5

    init(seed: UInt64, mutation: Mutation?, traces: Bool, database: Database) throws {
        self.seed = seed
        self.mutation = mutation
        self.database = database
        generator = SeededGenerator(seed: seed)
        profile = WorldProfile(using: &generator)
        now = Self.beginning
        latestWall = now.wall
        disturbed = now.steady
        progressed = now.steady
        log = Log(keepsLines: traces)
        endpoints = (0..<profile.endpoints).map { EndpointTruth(name: "endpoint-\($0)") }
        try QueueSchema.migrate(database)
        log.line(now) { "\(self.profile)" }
        try start()
        begin()
    }

    /// Lives through everything.
    func run() throws -> WorldReport {
        while !isOver, violations.count < Self.violationLimit, let (at, happening) = agenda.next() {
            counts.happenings += 1
            if counts.happenings > Self.happeningLimit {
                violate(.progress, "the world is still busy after \(Self.happeningLimit) happenings")
                break
            }
            if let life = happening.life {
                guard let process, process.life == life else { continue }
                if at < process.frozenUntil {
                    agenda.put(happening, at: process.frozenUntil)
                    continue
                }
            }
            let step = at - now.steady
            now = DeliveryTime(wall: now.wall + step, steady: at)
            latestWall = max(latestWall, now.wall)
            try live(happening)
        }
        return WorldReport(
            seed: seed, counts: counts, violations: violations, digest: log.digest, trace: log.lines)
    }

    private func live(_ happening: Happening) throws {
        switch happening {
        case .commit: try commit()
        case .answer(_, let answer): hear(answer)
        case .wake(_, let number): wake(number)
        case .lookForReady(_, let number): try lookForReady(number)
        case .lookForCancellations: lookForCancellations()
        case .keepHouse: try keepHouse()
        case .submit(_, let request): submit(request)
        case .withdraw(_, let request): withdraw(request)
        case .started(_, let request): hearStarted(request)
        case .ended(_, let request, let outcome): hearEnded(request, outcome)
        case .tickScheduler: tickScheduler()
        case .firstToken(_, let request, let run): firstToken(request, run)
        case .runEnds(_, let request, let run): runEnds(request, run)
        case .noticeHealth(_, let endpoint): noticeHealth(of: endpoint)
        case .clientLeaves(_, let request): clientLeaves(request)
        case .produce: try produce()
        case .resubmit(let ticket): try resubmit(ticket)
        case .regret(let ticket): try regret(ticket)
        case .realtime: submitRealtime()
        case .turn(let endpoint): turn(endpoint)
        case .trouble: try makeTrouble()
        case .setClock: setClock()
        case .restart: try start()
        case .changeWeather: changeWeather()
        case .bell(_, let hasReady, let hasCancellations): try ring(hasReady, hasCancellations)
        case .calm: try beCalm()
        case .inspect: try inspect()
        }
        if process != nil { checkReservations() }
    }

    /// Puts down something that happens after a span.
    func put(_ happening: Happening, after span: TimeSpan) {
        agenda.put(happening, at: now.steady + max(span, .zero))
    }

    func violate(_ invariant: Invariant, _ detail: @autoclosure () -> String) {
        let seconds = (now.steady - Self.beginning.steady).seconds
        let violation = Violation(invariant: invariant, detail: detail(), seconds: seconds)
        violations.append(violation)
        log.line(now) { "VIOLATION: \(violation.invariant.rawValue): \(violation.detail)" }
    }
}

/// What happened, as lines if somebody wants to read them, and always as a digest.
struct Log {
    private let keepsLines: Bool
    private(set) var lines: [String] = []
    private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325

    init(keepsLines: Bool) { self.keepsLines = keepsLines }

    /// Notes a thing by its numbers, which make up the digest.
    mutating func note(_ now: DeliveryTime, _ numbers: Int64...) {
        mix(now.steady.nanoseconds)
        mix(now.wall.nanoseconds)
        for number in numbers { mix(number) }
    }

    /// Notes a thing for those who read.
    mutating func line(_ now: DeliveryTime, _ text: () -> String) {
        guard keepsLines else { return }
        let seconds = (now.steady - World.beginning.steady).seconds
        let places = String((seconds * 1e6).rounded() / 1e6)
        lines.append("\(places) \(text())")
    }

    private mutating func mix(_ number: Int64) {
        digest = (digest ^ UInt64(bitPattern: number)) &* 0x100_0000_01B3
        digest ^= digest >> 29
    }
}

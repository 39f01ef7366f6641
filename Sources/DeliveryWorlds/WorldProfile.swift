import Basics
import Delivery

/// The size and the temper of one world, drawn from its seed: each kind of trouble is absent from many worlds and frequent
/// in some, so that their combinations are met as well as each alone.
struct WorldProfile {
    // The work.
    var producers: Int
    var messages: Int
    var burst: Int
    var tenants: Int
    var targets: Int
    var priorities: [Int]
    /// The longest time to a deadline.
    var longestDeadline: TimeSpan
    /// The share of messages whose deadline is near, or has passed.
    var urgency: Double
    /// The share of submissions that repeat a known id, with the same payload or another.
    var repetition: Double
    /// The share of producers' steps that cancel something.
    var cancellation: Double
    /// Whether producers are processes of their own.
    var hasForeignProducers: Bool

    // The pool.
    var endpoints: Int
    var concurrency: Int
    var serviceTime: TimeSpan
    /// Real-time requests per second in a peak.
    var realtimeRate: Double

    // The consumer.
    var consumer: ConsumerConfiguration

    // The trouble.
    /// How long it lasts.
    var duration: TimeSpan
    /// The mean time between two ideas of the adversary.
    var troubleInterval: TimeSpan
    var crashes: Double
    var stops: Double
    var freezes: Double
    var clockSteps: Double
    var outages: Double
    /// Endpoints go down and come back in this time, on average; nil if they never do.
    var turnInterval: TimeSpan?
    /// The share of attempts that do not end well.
    var badWeather: Double
    var lostAcknowledgements: Double
    var repeatedAcknowledgements: Double
    /// How long an answer of the queue takes.
    var acknowledgementLatency: TimeSpan
    /// The share of writes that fail.
    var queueErrors: Double
    /// The share of answers of the queue that take longer than a lease.
    var lateAcknowledgements: Double

    init(using generator: inout SeededGenerator) {
        /// A rate that is zero in half of all worlds.
        func sometimes(_ high: Double) -> Double { generator.chance(0.5) ? 0 : high * generator.unit() }

        producers = generator.number(1...3)
        messages = generator.one(of: 12, 30, 60, 120)
        burst = generator.one(of: 1, 3, 20)
        tenants = generator.one(of: 1, 1, 2, 4)
        targets = generator.one(of: 1, 2, 3, 6)
        priorities = generator.one(of: [0], [0, 5], [-3, 0, 2, 9])
        longestDeadline = generator.one(of: .seconds(20), .seconds(90), .seconds(400))
        urgency = sometimes(0.5)
        repetition = sometimes(0.3)
        cancellation = sometimes(0.3)
        hasForeignProducers = generator.chance(0.5)

        endpoints = generator.number(1...4)
        concurrency = generator.one(of: 1, 2, 8, 32)
        serviceTime = generator.one(of: .milliseconds(5), .milliseconds(200), .seconds(2), .seconds(8))
        realtimeRate = generator.chance(0.4) ? 0 : generator.one(of: 2, 10, 30)

        consumer = ConsumerConfiguration(queue: "world")
        consumer.lookahead = generator.one(of: 2, 8, 128)
        consumer.maximumHeld = generator.one(of: 4, 32, 1024)
        consumer.maximumHeldBytes = generator.chance(0.2) ? 600 : 1 << 20
        consumer.maximumInFlight = generator.one(of: nil, 1, 3, 16)
        consumer.leaseDuration = generator.one(of: .seconds(3), .seconds(15))
        consumer.attemptTimeout = generator.one(of: .seconds(4), .seconds(20), .seconds(600))
        consumer.grace = generator.one(of: .seconds(1), .seconds(10))
        consumer.breakerFailures = generator.number(1...5)
        consumer.breakerCap = .seconds(10)
        consumer.retries.base = generator.one(of: .milliseconds(100), .seconds(2))
        consumer.retries.cap = generator.one(of: .seconds(5), .seconds(60))
        consumer.retries.maximumFailures = generator.one(of: nil, nil, 1, 3)

        duration = generator.seconds(10, 60)
        troubleInterval = generator.one(of: .seconds(1), .seconds(4), .seconds(15))
        crashes = sometimes(1)
        stops = sometimes(0.5)
        freezes = sometimes(0.5)
        clockSteps = sometimes(0.7)
        outages = sometimes(0.7)
        turnInterval = generator.chance(0.5) ? nil : generator.one(of: .seconds(2), .seconds(10), .seconds(30))
        badWeather = sometimes(0.9)
        lostAcknowledgements = sometimes(0.1)
        repeatedAcknowledgements = sometimes(0.2)
        acknowledgementLatency = generator.one(of: .milliseconds(0.2), .milliseconds(5), .milliseconds(50))
        queueErrors = sometimes(0.1)
        lateAcknowledgements = sometimes(0.03)
    }
}

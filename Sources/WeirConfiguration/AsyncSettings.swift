public import Basics

extension Configuration {
    /// The asynchronous path.
    public struct Async: Hashable, Sendable {
        /// The queues that the processor takes work from.
        public var queues: [MessageQueue] = []
        /// The gateway that requests of queues without one of their own are sent to; nil stands for this process's.
        public var target: Target?
        /// What queues share: bounds on requests under way, and gates.
        public var workerPools: [WorkerPool] = []
        /// Which waiting request goes next over several queues.
        public var merge = Merge()
        /// How the tenant of a request is told to the gateway.
        public var fairness = Fairness()
        /// The Prometheus server that gates ask; nil for none.
        public var prometheus: Prometheus?
        /// Changes that requests undergo before they are sent; the first that is meant for a request makes it.
        public var transforms: [Transform] = []
        /// When a message that was not answered is tried again.
        public var retry = Retry()
        /// How clients hand in requests over HTTP.
        public var frontDoor = FrontDoor()
        /// Results that are posted to those who asked for it.
        public var webhooks = Webhooks()

        /// Creates a path without queues.
        public init() {}
    }

    /// When a message that was not answered is tried again.
    public struct Retry: Hashable, Sendable {
        /// The first pause is one to two times this; it doubles with each setback.
        public var base = TimeSpan.seconds(2)
        /// Longest pause.
        public var cap = TimeSpan.seconds(60)
        /// Longest pause after the gateway refused to carry a request.
        public var rejectionPause = TimeSpan.seconds(1)
        /// A message is given up, and kept as a dead letter, after this many failures of attempts that had started.
        public var maxFailures = 20
        /// Longest single attempt; one that takes longer is ended and tried again.
        public var attemptTimeout = TimeSpan.seconds(600)
        /// After this many failures in a row nothing is sent to a model for a while.
        public var breakerFailures = 5
        /// Longest such pause.
        public var breakerCap = TimeSpan.seconds(30)

        /// Creates the defaults.
        public init() {}
    }
}

extension Configuration.Async: Section {
    static var fields: [Field<Self>] {
        [
            .sections("queues", \.queues, required: true, "The queues that work is taken from, at least one."),
            .optionalSection(
                "target", \.target,
                "The HTTP gateway that requests of queues without a `target` of their own go to. Left out: the gateway of "
                    + "this process."),
            .sections(
                "workerPools", \.workerPools,
                "Bounds and gates that queues share by naming a pool. A pool called `default` is always there."),
            .section("merge", \.merge, "Which waiting request goes next where queues share a pool of workers."),
            .section(
                "fairness", \.fairness, "How the tenant of a request is told to the gateway, to share capacity fairly."),
            .optionalSection("prometheus", \.prometheus, "The Prometheus server that gates ask."),
            .sections(
                "transforms", \.transforms,
                "Changes to requests before they are sent; the first that is meant for a request makes it."),
            .section("retry", \.retry, "When a message that was not answered is tried again."),
            .section(
                "frontDoor", \.frontDoor, "How clients hand in asynchronous requests over HTTP and ask for them later."),
            .section("webhooks", \.webhooks, "Results that are posted to those who asked for it."),
        ]
    }
}

extension Configuration.Retry: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "base", \.base, .positiveDuration,
                "The first pause is one to two times this; it doubles with each further setback, with jitter."),
            .scalar("cap", \.cap, .positiveDuration, "Longest pause."),
            .scalar(
                "rejectionPause", \.rejectionPause, .positiveDuration,
                "Longest pause after the gateway refused to carry a request; it does not grow."),
            .scalar(
                "maxFailures", \.maxFailures, .positiveCount,
                "After this many failed attempts a message goes to the dead letters: a prompt that kills its server must "
                    + "not kill them all."),
            .scalar(
                "attemptTimeout", \.attemptTimeout, .positiveDuration,
                "Longest single attempt; one that takes longer is ended, counts as failed and is tried again."),
            .scalar(
                "breakerFailures", \.breakerFailures, .positiveCount,
                "After so many failures in a row nothing is sent to a model until a single request has got through."),
            .scalar(
                "breakerCap", \.breakerCap, .positiveDuration,
                "Longest pause between the single requests that find out whether a model answers again."),
        ]
    }
}

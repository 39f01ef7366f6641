public import Basics

extension Configuration {
    /// Which waiting request goes next where several queues share a pool of workers.
    public struct Merge: Hashable, Sendable {
        /// The order.
        public var policy = MergePolicy.deadline
        /// The ageing as it is written; nil takes the policy's usual one.
        var writtenAgeing: TimeSpan?
        /// The label that names a request's tier.
        public var tierLabel = "tier"
        /// The header field that tells a request's lane, 0 to 5, as a number; nil tells nothing.
        public var priorityHeader: String?
        /// The objective that requests of a lane are sent with; lanes without one keep their queue's.
        public var laneObjectives: [String: String] = [:]
        /// The header field that tells such an objective.
        public var objectiveHeader = "x-llm-d-inference-objective"

        /// Creates the defaults: the earliest deadline goes first.
        public init() {}

        /// A request that has waited so long is old, and every second start goes to the oldest of those; zero switches that
        /// off. Not set, it is ``usualAgeing`` for policies that would let a request wait without end.
        public var ageing: TimeSpan {
            get { writtenAgeing ?? (policy == .deadline ? .zero : Self.usualAgeing) }
            set { writtenAgeing = newValue }
        }

        /// The ageing of policies that do not go by deadlines.
        public static let usualAgeing = TimeSpan.seconds(60)

        /// The lanes of `tier-priority`, first served first: every tier of the reserved requests before any of the
        /// overflow.
        public static let lanes = ["reserved", "overflow"].flatMap { classification in
            ["interactive", "async", "batch"].map { "\(classification)-\($0)" }
        }
    }

    /// An order of requests over several queues.
    public enum MergePolicy: String, Hashable, Sendable, CaseIterable {
        /// The earliest deadline first, over all queues.
        case deadline
        /// A queue by lot, its earliest deadline first.
        case randomRobin = "random-robin"
        /// By lane, queues in turn within a lane.
        case tierPriority = "tier-priority"
    }

    /// How the tenant of a request is told to the gateway, so that it can share its capacity fairly.
    public struct Fairness: Hashable, Sendable {
        /// The header field that names the tenant; nil tells nothing.
        public var header: String? = "x-llm-d-inference-fairness-id"
        /// The entry of a message's metadata that names the tenant.
        public var attribute = "userid"

        /// Creates the defaults.
        public init() {}
    }
}

extension Configuration.Merge: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "policy", \.policy, .word,
                "`deadline`: the earliest deadline over all queues first. `random-robin`: a queue by lot. `tier-priority`: "
                    + "reserved before overflow requests, and within each `interactive`, `async`, `batch`."),
            .optional(
                "ageing", \.writtenAgeing, .duration,
                "A request that has waited so long is old, and every second start goes to the oldest of those, so that none "
                    + "starves; 0 switches it off. Left out: \(DurationText.text(usualAgeing)) with `random-robin` and "
                    + "`tier-priority`, 0 with `deadline`."),
            .scalar("tierLabel", \.tierLabel, .text, "`tier-priority`: the label that names a request's tier."),
            .optional(
                "priorityHeader", \.priorityHeader, .fieldName,
                "`tier-priority`: header field that tells the lane, 0 (first) to 5. Left out: not told."),
            .map(
                "laneObjectives", \.laneObjectives, keys: .text, values: .fieldValue,
                "`tier-priority`: the objective that requests of a lane are sent with; lanes are "
                    + lanes.map { "`\($0)`" }.joined(separator: ", ") + "."),
            .scalar(
                "objectiveHeader", \.objectiveHeader, .fieldName,
                "`tier-priority`: the header field of such an objective."),
        ]
    }
}

extension Configuration.Fairness: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "header", \.header, .fieldNameOrOff,
                "Header field that names a request's tenant to the gateway; `off` sends none."),
            .scalar("attribute", \.attribute, .text, "The entry of a message's metadata that names its tenant."),
        ]
    }
}

public import Basics

extension Configuration {
    /// How an endpoint is chosen for a request.
    public struct Routing: Hashable, Sendable {
        /// An `EndpointPickerConfig` file whose weighted policy is followed; nil follows the cost in milliseconds.
        public var endpointPickerConfig: String?
        /// A second policy that only judges; nil for none.
        public var shadow: Shadow?
        /// How much a millisecond of decoding counts beside one before the first token.
        public var decodeShare = 0.2
        /// How much a millisecond counts that others wait longer.
        public var interferenceShare = 0.1
        /// How often each millisecond beyond a limit counts.
        public var penaltyFactor = 10.0
        /// What loading an adapter into a free place takes.
        public var adapterLoad = TimeSpan.milliseconds(200)
        /// What loading an adapter in the place of another takes.
        public var adapterSwap = TimeSpan.milliseconds(1000)
        /// What is remembered of what endpoints have cached.
        public var prefix = Prefix()

        /// Creates the defaults.
        public init() {}

        /// A policy that judges each choice and is never followed.
        public enum Shadow: Hashable, Sendable {
            /// The cost in milliseconds.
            case cost
            /// The weighted policy of an `EndpointPickerConfig` file.
            case endpointPickerConfig(path: String)
        }

        /// What is remembered of what endpoints have cached.
        public struct Prefix: Hashable, Sendable {
            /// Most distinct blocks of text, and as many of tokens.
            public var maxEntries = 1 << 20
            /// How prompts become tokens, for endpoints that publish KV events.
            public var tokenizer = Tokenizer()

            /// Creates the defaults.
            public init() {}

            /// The most that can be remembered.
            static let mostEntries = 1 << 28
        }

        /// How prompts become tokens.
        public struct Tokenizer: Hashable, Sendable {
            /// Where endpoints do it.
            public var path = "/tokenize"
            /// The longest that a request waits for it.
            public var timeout = TimeSpan.milliseconds(100)
            /// Longer bodies are not tokenized.
            public var maxBytes = 256 << 10

            /// Creates the defaults.
            public init() {}
        }
    }
}

extension Configuration.Routing: Section {
    static var fields: [Field<Self>] {
        [
            .optional(
                "endpointPickerConfig", \.endpointPickerConfig, .text,
                "Path of an EndpointPickerConfig file of the llm-d router whose filters, scorers and picker choose; its "
                    + "saturation detector and flow control fill what `admission` leaves at its default. Left out: the "
                    + "endpoint with the lowest cost in milliseconds is chosen."),
            .optional(
                "shadow", \.shadow, .shadowRouting,
                "A second policy that judges each choice without being followed: `cost`, or the path of an "
                    + "EndpointPickerConfig file. Left out: none."),
            .scalar(
                "decodeShare", \.decodeShare, .quantity,
                "How much a millisecond of decoding counts beside one before the first token."),
            .scalar(
                "interferenceShare", \.interferenceShare, .quantity,
                "How much a millisecond counts that other requests wait longer."),
            .scalar(
                "penaltyFactor", \.penaltyFactor, .quantity, "How often each millisecond beyond a limit counts."),
            .scalar(
                "adapterLoad", \.adapterLoad, .duration,
                "What loading a LoRA adapter takes where there is a free place for it."),
            .scalar(
                "adapterSwap", \.adapterSwap, .duration,
                "What loading a LoRA adapter takes where it pushes out another."),
            .section("prefix", \.prefix, "What is remembered of the prompts that endpoints have cached."),
        ]
    }
}

extension Configuration.Routing.Prefix: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "maxEntries", \.maxEntries,
                .positiveCount.requiring("\(mostEntries) or less") { $0 <= mostEntries },
                "Most distinct blocks of text, and as many of tokens, that are remembered; a block takes about 75 bytes."
            ),
            .section(
                "tokenizer", \.tokenizer,
                "How prompts become tokens, which is needed where an endpoint has `kvEvents`. What is not tokenized is "
                    + "matched by its text."),
        ]
    }
}

extension Configuration.Routing.Tokenizer: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("path", \.path, .urlPath, "Where endpoints turn the body of a request into tokens."),
            .scalar("timeout", \.timeout, .positiveDuration, "The longest that a request waits for its tokens."),
            .scalar("maxBytes", \.maxBytes, .size, "Longer bodies are not tokenized."),
        ]
    }
}

extension ScalarFormat where Value == Configuration.Routing.Shadow {
    static var shadowRouting: Self {
        Self(
            "`cost` or a path", expectation: "cost or a path",
            parse: { text in
                switch text {
                case "": nil
                case "cost": .cost
                default: .endpointPickerConfig(path: text)
                }
            },
            print: { shadow in
                switch shadow {
                case .cost: "cost"
                case .endpointPickerConfig(let path): path
                }
            })
    }
}

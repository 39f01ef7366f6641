public import Basics

extension Trace {
    /// Conversations of several turns that begin with one of a few shared system prompts, with block hashes.
    ///
    /// Each turn's prompt is the system prompt, the conversation so far and the user's next words. The shape is that of
    /// multi-turn assistants (`workloads.md` B.2, Mooncake conversation: long prompts, some 40 % of whose tokens have been
    /// seen before); the constants are round numbers of our own.
    public static func generatedSharedPrompts(
        seed: UInt64, duration: TimeSpan = .seconds(900), requestsPerSecond: Double = 3.7
    ) -> Trace {
        var generator = SeededGenerator(seed: seed)
        let sessionRate = requestsPerSecond / meanTurns
        let rates = Array(repeating: sessionRate, count: max(1, Int(duration.seconds.rounded(.up))))
        let starts = poissonArrivals(rates: rates, duration: duration, using: &generator) { _ in (1, 1) }
        let systemPrompts = (0..<systemPromptCount).map { index in
            SystemPrompt(seed: seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15, tokens: 512 << (index % 4))
        }
        var requests: [TraceRequest] = []
        for (number, start) in starts.enumerated() {
            let session = Session(
                seed: generator.next(),
                // The square of an even draw prefers the first ones, as real applications are of unequal size.
                system: systemPrompts[Int(generator.unit() * generator.unit() * Double(systemPromptCount))],
                firstWords: number % documentEvery == 0 ? documentTokens : 0)
            requests += session.turns(from: start.arrival, until: .zero + duration, using: &generator)
        }
        return Trace(name: "shared prompts (generated)", requests: requests)
    }

    private static let systemPromptCount = 12
    private static let meanTurns = 4.0
    /// Every so many sessions begin with a long document.
    private static let documentEvery = 4
    private static let documentTokens = 16_000

    private struct SystemPrompt {
        let seed: UInt64
        let tokens: Int
    }

    private struct Session {
        let seed: UInt64
        let system: SystemPrompt
        let firstWords: Int

        func turns(from start: Instant, until end: Instant, using generator: inout SeededGenerator) -> [TraceRequest] {
            var turns: [TraceRequest] = []
            var time = start
            var context = system.tokens + firstWords
            repeat {
                let prompt = context + 50 + Int(generator.unit() * 450)
                let output = 100 + Int(generator.unit() * 400)
                turns.append(
                    TraceRequest(
                        arrival: time, promptTokens: prompt, outputTokens: output,
                        promptBlockHashes: hashes(count: prompt / 16)))
                context = prompt + output
                // The answer is read and thought about: an exponential pause after a fixed one.
                time = time + .seconds(15 - 30 * naturalLogarithm(1 - generator.unit()))
            } while time < end && generator.unit() < 1 - 1 / meanTurns
            return turns
        }

        /// A conversation only grows, so a full block is named by its place; the first ones by the system prompt.
        private func hashes(count: Int) -> [UInt64] {
            (0..<count).map { block in
                let source = (block + 1) * 16 <= system.tokens ? system.seed : seed
                return mixed(source ^ mixed(UInt64(block) &+ 1))
            }
        }
    }
}

import Basics
import Lab

/// The traffic of the demo, made from a seed.
enum DemoTraffic {
    /// Real-time requests with the Azure conversation statistics, for all servers together, with one burst in the middle.
    static func realtime(_ options: DemoOptions) -> [TraceRequest] {
        let scale = Double(options.servers) * options.trafficScale
        let act = options.actSeconds
        let burst = (start: act * 0.4, seconds: act * 0.16, factor: 2.5)
        return Trace.generatedConversation(seed: options.seed)
            .scaled(by: scale)
            .surging(
                from: Instant(seconds: burst.start),
                to: Instant(seconds: burst.start + burst.seconds * burst.factor),
                factor: burst.factor
            )
            .cut(to: .seconds(act)).requests
    }

    /// Bodies of messages: summaries of documents of 300 to 900 tokens in 40 to 120 tokens.
    static func messages(_ count: Int, model: String, seed: UInt64) -> [[UInt8]] {
        var generator = SeededGenerator(seed: seed &+ 17)
        return (0..<count).map { number in
            PromptText.chat(
                model: model, number: number, promptTokens: Int.random(in: 300...900, using: &generator),
                outputTokens: Int.random(in: 40...120, using: &generator), streams: false)
        }
    }
}

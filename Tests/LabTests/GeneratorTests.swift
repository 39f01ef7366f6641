import Basics
import Lab
import Testing

@Suite("Generated inputs have the statistics of what they imitate")
struct GeneratorTests {
    @Test("Conversation: rate and lengths", arguments: [1, 2, 3] as [UInt64])
    func conversation(seed: UInt64) throws {
        let trace = Trace.generatedConversation(seed: seed)
        let rate = Double(trace.requests.count) / trace.duration.seconds
        #expect(abs(rate / 5.53 - 1) < 0.03, "rate \(rate)")
        let prompts = Percentiles(trace.requests.map { Double($0.promptTokens) })
        let outputs = Percentiles(trace.requests.map { Double($0.outputTokens) })
        for (sample, quantile, value) in [
            (prompts, 0.5, 1020.0), (prompts, 0.9, 2734), (prompts, 0.99, 4142), (outputs, 0.5, 129),
            (outputs, 0.9, 424), (outputs, 0.99, 601),
        ] {
            let found = try #require(sample.value(at: quantile))
            #expect(abs(found / value - 1) < 0.07, "p\(quantile * 100) is \(found), not \(value)")
        }
        #expect(abs(try #require(prompts.mean) / 1155 - 1) < 0.04)
        #expect(abs(try #require(outputs.mean) / 211 - 1) < 0.04)
    }

    @Test("Conversation: nearly Poisson at a second, drifting over minutes", arguments: [1, 2, 3, 4] as [UInt64])
    func burstiness(seed: UInt64) {
        let trace = Trace.generatedConversation(seed: seed)
        let seconds = counts(trace, binSeconds: 1)
        let minutes = counts(trace, binSeconds: 60)
        #expect((1.1...1.8).contains(dispersion(seconds)), "\(dispersion(seconds))")
        #expect((5...30).contains(dispersion(minutes)), "\(dispersion(minutes))")
        let peak = (minutes.max() ?? 0) / (minutes.reduce(0, +) / Double(minutes.count))
        #expect((1.25...1.9).contains(peak), "peak over mean \(peak)")
    }

    @Test("Code completion: rate, clumps and lengths", arguments: [1, 2, 3] as [UInt64])
    func codeCompletion(seed: UInt64) throws {
        let trace = Trace.generatedCodeCompletion(seed: seed)
        #expect(abs(Double(trace.requests.count) / 3436 / 2.57 - 1) < 0.04)
        for (bin, peaks) in [(10.0, 5.0...22.0), (60, 2.5...8)] {
            let counts = counts(trace, binSeconds: bin)
            let peak = (counts.max() ?? 0) / (counts.reduce(0, +) / Double(counts.count))
            #expect(peaks.contains(peak), "peak over mean \(peak) at \(bin) s")
        }
        let outputs = Percentiles(trace.requests.map { Double($0.outputTokens) })
        #expect(try abs(#require(outputs.value(at: 0.5)) - 13) <= 1)
        let prompts = Percentiles(trace.requests.map { Double($0.promptTokens) })
        #expect(try abs(#require(prompts.mean) / 2014 - 1) < 0.06)
    }

    @Test("The same seed gives the same trace, another seed another one")
    func seeds() {
        let trace = Trace.generatedConversation(seed: 9, duration: .seconds(60))
        #expect(trace == Trace.generatedConversation(seed: 9, duration: .seconds(60)))
        #expect(trace != Trace.generatedConversation(seed: 10, duration: .seconds(60)))
    }

    @Test("Summarisation job: lengths")
    func summarization() throws {
        let job = OfflineJob.generatedSummarization(seed: 1)
        let prompts = Percentiles(job.lengths.map { Double($0.promptTokens) })
        let outputs = Percentiles(job.lengths.map { Double($0.outputTokens) })
        #expect(abs(try #require(prompts.mean) / 2573 - 1) < 0.03, "\(String(describing: prompts.mean))")
        #expect(abs(try #require(outputs.mean) / 300 - 1) < 0.06, "\(String(describing: outputs.mean))")
        #expect(abs(try #require(outputs.value(at: 0.5)) - 166) < 8)
        #expect(job.lengths.allSatisfy { $0.promptTokens + $0.outputTokens <= 4096 })
    }

    private func counts(_ trace: Trace, binSeconds: Double) -> [Double] {
        var counts = Array(repeating: 0.0, count: Int(trace.duration.seconds / binSeconds))
        for request in trace.requests {
            let bin = Int(request.arrival.seconds / binSeconds)
            if bin < counts.count { counts[bin] += 1 }
        }
        return counts
    }

    /// Variance over mean: 1 for a Poisson stream.
    private func dispersion(_ counts: [Double]) -> Double {
        let mean = counts.reduce(0, +) / Double(counts.count)
        return counts.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(counts.count) / mean
    }
}

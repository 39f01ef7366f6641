import Basics
import Lab
import Testing

@Suite("Reading traces")
struct TraceParsingTests {
    private func azure(_ text: String) throws(LabError) -> Trace {
        try Trace(bytes: Array(text.utf8), format: .azure, file: "t.csv", seed: 1)
    }

    private func mooncake(_ text: String, seed: UInt64 = 1) throws(LabError) -> Trace {
        try Trace(bytes: Array(text.utf8), format: .mooncake, file: "t.jsonl", seed: seed)
    }

    @Test("Azure stamps become times from the first arrival, across midnight and a leap day")
    func azureStamps() throws {
        let trace = try azure(
            """
            TIMESTAMP,ContextTokens,GeneratedTokens
            2024-02-28 23:59:59.7500000,374,44
            2024-02-29 00:00:00.2500001,396,109
            2024-03-01 00:00:00.25,10,1

            """)
        #expect(trace.requests.map(\.arrival.nanoseconds) == [0, 500_000_100, 86_400_500_000_000])
        #expect(trace.requests.map(\.promptTokens) == [374, 396, 10])
        #expect(trace.requests.map(\.outputTokens) == [44, 109, 1])
    }

    @Test("CRLF, a byte order mark, empty lines, rows out of order and rows without tokens are tolerated")
    func azureTolerance() throws {
        let trace = try azure(
            "\u{FEFF}TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:50,2,2\r\n\r\n"
                + "2023-11-16 18:15:49,1,1\r\n2023-11-16 18:15:51,0,5")
        #expect(trace.requests.map(\.promptTokens) == [1, 2])
        #expect(trace.duration == .seconds(1))
    }

    @Test(
        "A bad Azure line is named with its number and its fault",
        arguments: [
            ("time,in,out\n", 1, "header"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1\n", 2, "3 columns"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n", 2, "time stamp"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.12x,1,2\n", 2, "time stamp"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-13-16 18:15:46,1,2\n", 2, "time stamp"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,-1,2\n", 2, "whole numbers"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,99999999999999999999\n", 2, "whole"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,2\n\n,,\n", 4, "time stamp"),
        ])
    func azureDefects(text: String, line: Int, words: String) {
        expectBadLine(line, words) { () throws(LabError) in try azure(text) }
    }

    @Test("A file without requests is refused")
    func emptyFiles() {
        #expect(throws: LabError.emptyFile("t.csv")) { try azure("TIMESTAMP,ContextTokens,GeneratedTokens\n") }
        #expect(throws: LabError.emptyFile("t.csv")) { try azure("") }
        #expect(throws: LabError.emptyFile("t.jsonl")) { try mooncake("\n\n") }
    }

    @Test("Mooncake requests are spread over three seconds by the seed, and only by it")
    func mooncakeJitter() throws {
        let line = "{\"timestamp\": 3000, \"input_length\": 9, \"output_length\": 2, \"hash_ids\": []}\n"
        let text = String(repeating: line, count: 200)
        let trace = try mooncake(text, seed: 5)
        #expect(trace.duration > .seconds(2.5))
        #expect(trace.duration < .seconds(3))
        #expect(try mooncake(text, seed: 5) == trace)
        #expect(try mooncake(text, seed: 6) != trace)
    }

    @Test("Each id of 512 tokens becomes 32 chained block hashes, as far as the prompt has full blocks")
    func mooncakeHashes() throws {
        let trace = try mooncake(
            """
            {"timestamp": 0, "input_length": 1040, "output_length": 5, "hash_ids": [1, 2, 3]}
            {"hash_ids": [1, 2, 4], "type": "text", "output_length": 5, "input_length": 1100, "timestamp": 9000, "x": null}
            {"timestamp": 18000, "input_length": 1040, "output_length": 5, "hash_ids": [7, 2, 3]}
            """)
        let hashes = trace.requests.map(\.promptBlockHashes)
        #expect(hashes.map(\.count) == [65, 68, 65])
        #expect(hashes[0].prefix(64) == hashes[1].prefix(64))
        #expect(hashes[0][64] != hashes[1][64])
        #expect(Set(hashes[0]).isDisjoint(with: hashes[2]), "a different start makes every later block different")
        #expect(Set(hashes[0]).count == 65)
    }

    @Test(
        "A bad Mooncake line is named with its number and its fault",
        arguments: [
            ("[]", "expected '{'"),
            ("{\"timestamp\": 1", "ends"),
            ("{\"timestamp\": 1, \"input_length\": 2}", "output_length"),
            ("{\"timestamp\": \"1\", \"input_length\": 2, \"output_length\": 2}", "timestamp"),
            ("{\"timestamp\": 1, \"input_length\": 2e999, \"output_length\": 2}", "not a number"),
            ("{\"timestamp\": 1, \"input_length\": 2, \"output_length\": 2, \"hash_ids\": [1,}", "not a number"),
            ("{\"timestamp\": 1, \"input_length\": 2, \"output_length\": 2, \"hash_ids\": 3}", "hash_ids"),
            ("{\"timestamp\": 1, \"input_length\": 2, \"output_length\": 2} {}", "after the end"),
            ("{\"timestamp\": nil}", "not a JSON value"),
            ("{\"timestamp\\", "does not end"),
        ])
    func mooncakeDefects(text: String, words: String) {
        expectBadLine(2, words) { () throws(LabError) in
            try mooncake("{\"timestamp\": 1, \"input_length\": 2, \"output_length\": 2}\n" + text)
        }
    }

    @Test("Scaling divides time stamps; a cut keeps the start; a surge squeezes a stretch")
    func transformations() throws {
        let requests = (0...10).map {
            TraceRequest(arrival: Instant(seconds: Double($0)), promptTokens: 1, outputTokens: 1)
        }
        let trace = Trace(name: "t", requests: requests)
        #expect(trace.scaled(by: 2).requests.map(\.arrival.seconds) == (0...10).map { Double($0) / 2 })
        #expect(trace.cut(to: .seconds(3.5)).requests.count == 4)
        let surging = trace.surging(from: Instant(seconds: 2), to: Instant(seconds: 8), factor: 3)
        let expected = [0.0, 1000, 2000, 2333, 2667, 3000, 3333, 3667, 4000, 5000, 6000]
        #expect(surging.requests.map { $0.arrival.milliseconds.rounded() } == expected)
    }

    @Test("Offline lengths are read; what cannot be a line is refused")
    func offlineLengths() throws {
        let header = "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n"
        let job = try OfflineJob(bytes: Array((header + "3772,54,3826,69.85\n12.0,1.0\n0,4\n").utf8), file: "o.csv")
        #expect(job.lengths == [.init(promptTokens: 3772, outputTokens: 54), .init(promptTokens: 12, outputTokens: 1)])
        for (text, line, words) in [
            ("a,b\n", 1, "header"), (header + "1\n", 2, "2 columns"), (header + "1,2\nx,2\n", 3, "numbers"),
        ] {
            expectBadLine(line, words) { () throws(LabError) in try OfflineJob(bytes: Array(text.utf8), file: "o.csv") }
        }
        #expect(throws: LabError.emptyFile("o.csv")) { try OfflineJob(bytes: Array(header.utf8), file: "o.csv") }
    }

    private func expectBadLine<T>(_ line: Int, _ words: String, _ read: () throws(LabError) -> T) {
        do {
            _ = try read()
            Issue.record("read without an error")
        } catch {
            guard case .badLine(_, let found, let reason) = error else {
                Issue.record("unexpected error: \(error)")
                return
            }
            #expect(found == line)
            #expect(reason.contains(words), "\(reason)")
        }
    }
}

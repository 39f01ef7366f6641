import Foundation
import Logging
import Testing

@testable import Telemetry

/// A sink that is a real file, removed at the end.
private struct Sink {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("weir-\(UUID().uuidString).log").path

    func lines() throws -> [String] {
        try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
            .dropLast().map(String.init)
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// 2026-11-22T10:22:52.121Z.
private let moment: Int64 = 1_795_342_972_121

@Suite struct LogTests {
    private func logged(
        _ format: JSONLineLogHandler.Format, _ body: (inout Logger) -> Void
    ) throws -> [String] {
        let sink = Sink()
        defer { sink.remove() }
        let writer = try LineWriter(appendingTo: sink.path)
        var logger = Logger(label: "weir.gateway") {
            JSONLineLogHandler(label: $0, writer: writer, format: format, now: { moment })
        }
        body(&logger)
        writer.flush()
        return try sink.lines()
    }

    @Test func aLineIsOneJSONObject() throws {
        let lines = try logged(.json) { logger in
            logger[metadataKey: "request.id"] = "r-1"
            logger.info("line\nfeed \"quoted\" \u{1}", metadata: ["level": "x", "n": .stringConvertible(7)])
            logger.debug("below the level")
            logger.error("nested", metadata: ["list": ["a", .dictionary(["k": .stringConvertible(true)])]])
        }
        #expect(
            lines == [
                #"{"time":"2026-11-22T10:22:52.121Z","level":"info","logger":"weir.gateway","#
                    + #""message":"line\nfeed \"quoted\" \u0001","metadata.level":"x","n":7,"request.id":"r-1"}"#,
                #"{"time":"2026-11-22T10:22:52.121Z","level":"error","logger":"weir.gateway","#
                    + #""message":"nested","list":["a",{"k":true}],"request.id":"r-1"}"#,
            ])
        for line in lines { #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) is [String: Any]) }
    }

    @Test func aPlainLineCannotBeForged() throws {
        let lines = try logged(.plain) { logger in
            logger.warning("up\n2026 fake", metadata: ["path": "/v1\u{1b}[2J", "a": "b"])
        }
        #expect(lines == ["2026-11-22T10:22:52.121Z warning weir.gateway: up 2026 fake a=b path=/v1 [2J"])
    }

    @Test func anErrorIsPartOfItsLine() throws {
        struct Broken: Error {}
        let lines = try logged(.json) { $0.error("failed", error: Broken()) }
        #expect(lines.first?.hasSuffix(#""message":"failed","error":"Broken()"}"#) == true)
    }

    @Test func longTextsAreCut() throws {
        let lines = try logged(.json) { $0.info("\(String(repeating: "x", count: 100_000))") }
        #expect(try #require(lines.first).utf8.count < 1200)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199_999, "2024-02-29T23:59:59.999Z"), (4_107_542_400_001, "2100-03-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ])
    func timesAreWrittenAsInRFC3339(milliseconds: Int64, expected: String) {
        #expect(WallClock.text(milliseconds) == expected)
    }

    @Test func anAccessLineHasWhatIsKnownAndNoQuery() throws {
        let sink = Sink()
        defer { sink.remove() }
        let writer = try LineWriter(appendingTo: sink.path)
        let log = AccessLog(writer: writer, now: { moment })
        var record = AccessRecord(
            requestID: "r-1", method: "POST", path: "/v1/chat/completions?key=secret", status: 200,
            totalMilliseconds: 1234.56789, attempts: 2, requestBytes: 10, responseBytes: 99)
        record.model = "llama"
        record.tenant = "red"
        record.queuedRequestID = "req_1"
        record.pool = "chat"
        record.endpoint = "http://10.0.0.7:8000"
        record.priority = -1
        record.queueMilliseconds = 0.5
        record.timeToFirstTokenMilliseconds = 20
        record.promptTokens = 5
        record.outputTokens = 7
        log.write(record)
        log.write(
            AccessRecord(
                requestID: "r-2", method: "GET", path: "/", status: 0, totalMilliseconds: 1, isClientAborted: true))
        writer.flush()
        #expect(
            try sink.lines() == [
                #"{"time":"2026-11-22T10:22:52.121Z","access":"r-1","method":"POST","path":"/v1/chat/completions","#
                    + #""status":200,"model":"llama","tenant":"red","queued_request":"req_1","pool":"chat","#
                    + #""endpoint":"http://10.0.0.7:8000","priority":-1,"#
                    + #""queue_ms":0.5,"ttft_ms":20,"total_ms":1234.568,"prompt_tokens":5,"output_tokens":7,"#
                    + #""attempts":2,"request_bytes":10,"response_bytes":99}"#,
                #"{"time":"2026-11-22T10:22:52.121Z","access":"r-2","method":"GET","path":"/","status":0,"#
                    + #""total_ms":1,"attempts":0,"client_aborted":true,"request_bytes":0,"response_bytes":0}"#,
            ])
    }
}

@Suite struct LineWriterTests {
    @Test func linesOfOneThreadKeepTheirOrderAndNoneIsTorn() async throws {
        let sink = Sink()
        defer { sink.remove() }
        let writer = try LineWriter(appendingTo: sink.path, limitBytes: 16 << 20)
        await withTaskGroup { group in
            for task in 0..<4 {
                group.addTask { for line in 0..<5000 { writer.write("\(task) \(line)".utf8) } }
            }
        }
        writer.flush()
        var next = [0, 0, 0, 0]
        for line in try sink.lines() {
            let parts = line.split(separator: " ").compactMap { Int($0) }
            try #require(parts.count == 2)
            #expect(parts[1] == next[parts[0]])
            next[parts[0]] += 1
        }
        #expect(next == [5000, 5000, 5000, 5000])
        #expect(writer.droppedLines == 0)
    }

    @Test func aSinkThatDoesNotReadCostsLinesAndNotMemory() throws {
        let pipe = Pipe()
        let writer = LineWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor, limitBytes: 10_000)
        let line = [UInt8](repeating: UInt8(ascii: "x"), count: 999)
        for _ in 0..<5000 { writer.write(line) }
        // The pipe takes 64 KiB and the writer 10 kB; the batch under way may hold 10 kB more.
        #expect(writer.droppedLines > 4850)
        let dropped = writer.droppedLines
        // Reading lets the writer end: everything that was not dropped arrives whole.
        var received = 0
        while received < (5000 - dropped) * 1000 { received += pipe.fileHandleForReading.availableData.count }
        #expect(received == (5000 - dropped) * 1000)
    }

    @Test func aSinkThatFailsCostsLinesAndNoCrash() throws {
        let handle = try #require(FileHandle(forReadingAtPath: "/dev/null"))
        let writer = LineWriter(descriptor: handle.fileDescriptor)
        writer.write("a".utf8)
        writer.write("b".utf8)
        writer.flush()
        #expect(writer.droppedLines == 2)
    }

    @Test func aFileThatCannotBeOpenedIsNamed() {
        let error = #expect(throws: LineWriter.OpenFailure.self) { try LineWriter(appendingTo: "/nowhere/weir.log") }
        #expect(error?.description == "cannot append to /nowhere/weir.log: No such file or directory")
    }
}

import Basics
import EngineModel
import InferenceAPI
import ModelServer
import NIOHTTP1
import Testing

/// Clients that leave before their answer is complete.
struct DepartureTests {
    private let endless = #","max_tokens":100000,"ignore_eos":true"#

    @Test func aStreamIsAbortedWhenItsReaderLeaves() async throws {
        try await withServer(speedup: 1) { server in
            try await TestClient.post(
                chatPath, port: server.ports[0], chat("x", endless + #","stream":true"#)
            ) { answer in answer.events.count >= 3 }
            #expect(try await eventually(server) { $0.aborted == 1 && $0.load.running == 0 && $0.openConnections == 0 })
            #expect(try await server.statistics[0].load.kvBlocksUsed == 0)
        }
    }

    @Test(arguments: [true, false])
    func aSilentRequestIsAbortedWhenItsClientLeaves(isStreaming: Bool) async throws {
        // One seat: the first request takes it, the second waits in silence.
        try await withServer(speedup: 1, engine: { $0.maxSequences = 1 }) { server in
            let options = endless + (isStreaming ? #","stream":true"# : "")
            try await TestClient.post(chatPath, port: server.ports[0], chat("x", endless)) { _ in
                guard try await eventually(server, { $0.load.running == 1 }) else { return true }
                try await TestClient.post(chatPath, port: server.ports[0], chat("x", options)) { _ in
                    try await eventually(server) { $0.load.waiting == 1 }
                }
                #expect(try await eventually(server) { $0.aborted == 1 && $0.load.waiting == 0 })
                #expect(try await server.statistics[0].load.running == 1)
                return true
            }
            #expect(try await eventually(server) { $0.aborted == 2 && $0.load.running == 0 })
        }
    }

    @Test func aRequestIsDroppedBeforeItReachesTheEngine() async throws {
        var faults = FaultPlan()
        faults.delayMilliseconds = 600_000
        try await withServer(faults: faults) { server in
            try await TestClient.post(chatPath, port: server.ports[0], chat()) { _ in
                try await eventually(server) { $0.received == 1 }
            }
            #expect(try await eventually(server) { $0.aborted == 1 && $0.openConnections == 0 })
        }
    }

    @Test func shutdownBreaksOffWhatIsUnderWay() async throws {
        try await withServer(speedup: 1) { server in
            await #expect(throws: HTTPParserError.invalidEOFState, "the stream has no end") {
                try await TestClient.post(
                    chatPath, port: server.ports[0], chat("x", endless + #","stream":true"#)
                ) { answer in
                    if answer.events.count == 3 { await server.shutdown() }
                    return false
                }
            }
            await #expect(throws: (any Error).self) {
                try await TestClient.get("/health", port: server.ports[0])
            }
        }
    }
}

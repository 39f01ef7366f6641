import Basics
import EngineModel
import InferenceAPI
import ModelServer
import NIOHTTP1
import Testing

struct FaultTests {
    private func plan(_ change: (inout FaultPlan) -> Void) -> FaultPlan {
        var plan = FaultPlan()
        change(&plan)
        return plan
    }

    @Test(arguments: [429, 503])
    func rejectionsSayWhenToComeBack(status: Int) async throws {
        let faults = plan {
            $0.rejectPerMille = 1000
            $0.rejectStatus = status
            $0.retryAfterSeconds = 7
        }
        try await withServer(faults: faults) { server in
            let answer = try await TestClient.post(chatPath, port: server.ports[0], chat())
            #expect(answer.status == status)
            #expect(answer.headers["retry-after"] == ["7"])
            #expect(try await TestClient.get("/health", port: server.ports[0]).status == 200)
            #expect(try await server.statistics[0].faulted == 1)
        }
    }

    @Test func aShareOfRequestsFails() async throws {
        try await withServer(mode: .instant, faults: plan { $0.errorPerMille = 300 }) { server in
            let request = (HTTPMethod.POST, chatPath, Optional(chat("x", #","max_tokens":1"#)))
            let answers = try await TestClient.exchange(port: server.ports[0], Array(repeating: request, count: 300))
            let failures = answers.count { $0.status == 500 }
            #expect(failures > 55 && failures < 130)
            #expect(answers.count { $0.status == 200 } == 300 - failures)
        }
    }

    @Test func aHungRequestStaysSilentAndCostsTheEngineNothing() async throws {
        try await withServer(faults: plan { $0.hangPerMille = 1000 }) { server in
            try await TestClient.post(chatPath, port: server.ports[0], chat()) { answer in
                #expect(answer.status == 0)
                return try await eventually(server) { $0.faulted == 1 }
            }
            #expect(try await eventually(server) { $0.openConnections == 0 })
            let statistics = try await server.statistics[0]
            #expect(statistics.load.promptTokens == 0 && statistics.aborted == 0)
        }
    }

    @Test(arguments: [true, false])
    func aCutAnswerHasNoEnd(isStreaming: Bool) async throws {
        try await withServer(faults: plan { $0.cutPerMille = 1000 }) { server in
            let options = #","max_tokens":40,"ignore_eos":true"# + (isStreaming ? #","stream":true"# : "")
            let connection = try? await TestClient.post(chatPath, port: server.ports[0], chat("x", options))
            #expect(connection?.isWhole != true)
            #expect(connection?.body.contains("[DONE]") != true)
            #expect(try await eventually(server) { $0.openConnections == 0 && $0.load.running == 0 })
            let statistics = try await server.statistics[0]
            #expect(statistics.faulted == 1 && statistics.finished == 0 && statistics.load.kvBlocksUsed == 0)
        }
    }

    @Test func aDelayIsRealTimeWhateverTheSpeedup() async throws {
        try await withServer(speedup: 1000, faults: plan { $0.delayMilliseconds = 120 }) { server in
            let elapsed = try await ContinuousClock().measure {
                _ = try await TestClient.post(chatPath, port: server.ports[0], chat("x", #","max_tokens":1"#))
            }
            #expect(elapsed >= .milliseconds(120))
        }
    }

    @Test func faultsChangeAtRunTimeOneServerAtATime() async throws {
        try await withServer(replicas: 2, mode: .instant) { server in
            let changed = try await TestClient.post("/admin/faults", port: server.ports[0], #"{"errorPerMille":1000}"#)
            #expect(changed.status == 200)
            #expect(value(try json(changed.body), "errorPerMille") as? Int == 1000)
            #expect(try await TestClient.post(chatPath, port: server.ports[0], chat()).status == 500)
            #expect(try await TestClient.post(chatPath, port: server.ports[1], chat()).status == 200)
            let shown = try await TestClient.get("/admin/faults", port: server.ports[1])
            #expect(value(try json(shown.body), "errorPerMille") as? Int == 0)
            try await server.setFaults(FaultPlan())
            #expect(try await TestClient.post(chatPath, port: server.ports[0], chat()).status == 200)
        }
    }

    @Test(arguments: [#"{"errorPermille":1}"#, #"{"errorPerMille":1001}"#, #"{"errorPerMille":"1"}"#, "[", ""])
    func anImpossiblePlanIsRefused(body: String) async throws {
        try await withServer { server in
            let answer = try await TestClient.post("/admin/faults", port: server.ports[0], body)
            #expect(answer.status == 400)
        }
    }
}

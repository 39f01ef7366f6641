import Basics
import EngineModel
import Foundation
import ModelServer
import NIOPosix
import Testing

/// Runs servers for the length of a test.
func withServer(
    speedup: Double = 50, replicas: Int = 1, mode: ModelServerConfiguration.Mode = .engine, faults: FaultPlan = .init(),
    maxBodyBytes: Int = 1 << 20, maxWaitingRequests: Int = 1000,
    engine change: (inout EngineConfiguration) -> Void = { _ in },
    _ body: (ModelServer) async throws -> Void
) async throws {
    var engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
    change(&engine)
    let configuration = ModelServerConfiguration(
        engine: engine, models: ["sim", "sim-alias"], replicas: replicas, speedup: speedup, mode: mode,
        maxBodyBytes: maxBodyBytes, maxWaitingRequests: maxWaitingRequests, faults: faults)
    let server = try await ModelServer.start(configuration, group: MultiThreadedEventLoopGroup.singleton)
    do {
        try await body(server)
    } catch {
        await server.shutdown()
        throw error
    }
    await server.shutdown()
}

/// Asks the server until `condition` holds; the time limit only keeps a broken server from hanging the tests.
func eventually(
    _ server: ModelServer, _ condition: (ModelServer.ReplicaStatistics) -> Bool
) async throws -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now.advanced(by: .seconds(20))
    while clock.now < deadline {
        if try await condition(server.statistics[0]) { return true }
        await Task.yield()
    }
    return false
}

/// A JSON object of an answer, for tests only.
func json(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
}

/// The value at a path of keys and positions.
func value(_ root: Any?, _ path: Any...) -> Any? {
    path.reduce(root) { node, step in
        if let key = step as? String { return (node as? [String: Any])?[key] }
        guard let position = step as? Int, let list = node as? [Any], list.indices.contains(position) else {
            return nil
        }
        return list[position]
    }
}

/// The value of a series on a `/metrics` page.
func sample(_ page: String, _ name: String, label: String = "") -> Double? {
    for line in page.split(separator: "\n") where line.hasPrefix(name + "{") && (label.isEmpty || line.contains(label))
    {
        return line.split(separator: " ").last.flatMap { Double($0) }
    }
    return nil
}

let chatPath = "/v1/chat/completions"

func chat(_ content: String = "hello there", _ options: String = "") -> String {
    #"{"model":"sim","messages":[{"role":"user","content":"\#(content)"}]\#(options)}"#
}

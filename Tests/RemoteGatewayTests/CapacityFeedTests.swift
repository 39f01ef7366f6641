import Basics
import NIOHTTP1
import Testing

@testable import RemoteGateway

@Suite("Following a capacity feed", .timeLimit(.minutes(1)))
struct CapacityFeedTests {
    private let hello = "event: hello\ndata: {\"version\":1,\"keep_alive_ms\":5000,\"later\":[1]}\n\n"
    private let pools = "event: pools\ndata: {\"pools\":[{\"pool\":\"a\",\"models\":[\"m\",\"n\\u0041\"]}]}\n\n"

    private func credit(_ credit: Int) -> String {
        "event: credit\ndata: {\"sequence\":1,\"pools\":[{\"pool\":\"a\",\"credit\":\(credit),\"waiting\":1,\"running\":2}]}\n\n"
    }

    private func reading(_ credit: Int) -> CapacityReading {
        .known([PoolCredit(pool: "a", models: ["m", "nA"], credit: credit, waiting: 1, running: 2)])
    }

    /// Follows the feed of a server that the test plays, and hands over what is heard.
    private func follow(
        _ body: (TestServer, Mailbox<CapacityReading>) async throws -> Void
    ) async throws {
        let server = try await TestServer.start()
        let connections = try GatewayConnections()
        var configuration = CapacityFeed.Configuration()
        configuration.firstPause = .milliseconds(5)
        configuration.pauseWithoutFeed = .milliseconds(5)
        let readings = Mailbox<CapacityReading>()
        var target = RemoteTarget(url: try GatewayURL("http://127.0.0.1:\(server.port)/base"), objective: "batch")
        target.token = BearerToken("t")
        let feed = try CapacityFeed(
            of: target, processor: "p1", connections: connections, configuration: configuration
        ) { readings.put($0) }
        let task = Task { await feed.run() }
        do { try await body(server, readings) } catch { Issue.record(error) }
        task.cancel()
        await task.value
        await connections.close()
        try await server.stop()
    }

    @Test("credits are told as they come, and a lost connection makes them unknown until it is back")
    func credits() async throws {
        try await follow { server, readings in
            let first = await server.arrivals.next()
            #expect(first.head.method == .GET && first.head.uri == "/weir/v1/capacity")
            #expect(first.header("x-weir-processor") == "p1" && first.header("authorization") == "Bearer t")
            first.begin(200, ["content-type": "text/event-stream", "transfer-encoding": "chunked"])
            first.send(hello + pools + credit(5))
            #expect(await readings.next() == reading(5))
            // Cut anywhere, with comments, and what is no news is not told.
            for piece in [
                ": still here\n\n", credit(5), "event: cred", "it\r\nda", "ta: {\"pools\":[]}\r\n\r\n", credit(7),
            ] {
                first.send(piece)
            }
            #expect(await readings.next() == .known([]))
            #expect(await readings.next() == reading(7))
            first.hangUp()
            guard case .unknown = await readings.next() else {
                Issue.record("not unknown")
                return
            }
            let second = await server.arrivals.next()
            second.begin(200, ["content-type": "text/event-stream", "transfer-encoding": "chunked"])
            second.send(hello + pools + credit(9) + "event: end\ndata: {\"reason\":\"it stops\"}\n\n")
            #expect(await readings.next() == reading(9))
            #expect(
                await readings.next() == .unknown(reason: "the gateway ended its capacity feed: it stops"))
            _ = await server.arrivals.next()
        }
    }

    @Test("a gateway without a feed, or with one of another version, is unknown and asked again")
    func withoutFeed() async throws {
        try await follow { server, readings in
            await server.arrivals.next().answer("{}", status: 404)
            guard case .unknown(let reason) = await readings.next() else { throw NoAnswer() }
            #expect(reason.contains("404"))
            await server.arrivals.next().answer("{}")
            #expect(await readings.next() == .unknown(reason: "the gateway has no capacity feed"))
            let third = await server.arrivals.next()
            third.begin(200, ["content-type": "text/event-stream", "transfer-encoding": "chunked"])
            third.send("event: hello\ndata: {\"version\":2}\n\n")
            guard case .unknown(let version) = await readings.next() else { throw NoAnswer() }
            #expect(version.contains("version 2"))
            try await third.closed()
        }
    }

    @Test("a processor's name has to be one", arguments: ["", "a b", "a\r\nb"])
    func names(name: String) throws {
        let connections = try GatewayConnections()
        let target = RemoteTarget(url: try GatewayURL("http://h"))
        #expect(throws: RemoteGatewayError.self) {
            try CapacityFeed(of: target, processor: name, connections: connections) { _ in }
        }
        Task { await connections.close() }
    }

    @Test(
        "what cannot be read ends the feed, whatever it is",
        arguments: [
            "event: credit\ndata: {\"pools\":[]}\n\n", "event: hello\ndata: {}\n\n", "event: hello\ndata: x\n\n",
            "event: hello\ndata: {\"version\":1}\n\nevent: credit\ndata: {\"pools\":[{\"pool\":\"a\"}]}\n\n",
            "event: hello\ndata: {\"version\":1}\n\nevent: pools\ndata: {\"pools\":{}}\n\n",
        ])
    func unreadable(text: String) {
        var reader = CapacityEventReader()
        #expect(throws: CapacityEventReader.Fault.self) { try reader.read(text.utf8) }
    }

    @Test("an event may not grow without end")
    func tooLong() {
        var reader = CapacityEventReader()
        #expect(throws: CapacityEventReader.Fault.self) {
            while true { _ = try reader.read(Array("data: \(String(repeating: "x", count: 65_536))\n".utf8)) }
        }
    }

    @Test("credits are found by model, and summed")
    func lookup() {
        let reading = CapacityReading.known([
            PoolCredit(pool: "a", models: ["m"], credit: 3), PoolCredit(pool: "b", models: ["n"], credit: 4),
        ])
        #expect(reading.total == 7 && reading.credit(forModel: "n") == 4 && reading.credit(forModel: "x") == nil)
        #expect(CapacityReading.unknown(reason: "").total == nil)
    }
}

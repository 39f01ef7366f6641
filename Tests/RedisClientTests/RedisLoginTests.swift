import Basics
import Foundation
import Testing

@testable import RedisClient

@Suite struct RedisLoginTests {
    @Test func anACLUserLogsInAndIsHeldToItsRights() async throws {
        try await RedisTestServer.run([
            "--user", "default", "off", "--user", "worker", "on", ">s3cret", "~jobs:*", "+@all", "-@dangerous",
        ]) { server in
            try await server.withClient {
                $0.address.user = "worker"
                $0.address.password = "s3cret"
            } body: { client in
                let user = try await client.send(RedisCommand("ACL", ["WHOAMI"])).asString
                #expect(user == "worker")
                #expect(try await client.send(RedisCommand("SET", ["jobs:1", "x"])) == .simple("OK"))
                let error = await client.failure(of: RedisCommand("SET", ["other", "x"]))
                guard case .server(let serverError) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(serverError.code == "NOPERM")
            }
        }
    }

    @Test func aWrongPasswordFailsAtOnceWithTheUserAndWithoutThePassword() async throws {
        try await RedisTestServer.run(["--user", "worker", "on", ">s3cret", "~*", "+@all"]) { server in
            try await server.withClient {
                $0.address.user = "worker"
                $0.address.password = "wr0ng"
            } body: { client in
                let start = ContinuousClock.now
                let error = await client.failure(of: RedisCommand("PING"))
                #expect(ContinuousClock.now - start < .seconds(5))
                guard case .notConnected(let reason) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(reason.contains("worker"))
                #expect(reason.contains("wrong"))
                #expect(!reason.contains("wr0ng"))
            }
        }
    }

    @Test func aMissingPasswordIsNamed() async throws {
        try await RedisTestServer.run(["--requirepass", "s3cret"]) { server in
            try await server.withClient { client in
                let error = await client.failure(of: RedisCommand("PING"))
                #expect(error == .notConnected(reason: "the server asks for a password and none is configured"))
            }
        }
    }

    @Test(arguments: [false, true])
    func databaseAndNameAreSet(isOld: Bool) async throws {
        let arguments = ["--requirepass", "s3cret"] + (isOld ? ["--rename-command", "HELLO", ""] : [])
        try await RedisTestServer.run(arguments) { server in
            try await server.withClient {
                $0.address.password = "s3cret"
                $0.address.database = 5
                $0.clientName = "weir async"
            } body: { client in
                let info = try await client.send(RedisCommand("CLIENT", ["LIST"])).asString ?? ""
                #expect(info.contains("name=weir-async"))
                #expect(info.contains(" db=5 "))
                #expect(info.contains(isOld ? "resp=2" : "resp=3") || !info.contains("resp="))
                _ = try await client.send(RedisCommand("HSET", ["h", "field", "value"]))
                let reply = try await client.send(RedisCommand("HGETALL", ["h"]))
                if case .map = reply { #expect(!isOld) } else { #expect(isOld) }
                #expect(reply.asEntries?.map(\.value.asString) == ["value"])
            }
        }
    }

    @Test func aDatabaseThatDoesNotExistIsNamed() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient {
                $0.address.database = 99
            } body: { client in
                let error = await client.failure(of: RedisCommand("PING"))
                guard case .notConnected(let reason) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(reason.contains("database 99"))
            }
        }
    }

    @Test func somethingElseThanRedisIsSaid() async throws {
        try await RedisTestServer.run { server in
            // A TLS client hello is what the server sees here, and closes.
            try await server.withClient {
                $0.address.usesTLS = true
                $0.commandTimeout = .milliseconds(500)
            } body: { client in
                let error = await client.failure(of: RedisCommand("PING"))
                guard case .notConnected(let reason) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(!reason.isEmpty)
            }
        }
    }
}

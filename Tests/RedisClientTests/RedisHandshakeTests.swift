import Basics
import Testing

@testable import RedisClient

@Suite struct RedisHandshakeTests {
    private func handshake(
        user: String? = nil, password: String? = nil, database: Int = 0, name: String? = nil, prefixes: [String]? = nil
    ) -> RedisHandshake {
        RedisHandshake(
            address: RedisAddress(host: "h", user: user, password: password, database: database), clientName: name,
            trackedPrefixes: prefixes)
    }

    private func error(_ line: String) -> RESPValue { .error(RedisServerError(line: line)) }

    @Test func logsInAndPreparesInTwoRounds() {
        var handshake = handshake(user: "u", password: "p", database: 4, name: "we ir", prefixes: ["a:"])
        #expect(handshake.begin() == .send([RedisCommand("HELLO", ["3", "AUTH", "u", "p"])]))
        #expect(
            handshake.receive(.map([]))
                == .send([
                    RedisCommand("SELECT", [4]), RedisCommand("CLIENT", ["SETNAME", "we-ir"]),
                    RedisCommand("CLIENT", ["TRACKING", "ON", "BCAST", "PREFIX", "a:"]), RedisCommand("PING"),
                ]))
        for _ in 0..<3 { #expect(handshake.receive(.simple("OK")) == .wait) }
        #expect(handshake.receive(.simple("PONG")) == .done(protocolVersion: 3))
    }

    @Test func anOldServerIsLoggedInToWithTheOldCommand() {
        var handshake = handshake(password: "secret")
        #expect(handshake.begin() == .send([RedisCommand("HELLO", ["3", "AUTH", "default", "secret"])]))
        let unknown = error("ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `secret`, ")
        #expect(handshake.receive(unknown) == .send([RedisCommand("AUTH", ["secret"])]))
        #expect(handshake.receive(.simple("OK")) == .send([RedisCommand("PING")]))
        #expect(handshake.receive(.simple("PONG")) == .done(protocolVersion: 2))
    }

    @Test(arguments: [
        "WRONGPASS invalid username-password pair", "NOAUTH HELLO must be called with the client already authenticated",
        "WEIRD it was secret", "DENIED Redis is running in protected mode",
    ])
    func aRefusedLoginIsToldWithoutTheServersWords(line: String) {
        var handshake = handshake(user: "worker", password: "secret")
        _ = handshake.begin()
        guard case .failed(.refused(let reason)) = handshake.receive(error(line)) else {
            Issue.record("not refused")
            return
        }
        #expect(!reason.contains("secret"))
        #expect(!reason.contains("must be called"))
    }

    @Test func aServerThatLoadsItsDataIsAskedAgain() {
        var handshake = handshake()
        _ = handshake.begin()
        _ = handshake.receive(.map([]))
        guard case .failed(.busy) = handshake.receive(error("LOADING Redis is loading the dataset in memory")) else {
            Issue.record("not busy")
            return
        }
    }

    @Test func trackingNeedsTheNewProtocol() {
        var handshake = handshake(prefixes: ["a"])
        _ = handshake.begin()
        guard case .failed(.unsupported) = handshake.receive(error("ERR unknown command")) else {
            Issue.record("not unsupported")
            return
        }
    }

    @Test func aReplyTooManyIsRefused() {
        var handshake = handshake()
        guard case .failed = handshake.receive(.simple("OK")) else {
            Issue.record("accepted")
            return
        }
    }

    @Test func pausesGrowFromTwentyMillisecondsAndBeginAnewAfterASuccess() {
        var backoff = ReconnectBackoff(.init())
        var random = SeededGenerator(seed: 1)
        let pauses = (0..<12).map { _ in backoff.nextPause(using: &random).milliseconds }
        for (pause, span) in zip(pauses, [20.0, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000, 5_000, 5_000]) {
            #expect((span / 2)...span ~= pause)
        }
        #expect(Set(pauses).count > 10)
        backoff.reset()
        #expect(backoff.nextPause(using: &random) <= .milliseconds(20))
    }

    @Test func prefixesThatOthersCoverAreLeftOut() {
        #expect(WatchPurpose.withoutOverlaps(["a:b", "a:", "c", "a:", "cd"]) == ["a:", "c"])
        #expect(WatchPurpose.withoutOverlaps(["", "x"]) == [""])
    }
}

import Basics
import NIOCore
import NIOHTTP1
import Testing

@testable import Gateway

@Suite("Health, headers and addresses")
struct EndpointHealthTests {
    private func at(_ milliseconds: Double) -> Instant { .zero + .milliseconds(milliseconds) }

    @Test("an endpoint that is up is scraped at its interval, one check at a time")
    func scraping() {
        var health = EndpointHealth(scrapeInterval: .milliseconds(500), asksForModels: false)
        #expect(health.dueCheck(isUp: true, now: at(0)) == .probe)
        #expect(health.dueCheck(isUp: true, now: at(1000)) == nil)
        health.succeeded(.probe, now: at(1000))
        #expect(health.dueCheck(isUp: true, now: at(1000)) == .metrics)
        health.succeeded(.metrics, now: at(1010))
        #expect(health.dueCheck(isUp: true, now: at(1509)) == nil)
        #expect(health.dueCheck(isUp: true, now: at(1510)) == .metrics)
    }

    @Test("an endpoint that is down is probed after pauses that double up to five seconds")
    func backoff() {
        var health = EndpointHealth(scrapeInterval: nil, asksForModels: false)
        _ = health.dueCheck(isUp: true, now: at(0))
        health.failed(.probe, now: at(0))
        var now = Instant.zero
        var pauses: [Double] = []
        for _ in 0..<7 {
            let before = now
            while health.dueCheck(isUp: false, now: now) == nil { now = now + .milliseconds(50) }
            pauses.append((now - before).milliseconds)
            health.failed(.probe, now: now)
        }
        #expect(pauses == [250, 500, 1000, 2000, 4000, 5000, 5000])
        health.succeeded(.probe, now: now)
        #expect(health.dueCheck(isUp: true, now: now) == nil)
    }

    @Test("an endpoint that leaves three checks in a row without an answer counts as down until it answers")
    func silence() {
        var health = EndpointHealth(scrapeInterval: .milliseconds(500), asksForModels: false)
        _ = health.dueCheck(isUp: true, now: at(0))
        health.succeeded(.probe, now: at(0))
        #expect(health.dueCheck(isUp: true, now: at(0)) == .metrics)
        health.gotNoAnswer(.metrics, now: at(1000))
        #expect(health.dueCheck(isUp: true, now: at(1249)) == nil)
        #expect(health.dueCheck(isUp: true, now: at(1250)) == .probe)
        health.gotNoAnswer(.probe, now: at(2250))
        #expect(!health.isSilent)
        #expect(health.dueCheck(isUp: true, now: at(2500)) == .probe)
        health.gotNoAnswer(.probe, now: at(3500))
        #expect(health.isSilent)
        #expect(health.dueCheck(isUp: false, now: at(3999)) == nil)
        #expect(health.dueCheck(isUp: false, now: at(4000)) == .probe)
        health.succeeded(.probe, now: at(4000))
        #expect(!health.isSilent)
        #expect(health.dueCheck(isUp: true, now: at(4000)) == .metrics)
    }

    @Test("pages that stay away do not take down an endpoint that answers probes, nor keep each other away")
    func silentPages() {
        var health = EndpointHealth(scrapeInterval: .milliseconds(500), asksForModels: true)
        var checks: [EndpointHealth.Check] = []
        var now = Instant.zero
        while checks.count < 12 {
            guard let check = health.dueCheck(isUp: true, now: now) else {
                now = now + .milliseconds(50)
                continue
            }
            checks.append(check)
            if check == .probe {
                health.succeeded(check, now: now)
            } else {
                health.gotNoAnswer(check, now: now + .seconds(1))
                now = now + .seconds(1)
            }
            #expect(!health.isSilent)
        }
        #expect(checks.filter { $0 == .models }.count == 3 && checks.filter { $0 == .metrics }.count == 3)
    }

    @Test("an endpoint is asked for its models until it has told them, and now and then after that")
    func models() {
        var health = EndpointHealth(scrapeInterval: nil, asksForModels: true)
        #expect(health.dueCheck(isUp: true, now: at(0)) == .models)
        health.failed(.models, now: at(0))
        #expect(health.dueCheck(isUp: true, now: at(100)) == nil)
        #expect(health.dueCheck(isUp: true, now: at(250)) == .models)
        health.succeeded(.models, now: at(250))
        #expect(health.dueCheck(isUp: true, now: at(9000)) == nil)
        #expect(health.dueCheck(isUp: true, now: at(10_250)) == .models)
    }

    @Test(
        "addresses are matched against blocks",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false), ("192.168.1.128/25", "192.168.1.127", false),
            ("192.168.1.128/25", "192.168.1.200", true), ("0.0.0.0/0", "8.8.8.8", true), ("::1/128", "::1", true),
            ("fd00::/8", "fd12::1", true), ("fd00::/8", "fe80::1", false), ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("::/0", "127.0.0.1", false),
        ])
    func blocks(block: String, address: String, isInside: Bool) throws {
        let peer = try SocketAddress(ipAddress: address, port: 1)
        #expect(try #require(NetworkBlock(block)).contains(peer) == isInside)
    }

    @Test(
        "what is no block is not taken for one",
        arguments: ["", "x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129"])
    func badBlocks(text: String) { #expect(NetworkBlock(text) == nil) }

    @Test(
        "a correlation id is taken over only if it is short and printable",
        arguments: [
            ("abc-123", true), ("", false), ("a b", false), (String(repeating: "a", count: 129), false), ("é", false),
        ])
    func requestIDs(id: String, isAccepted: Bool) {
        #expect((RequestHeadFacts(["x-request-id": id]).requestID != nil) == isAccepted)
    }

    @Test("made correlation ids are unique and sort by time")
    func madeIDs() {
        var maker = RequestIDMaker(seed: 1)
        let ids = (0..<1000).map { _ in maker.next() }
        #expect(Set(ids).count == 1000)
        #expect(ids.map { $0.prefix(12) } == ids.map { $0.prefix(12) }.sorted())
    }
}

import Basics
import Delivery
import MessageQueues
import Testing

@testable import RedisQueue

@Suite struct ChannelTableTests {
    private func member(_ id: String) -> [UInt8] {
        Array(#"{"request_kind":"plain","data":{"id":"\#(id)","deadline":2000000000,"payload":{}}}"#.utf8)
    }

    private func insert(_ id: String, into table: inout ChannelTable) throws {
        let envelope = try Envelope(member(id))
        let message = try envelope.message(
            payload: nil, defaults: MessageDefaults(now: .zero), labels: [:])
        table.insert(message, of: envelope, attempts: AttemptRecord(), enqueued: .zero)
    }

    private func at(_ seconds: Double) -> Instant { Instant(seconds: seconds) }

    @Test func roomIsTakenUntilAMessageIsRemoved() throws {
        let bytes = member("a").count
        var table = ChannelTable(maximumMessages: 2, maximumBytes: bytes * 2 + 1)
        #expect(!table.hasRoom(for: bytes * 2 + 2))
        try insert("a", into: &table)
        try insert("b", into: &table)
        #expect(!table.hasRoom(for: 1))
        let leased = table.take(limit: 1, excluding: [], until: at(10))
        #expect(!table.hasRoom(for: 1))
        #expect(table.remove(leased[0].lease) == true)
        #expect(table.remove(leased[0].lease) == false)
        #expect(table.hasRoom(for: bytes))
        #expect(table.bytes == bytes)
        #expect(table.drain(limit: 9, bytes: 1 << 20).count == 1)
        #expect(table.bytes == 0)
    }

    @Test func aLeaseThatRunsOutIsWorthNothingAndTheMessageIsLeasedAnew() throws {
        var table = ChannelTable(maximumMessages: 9, maximumBytes: 1 << 20)
        try insert("a", into: &table)
        try insert("b", into: &table)
        let leases = table.take(limit: 2, excluding: [], until: at(10)).map(\.lease)
        #expect(table.extend([leases[1], Lease(sequence: 77, token: 1)], until: at(20)).count == 1)
        #expect(table.reclaim(now: at(9)) == false)
        #expect(table.reclaim(now: at(10)) == true)
        #expect(table.extend(leases, until: at(30)) == [leases[0]])
        #expect(table.putBack(leases[0], attempts: nil) == false)
        let again = table.take(limit: 2, excluding: [], until: at(40))
        #expect(again.map(\.message.id) == ["a"])
        #expect(again[0].lease != leases[0])
        #expect(table.depth == QueueDepthInMemory(ready: 0, leased: 2, earliestDeadline: nil))
    }

    @Test func aMessageThatIsPutBackKeepsItsRecord() throws {
        var table = ChannelTable(maximumMessages: 9, maximumBytes: 1 << 20)
        try insert("a", into: &table)
        let leased = table.take(limit: 1, excluding: [], until: at(10))[0]
        var attempts = leased.attempts
        attempts.failures = 3
        #expect(table.held(leased.lease) != nil)
        #expect(table.putBack(leased.lease, attempts: attempts) == true)
        #expect(table.held(leased.lease) == nil)
        let again = table.take(limit: 1, excluding: [], until: at(10))[0]
        #expect(again.attempts.failures == 3)
        #expect(table.take(limit: 1, excluding: [], until: at(10)).isEmpty)
    }
}

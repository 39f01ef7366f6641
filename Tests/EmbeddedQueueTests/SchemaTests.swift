import Basics
import Delivery
import EmbeddedQueue
import Foundation
import GRDB
import MessageQueues
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Files that an earlier version of the program wrote.
@Suite(.timeLimit(.minutes(5))) struct SchemaTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    /// A file of format 1: messages 2, 4 (delayed) and 5 (leased) wait, those numbered 1 and 3 have results.
    private func makeFormatOne() throws {
        let now = place.clock.now().nanoseconds
        let hour: Int64 = 3_600_000_000_000
        let file = try DatabaseQueue(path: place.path)
        try file.write { database in
            try database.execute(sql: QueueSchema.steps[0])
            for number in 1...5 {
                let message = place.message("m\(number)", body: "{\"n\":\(number)}", model: number == 2 ? nil : "llama")
                try database.execute(
                    sql: """
                        INSERT INTO message (id, digest, state, due, token, deadline, created, path, model, headers,
                            metadata, failures)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 3)
                        """,
                    arguments: [
                        message.id, Int64(bitPattern: message.contentDigest), [0, 0, 0, 0, 1, 2][number],
                        number == 4 ? now + hour : 0, number == 5 ? 99 : 0, now + hour, now - hour, message.path,
                        message.model, Data(MessageCodec.encodeMap(message.headers)),
                        Data(MessageCodec.encodeMap(message.metadata)),
                    ])
                try database.execute(
                    sql: "INSERT INTO payload VALUES (?, ?)", arguments: [number, Data(message.payload)])
            }
            for (number, line) in [
                (
                    3,
                    #"{"id":"m3","status_code":200,"payload":"x","path":"/v1/completions","model":"llama","endpoint":"#
                        + #""http://a","attempts":2,"created":1799990000.5,"first_dispatched":1799990001.25,"finished":1}"#
                ), (1, "no JSON at all"),
            ] {
                try database.execute(
                    sql: """
                        INSERT INTO result (id, digest, status, error_code, finished, line)
                        SELECT id, digest, ?, ?, ?, ? FROM message WHERE sequence = ?
                        """,
                    arguments: [
                        number == 3 ? 200 : nil, number == 3 ? nil : "DEADLINE_EXCEEDED", now, Data(line.utf8), number,
                    ])
                try database.execute(sql: "DELETE FROM message WHERE sequence = ?", arguments: [number])
                try database.execute(sql: "DELETE FROM payload WHERE sequence = ?", arguments: [number])
            }
            try database.execute(sql: "PRAGMA user_version = 1; PRAGMA application_id = \(0x5765_6972)")
        }
        try file.close()
    }

    @Test func everythingOfAnEarlierFormatIsKept() async throws {
        try makeFormatOne()
        let queue = try place.open()
        let depth = try await queue.depth()
        #expect(depth.ready == 2 && depth.delayed == 1 && depth.leased == 0 && depth.results == 2)

        let results = try await queue.results(after: 0, limit: 9)
        #expect(results.map(\.id) == ["m3", "m1"] && results.map(\.cursor) == [1, 2])
        #expect(results.map(\.statusCode) == [200, nil] && results.map(\.errorCode) == [nil, "DEADLINE_EXCEEDED"])
        #expect(String(decoding: results[1].line, as: UTF8.self) == "no JSON at all")
        let view = try #require(try await queue.request("m3", tenant: nil))
        #expect(view.state == .succeeded && view.path == "/v1/completions" && view.model == "llama")
        #expect(view.created == Instant(nanoseconds: 1_799_990_000_500_000_000) && view.attempts.dispatches == 2)
        #expect(view.attempts.firstDispatched == Instant(nanoseconds: 1_799_990_001_250_000_000))
        #expect(view.attempts.lastEndpoint == "http://a")

        let all = try await queue.requests(matching: RequestFilter(), after: 0, limit: 9).views
        #expect(Set(all.map(\.sequence)) == [1, 2, 3, 4, 5], "every request has a number of its own")
        #expect(all.filter { $0.state == .queued }.map(\.id) == ["m2", "m4", "m5"])

        let leased = try await queue.lease()
        #expect(leased.map(\.message.id) == ["m2", "m5"] && leased.map(\.attempts.failures) == [3, 3])
        #expect(leased[0].message.payload == Array("{\"n\":2}".utf8) && leased[0].message.model == nil)
        #expect(leased[1].message.headers == ["x-a": "b"] && leased[1].message.metadata == ["k": "m5"])
        #expect(leased[1].enqueued == leased[1].message.created)
        #expect(try await queue.complete(leased[0].lease, with: place.result(leased[0])))
        #expect(try await queue.results(after: 2, limit: 9).map(\.cursor) == [3])
        place.clock.advance(.seconds(3600))
        #expect(try await queue.leaseIDs().contains("m4"))
    }

    @Test(arguments: [EmbeddedQueue.Role.client, .consumer])
    func aFileThatItsConsumerWorksOnIsNotChangedUnderIt(role: EmbeddedQueue.Role) throws {
        try makeFormatOne()
        let descriptor = open(place.path + "-consumer", O_RDWR | O_CREAT, 0o600)
        #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        _ = "4711".withCString { pwrite(descriptor, $0, 4, 0) }
        #expect(throws: MessageQueueError.inUse(place: place.path, process: 4711)) { try place.open(role) }
        let format = try DatabaseQueue(path: place.path).read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
        #expect(format == 1)
        close(descriptor)
        try place.open(role).close()
    }

    @Test func idsOfAnEarlierFormatAreStillKnown() async throws {
        try makeFormatOne()
        let queue = try place.open()
        #expect(
            try await queue.enqueue([
                place.message("m3", body: "{\"n\":3}"), place.message("m3"),
                place.message("m5", body: "{\"n\":5}"), place.message("m6"),
            ]) == [.alreadyFinished, .conflict, .alreadyQueued, .accepted])
        #expect(try #require(try await queue.request("m6", tenant: nil)).sequence > 5)
    }

    @Test func aMigratedFileHasTheTablesOfANewOne() async throws {
        try makeFormatOne()
        try place.open().close()
        let other = try QueueDirectory()
        try other.open().close()
        func tables(_ path: String) throws -> [String] {
            try DatabaseQueue(path: path).read { database in
                try String.fetchAll(
                    database,
                    sql: "SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY 1")
            }
        }
        #expect(try tables(place.path) == tables(other.path))
    }
}

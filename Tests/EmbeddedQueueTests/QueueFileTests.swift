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

/// What can lie where a queue is looked for, and who else may have it open.
@Suite(.timeLimit(.minutes(5))) struct QueueFileTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    @Test func aQueueIsThereAgainAfterItWasClosed() async throws {
        let first = try place.open()
        _ = try await first.enqueue([place.message("a"), place.message("b")])
        let leased = try await first.leaseOne()
        _ = try await first.complete(leased.lease, with: place.result(leased))
        try first.close()
        await #expect(throws: MessageQueueError.closed) { try await first.enqueue([place.message("c")]) }

        let second = try place.open()
        #expect(try await second.depth().ready == 1)
        #expect(try await second.results(after: 0, limit: 9).map(\.id) == ["a"])
    }

    @Test func aMissingFileIsNamed() {
        #expect(throws: MessageQueueError.notFound(place: place.path)) {
            try place.open { $0.createsFile = false }
        }
        #expect(!FileManager.default.fileExists(atPath: place.path))
        #expect(throws: MessageQueueError.unavailable(place: "/nowhere/q.db", detail: "No such file or directory")) {
            try EmbeddedQueue(EmbeddedQueue.Configuration(path: "/nowhere/q.db"), role: .client)
        }
    }

    @Test(arguments: ["{\"id\":\"a message, not a queue\"}\n", String(repeating: "x", count: 5000)])
    func aFileOfAnotherKindIsRefusedAndLeftAsItIs(content: String) throws {
        try content.write(toFile: place.path, atomically: false, encoding: .utf8)
        #expect(throws: MessageQueueError.notAQueue(place: place.path, detail: "it is not a database")) {
            try place.open()
        }
        #expect(try String(contentsOfFile: place.path, encoding: .utf8) == content)
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.url.path) == ["queue.db"])
    }

    @Test func theDatabaseOfAnotherProgramIsRefused() throws {
        try DatabaseQueue(path: place.path).write { try $0.execute(sql: "CREATE TABLE photo (id INTEGER)") }
        #expect(throws: MessageQueueError.notAQueue(place: place.path, detail: "it is the database of another program"))
        {
            try place.open()
        }
    }

    @Test func aQueueOfALaterVersionIsRefused() throws {
        try place.open().close()
        try DatabaseQueue(path: place.path).writeWithoutTransaction { try $0.execute(sql: "PRAGMA user_version = 99") }
        #expect(throws: MessageQueueError.newerVersion(place: place.path, found: 99, known: 2)) { try place.open() }
    }

    @Test func aDamagedFileIsNamedAsSuch() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue((0..<500).map { place.message("m\($0)") })
        try queue.close()
        var bytes = try Data(contentsOf: URL(fileURLWithPath: place.path))
        for index in 4096..<bytes.count { bytes[index] = 0xA5 }
        try bytes.write(to: URL(fileURLWithPath: place.path))
        let error = await #expect(throws: MessageQueueError.self) {
            _ = try await place.open().lease(10)
        }
        guard case .damaged(let path, _)? = error else {
            Issue.record("expected .damaged, not \(String(describing: error))")
            return
        }
        #expect(path == place.path)
    }

    @Test(arguments: 1...8) func bytesFlippedInTheMiddleAreNoticed(seed: Int) async throws {
        let queue = try place.open()
        _ = try await queue.enqueue((0..<2000).map { place.message("m\($0)") })
        try queue.close()
        var bytes = try Data(contentsOf: URL(fileURLWithPath: place.path))
        var generator = SeededGenerator(seed: UInt64(seed))
        let pages = bytes.count / 4096
        // The heads of a few pages behind the first.
        for _ in 0..<pages / 4 {
            let page = 1 + Int(generator.unit() * Double(pages - 1))
            for index in 0..<8 { bytes[page * 4096 + index] ^= 0xFF }
        }
        try bytes.write(to: URL(fileURLWithPath: place.path))
        let error = await #expect(throws: MessageQueueError.self) {
            let queue = try place.open()
            while case let leased = try await queue.lease(100), !leased.isEmpty {
                for message in leased { _ = try await queue.complete(message.lease, with: place.result(message)) }
            }
        }
        guard case .damaged(let path, _)? = error else {
            Issue.record("expected .damaged, not \(String(describing: error))")
            return
        }
        #expect(path == place.path)
    }

    @Test func aFileThatAnotherProcessKeepsLockedIsNamed() async throws {
        let queue = try place.open { $0.busyTimeout = .milliseconds(20) }
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let other = try DatabaseQueue(path: place.path, configuration: configuration)
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        await #expect(throws: MessageQueueError.locked(place: place.path)) {
            try await queue.enqueue([place.message("a")])
        }
        #expect(throws: MessageQueueError.locked(place: place.path)) {
            try place.open(.client) { $0.busyTimeout = .milliseconds(20) }
        }
        #expect(try await queue.depth().ready == 0, "reading goes on")
        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        #expect(try await queue.enqueue([place.message("a")]) == [.accepted])
    }

    @Test func aFolderThatMayNotBeWrittenToIsNamed() async throws {
        try place.open().close()
        for name in try FileManager.default.contentsOfDirectory(atPath: place.url.path) {
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o444], ofItemAtPath: place.url.path + "/" + name)
        }
        try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: place.url.path)
        await #expect(processExitsWith: .exitCode(17)) { [path = place.path as String] in
            // The superuser may write anywhere.
            if geteuid() == 0 { guard setuid(65_534) == 0 else { exit(1) } }
            do {
                _ = try EmbeddedQueue(EmbeddedQueue.Configuration(path: path), role: .client)
            } catch MessageQueueError.unavailable(path, "Permission denied") {
                exit(17)
            }
        }
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: place.url.path)
    }

    @Test func aFileOnlyItsOwnerMayRead() throws {
        let queue = try place.open()
        for name in ["queue.db", "queue.db-wal", "queue.db-consumer", "queue.db-bell", "queue.db-done"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: place.url.path + "/" + name)
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(name)")
        }
        try queue.close()
    }

    @Test func thereIsOneConsumerAtATime() throws {
        let first = try place.open()
        #expect(throws: MessageQueueError.inUse(place: place.path, process: Int(getpid()))) { try place.open() }
        _ = try place.open(.client)
        try first.close()
    }

    @Test func whatAnotherHandleEnqueuesWakesTheConsumer() async throws {
        let consumer = try place.open()
        let producer = try place.open(.client)
        async let waited: Void = consumer.waitUntilReady(excluding: [])
        _ = try await producer.enqueue([place.message("a")])
        try await waited
        #expect(try await consumer.leaseIDs() == ["a"])
    }

    @Test func severalHandlesMayOpenANewFileAtTheSameTime() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask { _ = try await place.open(.client).enqueue([place.message("m\(number)")]) }
            }
            try await group.waitForAll()
        }
        #expect(try await place.open(.client).depth().ready == 8)
    }

    @Test func aRequestThatCannotBeReadAnyMoreEndsWithAResult() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a"), place.message("b"), place.message("c")])
        try await DatabaseQueue(path: place.path).write { database in
            try database.execute(sql: "DELETE FROM payload WHERE sequence = 1")
            try database.execute(sql: "UPDATE message SET metadata = x'FF' WHERE id = 'b'")
        }
        #expect(try await queue.leaseIDs() == ["c"])
        let results = try await queue.results(after: 0, limit: 9)
        #expect(results.map(\.id) == ["a", "b"])
        #expect(results.allSatisfy { $0.errorCode == "PAYLOAD_UNAVAILABLE" })
        #expect(try await queue.enqueue([place.message("a")]) == [.alreadyFinished])
    }
}

/// Processes that are killed, for real.
@Suite(.timeLimit(.minutes(2))) struct CrashTests {
    @Test func theMessagesOfAKilledConsumerAreFreeAtOnce() async throws {
        let place = try QueueDirectory()
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = place.path as String] in
            let queue = try EmbeddedQueue(EmbeddedQueue.Configuration(path: path), role: .consumer)
            let now = SystemClock().now()
            let messages = (0..<200).map { number in
                InferenceMessage(
                    id: "m\(number)", created: now, deadline: now + .seconds(3600), path: "/v1/completions",
                    payload: Array("{}".utf8))
            }
            guard try await queue.enqueue(messages).allSatisfy({ $0 == .accepted }) else { return }
            let leased = try await queue.lease(limit: 100, duration: .seconds(3600), excluding: [])
            for message in leased.prefix(10) {
                var result = InferenceResult(for: message, queue: "test", attempts: message.attempts, finished: now)
                result.statusCode = 200
                guard try await queue.complete(message.lease, with: result) else { return }
            }
            kill(getpid(), SIGKILL)
        }
        let queue = try place.open()
        #expect(try await queue.leaseIDs(1000).count == 190)
        let results = try await queue.results(after: 0, limit: 1000)
        #expect(Set(results.map(\.id)).count == 10)
    }

    @Test func whatAnotherProcessEnqueuesWakesTheConsumer() async throws {
        let place = try QueueDirectory()
        let queue = try place.open()
        async let waited: Void = queue.waitUntilReady(excluding: [])
        await #expect(processExitsWith: .success) { [path = place.path as String] in
            var configuration = EmbeddedQueue.Configuration(path: path)
            configuration.createsFile = false
            let queue = try EmbeddedQueue(configuration, role: .client)
            let message = InferenceMessage(
                id: "a", created: .zero, deadline: .distantFuture, path: "/v1/completions", payload: [])
            _ = try await queue.enqueue([message])
        }
        try await waited
        #expect(try await queue.leaseIDs() == ["a"])
    }
}

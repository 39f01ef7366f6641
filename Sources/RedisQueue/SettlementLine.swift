import Basics
import MessageQueues
import RedisClient
import Synchronization

/// Gathers settlements into batches, one script call each.
///
/// Whatever has come together while a batch was under way leaves with the next, so that the batch adapts to the load and a
/// single message waits for nothing. A batch whose reply is lost is sent again under the same commit key, which makes it
/// harmless if it had run; see `SettleScript`.
final class SettlementLine: Sendable {
    /// Settlements in one batch; bounds how long the server is busy with it.
    static let maximumBatch = 256
    /// Bytes in one batch; a settlement that is larger has one for itself.
    static let maximumBatchBytes = 8 << 20
    /// How long the outcome of a batch is remembered, in seconds: longer than anybody tries to settle one claim.
    static let commitLifetime: Int64 = 300
    /// How often a batch is sent before its callers are told.
    private static let tries = 3
    /// Between two tries.
    private static let pause = TimeSpan.milliseconds(50)

    private struct Entry: Sendable {
        let settlement: Settlement
        let finish: @Sendable (Result<SettlementOutcome, UncertainSettlement>) -> Void
    }

    private struct State {
        var waiting: [Entry] = []
        var isRunning = false
        var lastWarning = ""
    }

    private let client: RedisClient
    private let keys: QueueKeys
    private let clock: any DeliveryClock
    /// Told what went wrong with settlements that took effect nevertheless.
    private let warns: @Sendable (String) -> Void
    private let state = Mutex(State())

    init(
        client: RedisClient, keys: QueueKeys, clock: any DeliveryClock, warns: @escaping @Sendable (String) -> Void
    ) {
        self.warns = warns
        self.client = client
        self.keys = keys
        self.clock = clock
    }

    /// Settles one claim, together with others. Does not react to cancellation: what is handed in is sent.
    func settle(_ settlement: Settlement) async throws(UncertainSettlement) -> SettlementOutcome {
        let result = await withCheckedContinuation { continuation in
            let entry = Entry(settlement: settlement) { continuation.resume(returning: $0) }
            let starts = state.withLock { state in
                state.waiting.append(entry)
                defer { state.isRunning = true }
                return !state.isRunning
            }
            if starts { Task { await run() } }
        }
        return try result.get()
    }

    private func run() async {
        while let batch = nextBatch() { await send(batch) }
    }

    private func nextBatch() -> [Entry]? {
        state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.isRunning = false
                return nil
            }
            var count = 0
            var bytes = 0
            for entry in state.waiting.prefix(Self.maximumBatch) {
                bytes += entry.settlement.weight
                if count > 0, bytes > Self.maximumBatchBytes { break }
                count += 1
            }
            let batch = Array(state.waiting.prefix(count))
            state.waiting.removeFirst(count)
            return batch
        }
    }

    private func send(_ batch: [Entry]) async {
        let commit = keys.commit(.random(in: .min ... .max))
        let scriptKeys = [
            keys.pending, keys.claimed, keys.owners, keys.claims, keys.retry, keys.deadLetters, commit,
        ].map(RedisArgument.text)
        let arguments = [.integer(Self.commitLifetime)] + batch.flatMap(\.settlement.arguments)
        var mayHaveRun = false
        var tries = 0
        while true {
            tries += 1
            do throws(RedisError) {
                let reply = try await client.run(SettleScript.settle, keys: scriptKeys, arguments: arguments)
                return finish(batch, reply)
            } catch {
                mayHaveRun = mayHaveRun || error.mayHaveRun || error.mayHaveStoppedAScript
                if tries < Self.tries, error.mayPass {
                    try? await clock.sleep(for: Self.pause)
                    continue
                }
                for (index, entry) in batch.enumerated() {
                    let place = mayHaveRun ? CommitPlace(key: commit, place: index + 1) : nil
                    entry.finish(.failure(UncertainSettlement(error: error, place: place)))
                }
                return
            }
        }
    }

    private func finish(_ batch: [Entry], _ reply: RESPValue) {
        let parts = reply.asArray ?? []
        let outcomes = parts.first?.asBytes ?? []
        let complaint = parts.dropFirst().first?.asString ?? ""
        warn(parts.dropFirst(2).first?.asString ?? "")
        for (index, entry) in batch.enumerated() {
            guard index < outcomes.count else {
                let error = RedisError.protocolViolation("a script's reply is too short")
                entry.finish(.failure(UncertainSettlement(error: error, place: nil)))
                continue
            }
            switch outcomes[index] {
            case UInt8(ascii: "1"): entry.finish(.success(.done))
            case UInt8(ascii: "0"): entry.finish(.success(.lost))
            case UInt8(ascii: "3"): entry.finish(.success(.notBuried(complaint)))
            default: entry.finish(.success(.refused(complaint)))
            }
        }
    }

    /// What lasts is told once.
    private func warn(_ warning: String) {
        let isNews = state.withLock { state in
            defer { state.lastWarning = warning }
            return !warning.isEmpty && warning != state.lastWarning
        }
        if isNews { warns(warning) }
    }
}

extension RedisError {
    /// Whether the command may have taken effect although the call failed.
    var mayHaveRun: Bool {
        switch self {
        case .timedOut, .connectionLost(commandMayHaveRun: true), .cancelled, .replyTooLong, .protocolViolation: true
        case .notConnected, .connectionLost(commandMayHaveRun: false), .server, .closed: false
        }
    }

    /// Whether the server's error may come from the middle of a script, behind what that had done by then: nothing is undone.
    var mayHaveStoppedAScript: Bool {
        guard case .server(let error) = self else { return false }
        return !Self.codesBeforeAnything.contains(error.code)
    }

    /// Errors with which a server turns commands away as it is now.
    private static let codesBeforeAnything: Set<String> = ["LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "READONLY"]

    /// Whether the same call may succeed in a moment.
    var mayPass: Bool {
        switch self {
        case .timedOut, .connectionLost: true
        case .server(let error): Self.codesBeforeAnything.contains(error.code)
        case .notConnected, .cancelled, .replyTooLong, .protocolViolation, .closed: false
        }
    }
}

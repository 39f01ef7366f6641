import Basics
public import Delivery
public import MessageQueues
import RedisClient

extension RedisSortedSetQueue: MessageIntake {
    /// Bytes of members in one call of the server.
    private static let maximumSubmittedBytes = 8 << 20
    /// Messages in one call of the server.
    private static let maximumSubmitted = 512
    /// How long a wish to cancel is kept, in seconds: llm-d-async's seven days.
    private static let cancellationLifetime: Int64 = 604_800

    /// Submits messages as llm-d-async's producers do.
    ///
    /// An id whose request is under way is `alreadyQueued`, whatever the new message holds: the wire knows no more. One that
    /// has finished can be used again. Messages beyond 8 MiB or 512 travel in several calls; if a later one fails, the
    /// earlier ones are accepted, and submitting the same messages again completes the call.
    public func enqueue(_ messages: [InferenceMessage]) async throws -> [EnqueueReceipt] {
        let configuration = core.configuration
        if let message = messages.first(where: { $0.payload.count > configuration.maximumPayloadBytes }) {
            throw MessageQueueError.messageTooLarge(
                id: message.id, bytes: message.payload.count, limit: configuration.maximumPayloadBytes)
        }
        var receipts: [EnqueueReceipt] = []
        receipts.reserveCapacity(messages.count)
        var batch: [RedisArgument] = []
        var bytes = 0
        let now = configuration.clock.now()
        for message in messages {
            let token = Self.newToken()
            let member = SubmittedMember(
                message, token: token, queue: configuration.queueName,
                resultQueue: configuration.resultQueueName ?? configuration.defaultResultQueueName, enqueued: now)
            let lifetime = Instant(nanoseconds: min(member.deadline, Self.latestSecond) * 1_000_000_000) - now
            batch += [
                .text(message.id), .text(token), .integer(max(1, lifetime.nanoseconds / 1_000_000)),
                .integer(member.deadline), .bytes(member.head), .bytes(member.tail),
            ]
            bytes += member.head.count + member.tail.count
            if bytes >= Self.maximumSubmittedBytes || batch.count >= Self.maximumSubmitted * 6 {
                receipts += try await submit(batch)
                batch = []
                bytes = 0
            }
        }
        if !batch.isEmpty { receipts += try await submit(batch) }
        return receipts
    }

    private static let latestSecond = Instant.distantFuture.nanoseconds / 1_000_000_000

    private func submit(_ arguments: [RedisArgument]) async throws -> [EnqueueReceipt] {
        let reply: RESPValue
        do {
            reply = try await core.client.run(
                ProducerScripts.enqueue, keys: [.text(core.keys.pending)], arguments: arguments)
        } catch {
            throw core.failure(error)
        }
        let marks = (reply.asArray ?? []).compactMap(\.asInteger)
        guard marks.count * 6 == arguments.count else {
            throw core.failure(.protocolViolation("a script's reply is too short"))
        }
        if marks.contains(1) { core.readiness.notify() }
        return marks.map { $0 == 1 ? .accepted : .alreadyQueued }
    }

    /// Sixteen random bytes in hexadecimal.
    private static func newToken() -> String {
        QueueKeys.hexadecimal(.random(in: .min ... .max)) + QueueKeys.hexadecimal(.random(in: .min ... .max))
    }

    /// Asks for the request of this id that is under way to be cancelled; false if there is none.
    ///
    /// One that waits ends when it is taken, one in hand is taken back (`nextCancellations()`).
    public func cancel(id: String) async throws -> Bool {
        do {
            let reply = try await core.client.run(
                ProducerScripts.cancel, keys: [.text(QueueKeys.active(id)), .text(QueueKeys.cancel(id))],
                arguments: [.integer(Self.cancellationLifetime)])
            return reply.asInteger == 1
        } catch {
            throw core.failure(error)
        }
    }
}

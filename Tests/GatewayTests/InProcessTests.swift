import Basics
import Gateway
import InferenceAPI
import NIOCore
import NIOHTTP1
import Pool
import PoolScheduler
import Testing

@Suite("The in-process door", .timeLimit(.minutes(1)))
struct InProcessTests {
    private let call = InferenceCall(headers: [("x-extra", "1")], body: ByteBuffer(string: smallBody), requestID: "m-1")

    @Test("a call returns the whole answer, its usage and its endpoint")
    func answered() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let started = Mailbox<Bool>()
            async let outcome = test.gateway.perform(call) { started.put(true) }
            let request = await upstream.requests.next()
            #expect(await started.next())
            #expect(request.text == smallBody && request.head.headers["x-extra"] == ["1"])
            #expect(request.head.headers["x-request-id"] == ["m-1"])
            #expect(test.pool.endpoints[0].load.sheddableRequests == 1)
            request.answer(#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#)
            guard case .answered(let answer) = await outcome else {
                Issue.record("no answer")
                return
            }
            #expect(answer.status == 200 && answer.endpoint == upstream.name)
            #expect(answer.usage == TokenUsage(promptTokens: 1, completionTokens: 2))
            let record = await test.observer.records.next()
            #expect(record.isInProcess && record.workClass == .sheddable)
            test.expectIdle()
        }
    }

    @Test("a message that runs is called back when real-time work needs its place")
    func calledBack() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1)) { test in
            async let outcome = test.gateway.perform(call)
            let message = await upstream.requests.next()
            let client = try await test.connect()
            client.post(smallBody)
            try await message.closed()
            guard case .evicted = await outcome else {
                Issue.record("not evicted")
                return
            }
            await upstream.requests.next().answer("{}")
            #expect(await client.readResponse()?.status == 200)
            _ = await test.observer.records.next()
            _ = await test.observer.records.next()
            test.expectIdle()
        }
    }

    @Test("cancelling the task withdraws a message that waits and aborts one that runs")
    func cancellation() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1)) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let realtime = await upstream.requests.next()
            let waiting = Task { await test.gateway.perform(call) }
            await test.until { $0.requests == 2 }
            waiting.cancel()
            guard case .cancelled = await waiting.value else {
                Issue.record("not cancelled while it waited")
                return
            }
            realtime.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            let running = Task { await test.gateway.perform(call) }
            let message = await upstream.requests.next()
            running.cancel()
            try await message.closed()
            guard case .cancelled = await running.value else {
                Issue.record("not cancelled while it ran")
                return
            }
            for _ in 0..<3 { _ = await test.observer.records.next() }
            test.expectIdle()
        }
    }

    @Test("a message whose endpoint breaks off is handed back as failed, not tried elsewhere")
    func failure() async throws {
        let first = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([first.port])) { test in
            async let outcome = test.gateway.perform(call)
            await first.requests.next().closeConnection()
            guard case .failed(let error) = await outcome else {
                Issue.record("not failed")
                return
            }
            #expect(error.code == .upstreamFailure)
            _ = await test.observer.records.next()
            test.expectIdle()
        }
    }

    @Test(
        "a message that the gateway's own drain ends says so, whether its answer has begun or not",
        arguments: [true, false])
    func drained(hasBegun: Bool) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            async let outcome = test.gateway.perform(call)
            let request = await upstream.requests.next()
            if hasBegun {
                request.begin()
                request.send("data: {}\n\n")
            }
            #expect(await !test.gateway.drain(timeout: .milliseconds(20)))
            guard case .failed(let error) = await outcome else {
                Issue.record("not failed")
                return
            }
            #expect(error.code == .shuttingDown)
            try await request.closed()
            test.expectIdle()
        }
    }

    @Test("a message for an unknown model, past its deadline, or with too long an answer, is refused or fails")
    func refusals() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1)) { test in
            var unknown = call
            unknown.body = ByteBuffer(string: #"{"model":"x"}"#)
            guard case .rejected(let error) = await test.gateway.perform(unknown) else {
                Issue.record("not rejected")
                return
            }
            #expect(error.code == .modelNotFound)

            var short = call
            short.maxAnswerBytes = 10
            async let outcome = test.gateway.perform(short)
            await upstream.requests.next().answer("more than ten bytes")
            guard case .failed(let tooLarge) = await outcome else {
                Issue.record("not failed")
                return
            }
            #expect(tooLarge.code == .answerTooLarge && !tooLarge.isRetryable)

            let client = try await test.connect()
            client.post(smallBody)
            let realtime = await upstream.requests.next()
            var late = call
            late.deadline = Gateway.now + .milliseconds(20)
            guard case .rejected(let expired) = await test.gateway.perform(late) else {
                Issue.record("not expired")
                return
            }
            #expect(expired.code == .queueTimeout)
            realtime.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }
}

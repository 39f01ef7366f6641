import Admission
import Basics
import Gateway
import InferenceAPI
import NIOCore
import NIOHTTP1
import Pool
import PoolScheduler
import Testing

@Suite("The in-process door", .timeLimit(.minutes(5)))
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

    @Test("messages leave half of the budget for bodies to real-time requests")
    func budget() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.bufferedBodyBytes = 50_000 }
        ) { test in
            let long = #"{"prompt":"\#(String(repeating: "x", count: 20_000))","model":"m"}"#
            let message = InferenceCall(body: ByteBuffer(string: long))
            async let first = test.gateway.perform(message)
            let running = await upstream.requests.next()
            guard case .rejected(let error) = await test.gateway.perform(message) else {
                Issue.record("a second message fits in")
                return
            }
            #expect(InferenceOutcome.rejected(error).rejectionCause == .noCapacity)
            #expect(error.message.contains("as many bytes of request bodies as it may"))
            let client = try await test.connect()
            client.post(long)
            let realtime = await upstream.requests.next()
            realtime.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            running.answer("{}")
            guard case .answered = await first else {
                Issue.record("the first message is not answered")
                return
            }
            // Alone even one passes that is longer than that half.
            let longer = #"{"prompt":"\#(String(repeating: "x", count: 40_000))","model":"m"}"#
            async let last = test.gateway.perform(InferenceCall(body: ByteBuffer(string: longer)))
            await upstream.requests.next().answer("{}")
            guard case .answered = await last else {
                Issue.record("the long message is not answered")
                return
            }
            for _ in 0..<4 { _ = await test.observer.records.next() }
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
            guard case .failed(let failure) = await outcome else {
                Issue.record("not failed")
                return
            }
            #expect(failure.code == .upstreamFailure && failure.cause == .connectionLost)
            #expect(failure.endpoint == first.name)
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
            guard case .failed(let failure) = await outcome else {
                Issue.record("not failed")
                return
            }
            #expect(failure.cause == .stopping && failure.endpoint == upstream.name)
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
            let unknownOutcome = await test.gateway.perform(unknown)
            #expect(unknownOutcome.rejectionCause == .invalidCall)

            var short = call
            short.maxAnswerBytes = 10
            async let outcome = test.gateway.perform(short)
            await upstream.requests.next().answer("more than ten bytes")
            guard case .failed(let tooLarge) = await outcome else {
                Issue.record("not failed")
                return
            }
            #expect(tooLarge.cause == .answerTooLarge && !tooLarge.error.isRetryable)

            let client = try await test.connect()
            client.post(smallBody)
            let realtime = await upstream.requests.next()
            var late = call
            late.deadline = Gateway.now + .milliseconds(20)
            let lateOutcome = await test.gateway.perform(late)
            #expect(lateOutcome.rejectionCause == .expired)
            realtime.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("an event stream that reports an error under status 200 is a failure, whatever came before it")
    func errorEvent() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            async let outcome = test.gateway.perform(call)
            let request = await upstream.requests.next()
            request.begin()
            request.send(#"data: {"choices":[{"delta":{"content":"a"}}]}"# + "\n\n")
            request.send(#"data: {"error":{"message":"out of memory","code":500}}"# + "\n\ndata: [DONE]\n\n")
            request.end()
            guard case .failed(let failure) = await outcome else {
                Issue.record("not failed")
                return
            }
            #expect(failure.cause == .errorInStream && failure.endpoint == upstream.name)
            _ = await test.observer.records.next()
            test.expectIdle()
        }
    }

    @Test("an error object that is the whole answer, and an error status, are answers")
    func errorAnswers() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            for status in [HTTPResponseStatus.ok, .internalServerError] {
                async let outcome = test.gateway.perform(call)
                await upstream.requests.next().answer(#"{"error":{"message":"no"}}"#, status: status)
                guard case .answered(let answer) = await outcome else {
                    Issue.record("not answered")
                    return
                }
                #expect(answer.status == Int(status.code))
            }
        }
    }

    @Test("an endpoint that takes no connections fails a call with that cause, and then the pool has none")
    func connectFailed() async throws {
        // A port that no other test is given meanwhile: neither by the system nor by `FailoverTests`.
        var started: TestUpstream?
        while started == nil { started = try? await TestUpstream.start(port: .random(in: 14_000..<19_000)) }
        let upstream = try #require(started)
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.upstreamIdle = .zero }
        ) { test in
            let name = upstream.name
            try await upstream.stop()
            guard case .failed(let failure) = await test.gateway.perform(call) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.cause == .connectFailed && failure.endpoint == name)
            var direct = call
            direct.isMessage = false
            let outcome = await test.gateway.perform(direct)
            #expect(outcome.rejectionCause == .noEndpoints)
        }
    }

    @Test("an endpoint that stays silent fails a message by its time limit")
    func silent() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.firstByteTimeout = .milliseconds(50) }
        ) { test in
            guard case .failed(let failure) = await test.gateway.perform(call) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.cause == .timedOut && failure.endpoint == upstream.name)
        }
    }

    @Test("calls that a full queue or a stopping gateway turns away say which it was")
    func rejections() async throws {
        let upstream = try await TestUpstream.start()
        let pool = TestGateway.pool([upstream.port], slots: 1, admission: .init(maxRequestsPerBand: 0))
        try await TestGateway.with(pool) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let realtime = await upstream.requests.next()
            var direct = call
            direct.isMessage = false
            let refused = await test.gateway.perform(direct)
            #expect(refused.rejectionCause == .noCapacity)
            realtime.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            #expect(await test.gateway.drain(timeout: .seconds(10)))
            let stopped = await test.gateway.perform(call)
            #expect(stopped.rejectionCause == .stopping)
        }
    }
}

import Basics
import Gateway
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@Suite("Clients that vanish or read slowly", .timeLimit(.minutes(5)))
struct DisconnectTests {
    @Test("the endpoint sees the abort while it is still silent", arguments: [true, false])
    func whileSilent(streams: Bool) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(#"{"model":"m","stream":\#(streams)}"#)
            let request = await upstream.requests.next()
            client.close()
            try await request.closed()
            let record = await test.observer.records.next()
            #expect(record.clientLeft && record.status == 499)
            test.expectIdle()
        }
    }

    @Test("the endpoint sees the abort in the middle of a stream")
    func midStream() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let request = await upstream.requests.next()
            request.begin()
            request.send("data: {}\n\n")
            #expect(await client.read(until: "data: {}\n\n") != nil)
            client.close()
            try await request.closed()
            let record = await test.observer.records.next()
            #expect(record.clientLeft && record.status == 200 && record.responseBytes == 10)
            test.expectIdle()
        }
    }

    @Test("the endpoint sees the abort while the body is still being sent")
    func midUpload() async throws {
        let upstream = try await TestUpstream.start(streamsBodies: true)
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            let filler = String(repeating: "x", count: 3 << 20)
            client.send(
                "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 30000000\r\n\r\n{\"model\":\"m\",\"p\":\"\(filler)"
            )
            let request = await upstream.requests.next()
            client.close()
            #expect(await test.observer.records.next().clientLeft)
            try await request.channel.setOption(.autoRead, value: true).get()
            try await request.closed()
            test.expectIdle()
        }
    }

    @Test("a client that leaves in the middle of a head or a body leaves nothing behind")
    func midRequest() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n{\"model\"")
            while test.gateway.status().requests == 0 { await Task.yield() }
            client.close()
            #expect(await test.observer.records.next().clientLeft)
            test.expectIdle()
            let other = try await test.connect()
            other.send("POST /v1/comp")
            other.close()
            while test.gateway.status().clientConnections > 0 { await Task.yield() }
        }
    }

    @Test("the time for which a client does not read is not held against its endpoint")
    func slowReaderIsNoStall() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.upstreamStallTimeout = .milliseconds(500) }
        ) { test in
            let client = try await test.connect(autoRead: false)
            client.post(smallBody)
            // More than the kernel's buffers on the way take.
            let bytes = 64 << 20
            await upstream.requests.next().answer(String(repeating: "y", count: bytes), type: "text/plain")
            // Not a wait for an event: the passing of more time than the limit is what is tested.
            try await Task.sleep(for: .milliseconds(1200))
            try await client.startReading()
            #expect(await client.readHead()?.status == 200)
            let record = await test.observer.records.next()
            #expect(record.responseBytes == bytes && !record.isCut)
            test.expectIdle()
        }
    }

    @Test("while a client does not read, its endpoint is not read either")
    func slowReader() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect(autoRead: false)
            client.post(smallBody)
            let request = await upstream.requests.next()
            let pieceBytes = 64 << 10
            let pieces = 2048
            request.begin(["content-type": "text/plain", "content-length": String(pieces * pieceBytes)])
            let piece = String(repeating: "y", count: pieceBytes)
            let written = Atomic<Int>(0)
            let writer = Task {
                for _ in 0..<pieces {
                    let part = HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: piece)))
                    try await request.channel.writeAndFlush(part)
                    written.add(1, ordering: .relaxed)
                }
                request.end()
            }
            // The endpoint's writing comes to a halt when the buffers between it and the client are full.
            var last = -1
            while written.load(ordering: .relaxed) != last {
                last = written.load(ordering: .relaxed)
                try await Task.sleep(for: .milliseconds(300))
            }
            #expect(last * pieceBytes < 48 << 20, "of 128 MiB, beyond what kernels buffer")
            try await client.startReading()
            #expect(await client.readHead()?.status == 200)
            try await writer.value
            let record = await test.observer.records.next()
            #expect(record.responseBytes == pieces * pieceBytes && !record.clientLeft)
            test.expectIdle()
        }
    }
}

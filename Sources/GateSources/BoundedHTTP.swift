import AsyncHTTPClient
import Basics
import NIOCore
import NIOHTTP1
import NIOSSL

/// Questions over HTTP that end: bounded in time and size, no redirects, no silent repetition.
struct BoundedHTTP: Sendable {
    /// What came back.
    struct Answer: Sendable {
        let status: Int
        let body: [UInt8]
    }

    private let client: HTTPClient
    private let longestBodyBytes: Int

    init(authorityFile: String?, insecureSkipVerify: Bool, longestBodyBytes: Int) {
        var settings = HTTPClient.Configuration(redirectConfiguration: .disallow)
        settings.connectionPool.retryConnectionEstablishment = false
        settings.httpVersion = .http1Only
        settings.decompression = .disabled
        var tls = TLSConfiguration.makeClientConfiguration()
        if let authorityFile { tls.trustRoots = .file(authorityFile) }
        if insecureSkipVerify { tls.certificateVerification = .none }
        settings.tlsConfiguration = tls
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        self.longestBodyBytes = longestBodyBytes
    }

    /// Fails with `GateSourceError`, or `CancellationError` when the task is cancelled.
    func ask(_ request: HTTPClientRequest, atMost limit: TimeSpan) async throws -> Answer {
        do {
            let answer = try await within(limit) {
                let response = try await client.execute(request, deadline: .distantFuture)
                let body = try await response.body.collect(upTo: longestBodyBytes)
                return Answer(status: Int(response.status.code), body: Array(body.readableBytesView))
            }
            guard let answer else { throw GateSourceError("no answer within \(limit.seconds) s") }
            return answer
        } catch let error as GateSourceError {
            throw error
        } catch is NIOTooManyBytesError {
            throw GateSourceError("the answer is longer than \(longestBodyBytes >> 20) MiB")
        } catch {
            try Task.checkCancellation()
            let reason = (error as? HTTPClientError)?.shortDescription ?? String("\(error)".prefix(200))
            throw GateSourceError(reason)
        }
    }

    func shutdown() async {
        // Nothing is under way any more, so there is nothing that could fail to be closed.
        try? await client.shutdown()
    }
}

/// The value of `work`, or nil if it takes longer than `limit`; it is cancelled then.
func within<Value: Sendable>(
    _ limit: TimeSpan, _ work: @escaping @Sendable () async throws -> Value
) async throws -> Value? {
    try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await work() }
        group.addTask {
            try await Task.sleep(for: .nanoseconds(limit.nanoseconds))
            return nil
        }
        defer { group.cancelAll() }
        return try await group.next() ?? nil
    }
}

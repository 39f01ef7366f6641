import AsyncHTTPClient
import Basics
import Foundation
import NIOCore
import NIOHTTP1

/// One question to a server that gives tokens or measurements: bounded in time and size, no redirects.
///
/// Questions are asked once a minute at most, so each has a client of its own and nothing is left open between them.
struct TokenHTTP: Sendable {
    /// What came back.
    struct Answer: Sendable {
        let status: Int
        let headers: HTTPHeaders
        let body: [UInt8]
    }

    /// Why nothing came back; without anything of the request.
    struct Failure: Error {
        let reason: String
    }

    private static let longestBodyBytes = 64 << 10

    let timeout: TimeSpan

    func get(_ url: String, headers: HTTPHeaders) async throws -> Answer {
        var request = HTTPClientRequest(url: url)
        request.headers = headers
        return try await ask(request)
    }

    func post(_ url: String, form: [(String, String)]) async throws -> Answer {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers = ["content-type": "application/x-www-form-urlencoded"]
        request.body = .bytes(ByteBuffer(string: Self.encode(form)))
        return try await ask(request)
    }

    private func ask(_ plain: HTTPClientRequest) async throws -> Answer {
        var request = plain
        request.headers.replaceOrAdd(name: "user-agent", value: "weir")
        request.headers.replaceOrAdd(name: "accept", value: "application/json, */*")
        var settings = HTTPClient.Configuration(redirectConfiguration: .disallow)
        settings.timeout.connect = .nanoseconds(min(timeout, .seconds(5)).nanoseconds)
        settings.connectionPool.retryConnectionEstablishment = false
        settings.httpVersion = .http1Only
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        let call = request
        let result: Result<Answer, any Error>
        do {
            let answer = try await within(timeout) {
                let response = try await client.execute(call, deadline: .distantFuture)
                let body = try await response.body.collect(upTo: Self.longestBodyBytes)
                return Answer(
                    status: Int(response.status.code), headers: response.headers, body: Array(body.readableBytesView))
            }
            guard let answer else { throw Failure(reason: "no answer within \(timeout.seconds) s") }
            result = .success(answer)
        } catch let error as HTTPClientError {
            result = .failure(Failure(reason: error.shortDescription))
        } catch is NIOTooManyBytesError {
            result = .failure(Failure(reason: "the answer was longer than 64 KiB"))
        } catch let error as Failure {
            result = .failure(error)
        } catch is CancellationError {
            result = .failure(CancellationError())
        } catch {
            // Connection errors name addresses and system errors; they never quote a request.
            result = .failure(Failure(reason: String("\(error)".prefix(200))))
        }
        // It has nothing under way any more, so there is nothing that could fail to be closed.
        try? await client.shutdown()
        return try result.get()
    }

    /// The value of `work`, or nil if it takes longer than `limit`; it is cancelled then. The client's own deadline ends with
    /// the head of an answer.
    private func within<Value: Sendable>(
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

    /// `application/x-www-form-urlencoded`, escaping all but the characters that never need it.
    static func encode(_ fields: [(String, String)]) -> String {
        fields.map { escape($0.0) + "=" + escape($0.1) }.joined(separator: "&")
    }

    static func escape(_ text: String) -> String {
        // Every well-formed text can be encoded.
        text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
    }

    /// RFC 3986 section 2.3.
    private static let unreserved = CharacterSet(
        charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
}

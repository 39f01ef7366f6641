public import Basics
import Synchronization

/// A client of a Redis or Valkey server (RESP3, and RESP2 where the server knows no better).
///
/// All calls share one connection. Calls that are made while others are under way are written behind them without waiting
/// (pipelining), and those that come together leave in one packet. The connection is made at the first call and made anew
/// when it breaks; calls made in the meantime wait for it, up to the command timeout. A command that blocks
/// (`BLPOP`, `WAIT`) would hold up all others: give it a client of its own and a `timeout` of its own.
///
/// A call returns as soon as its task is cancelled; its command may run nevertheless.
public final class RedisClient: Sendable {
    private struct State {
        var links: [RedisLink] = []
        var isClosed = false
    }

    private let configuration: Configuration
    private let commands: RedisLink
    private let state = Mutex(State())

    /// Creates a client; it connects when it is first used.
    public init(_ configuration: Configuration) {
        self.configuration = configuration
        commands = RedisLink(configuration, purpose: .commands)
    }

    deinit {
        commands.beginClosing()
        for link in state.withLock({ $0.links }) { link.beginClosing() }
    }

    // MARK: Commands

    /// Sends one command and returns the server's reply; a reply that is an error is thrown as `.server`.
    ///
    /// - Parameter timeout: How long the call may take, if not the command timeout of the configuration.
    public func send(_ command: RedisCommand, timeout: TimeSpan? = nil) async throws(RedisError) -> RESPValue {
        let reply = try await reply(to: RedisCall(.one(command), timeout: timeout))
        if case .error(let error) = reply { throw .server(error) }
        return reply
    }

    /// Sends commands in one pipeline; returns their replies in order. Commands of others never come in between, but the
    /// server may run some of them and not the rest if the connection breaks.
    public func send(
        _ commands: [RedisCommand], timeout: TimeSpan? = nil
    ) async throws(RedisError) -> [Result<RESPValue, RedisServerError>] {
        if commands.isEmpty { return [] }
        return try await replies(to: RedisCall(.many(commands), timeout: timeout)).map(\.asResult)
    }

    /// Runs commands as one transaction (`MULTI`, `EXEC`): all of them or none, nothing of others in between.
    ///
    /// Returns the replies in order. A command that fails while it runs does not undo the others; its reply is an `.error`.
    /// If the server refuses one of them before anything ran, that refusal is thrown and none of them has run.
    public func transaction(
        _ commands: [RedisCommand], timeout: TimeSpan? = nil
    ) async throws(RedisError) -> [RESPValue] {
        if commands.isEmpty { return [] }
        let all = [RedisCommand("MULTI")] + commands + [RedisCommand("EXEC")]
        let replies = try await replies(to: RedisCall(.many(all), timeout: timeout))
        for case .error(let error) in replies { throw .server(error) }
        guard let results = replies.last?.asArray, results.count == commands.count else {
            throw .protocolViolation("EXEC did not answer with one reply for each command")
        }
        return results
    }

    // MARK: Scripts

    /// Runs a script by its digest; if the server does not know it, once more by its text.
    public func run(
        _ script: RedisScript, keys: [RedisArgument], arguments: [RedisArgument], timeout: TimeSpan? = nil
    ) async throws(RedisError) -> RESPValue {
        do {
            return try await send(script.runByDigest(keys: keys, arguments: arguments), timeout: timeout)
        } catch .server(let error) where error.isUnknownScript {
            return try await send(script.runBySource(keys: keys, arguments: arguments), timeout: timeout)
        }
    }

    /// Runs scripts in one pipeline and returns their replies in order. Those that the server does not know are sent again
    /// by their text, behind the others.
    public func run(
        _ calls: [RedisScriptCall], timeout: TimeSpan? = nil
    ) async throws(RedisError) -> [Result<RESPValue, RedisServerError>] {
        var results = try await send(
            calls.map { $0.script.runByDigest(keys: $0.keys, arguments: $0.arguments) }, timeout: timeout)
        let unknown = results.indices.filter { index in
            if case .failure(let error) = results[index] { error.isUnknownScript } else { false }
        }
        if unknown.isEmpty { return results }
        var known: Set<String> = []
        let again = try await send(
            unknown.map { index in
                let call = calls[index]
                return known.insert(call.script.digest).inserted
                    ? call.script.runBySource(keys: call.keys, arguments: call.arguments)
                    : call.script.runByDigest(keys: call.keys, arguments: call.arguments)
            }, timeout: timeout)
        for (index, result) in zip(unknown, again) { results[index] = result }
        return results
    }

    // MARK: Messages from the server

    /// Asks to be told of changes of all keys that begin with one of `prefixes`, whoever changes them
    /// (`CLIENT TRACKING ON BCAST`, Redis 6 and Valkey), on a connection of its own that is made anew when it breaks.
    ///
    /// `onChange` gets the changed keys, or nil if anything may have changed: after every new connection, the first one
    /// included, and after a `FLUSHALL`. It is called on an event loop and has to return quickly.
    /// Servers that cannot do this say so in the watch's `status`; the caller then has to ask from time to time.
    /// `onStatus` is called with each new status, in the same way: that is how one hears that the server cannot be reached
    /// before any call has failed.
    public func watch(
        prefixes: [String], keys onChange: @escaping @Sendable (_ changedKeys: [String]?) -> Void,
        onStatus: (@Sendable (RedisPushStatus) -> Void)? = nil
    ) -> RedisWatch {
        let status = RedisStatusBoard(onChange: onStatus)
        let watching = WatchPurpose(prefixes: prefixes, status: status, onChange: onChange)
        return RedisWatch(status: status, link: startLink(for: .watch(watching), status: status))
    }

    /// Listens to channels, on a connection of its own that is made anew when it breaks.
    ///
    /// `onEvent` is called on an event loop, in the order of events, and has to return quickly: nothing is stored in
    /// between, and messages that come while nobody listens are lost, as is the nature of channels.
    public func subscribe(
        channels: [String], onEvent: @escaping @Sendable (RedisSubscriptionEvent) -> Void
    ) -> RedisSubscription {
        let status = RedisStatusBoard()
        let subscribing = SubscriptionPurpose(channels: channels, status: status, onEvent: onEvent)
        return RedisSubscription(status: status, link: startLink(for: .subscription(subscribing), status: status))
    }

    private func startLink(for purpose: RedisLink.Purpose, status: RedisStatusBoard) -> RedisLink {
        let link = RedisLink(configuration, purpose: purpose)
        let isOpen = state.withLock { state in
            state.links = state.links.filter { !$0.isClosing }
            if !state.isClosed { state.links.append(link) }
            return !state.isClosed
        }
        if isOpen {
            link.start()
        } else {
            status.set(.closed)
            link.beginClosing()
        }
        return link
    }

    // MARK: The end

    /// Closes all connections; calls that wait or are under way fail with `.closed`, as do all later ones.
    public func close() async {
        let links = state.withLock { state in
            state.isClosed = true
            defer { state.links = [] }
            return state.links
        }
        for link in links + [commands] { link.beginClosing() }
        for link in links + [commands] { await link.waitUntilClosed() }
    }

    // MARK: Calls

    private func reply(to call: RedisCall) async throws(RedisError) -> RESPValue {
        switch await commands.outcome(of: call) {
        case .one(let reply): return reply
        case .many: throw .protocolViolation("several replies to one command")
        case .failed(let error): throw error
        }
    }

    private func replies(to call: RedisCall) async throws(RedisError) -> [RESPValue] {
        switch await commands.outcome(of: call) {
        case .one(let reply): return [reply]
        case .many(let replies): return replies
        case .failed(let error): throw error
        }
    }
}

extension RESPValue {
    fileprivate var asResult: Result<RESPValue, RedisServerError> {
        if case .error(let error) = self { .failure(error) } else { .success(self) }
    }
}

extension RedisServerError {
    /// Whether `EVALSHA` names a script that the server has not seen since it started, or was told to forget.
    fileprivate var isUnknownScript: Bool { code == "NOSCRIPT" }
}

import Basics
import Synchronization

/// Access tokens for Google's APIs: found as Google's own libraries find credentials, refreshed ahead of their expiry.
///
/// However many callers wait, one question is under way; while a token is valid nobody waits at all, and a failed refresh
/// does not take it away.
public final class GoogleCredentials: Sendable, CustomStringConvertible {
    private struct State {
        var schedule: TokenSchedule
        var waiters: [UInt64: CheckedContinuation<String, any Error>] = [:]
        var nextWaiter: UInt64 = 0
        var project: String?
    }

    private let source: any TokenSource
    private let configuration: GoogleCredentialsConfiguration
    private let now: @Sendable () -> Instant
    private let state: Mutex<State>

    /// Finds and checks credentials; reads at most one file and asks no server yet.
    ///
    /// - Throws: `GoogleAuthError.badFile` when the file that was named, or found, cannot be used.
    public convenience init(_ configuration: GoogleCredentialsConfiguration = .init()) throws(GoogleAuthError) {
        let start = ContinuousClock.now
        try self.init(configuration) {
            let (seconds, attoseconds) = (ContinuousClock.now - start).components
            return Instant(nanoseconds: seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        }
    }

    /// With a clock of the caller's, on a line that never jumps.
    init(
        _ configuration: GoogleCredentialsConfiguration, now: @escaping @Sendable () -> Instant
    ) throws(GoogleAuthError) {
        source = try configuration.findSource()
        self.configuration = configuration
        self.now = now
        state = Mutex(State(schedule: TokenSchedule(seed: .random(in: .min ... .max))))
    }

    /// The kind of credentials and the account, as in `service account robot@project.iam.gserviceaccount.com`; no secret.
    public var description: String { source.account }

    /// The project that calls are billed to where the credentials name one (header `x-goog-user-project`).
    public var quotaProject: String? { configuration.variable("GOOGLE_CLOUD_QUOTA_PROJECT") ?? source.quotaProject }

    /// A token that is valid now; waits only if there is none.
    ///
    /// - Throws: `GoogleAuthError`, or `CancellationError` when the caller's task is cancelled.
    public func token() async throws -> String {
        let ticket = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                answer(continuation, ticket: ticket)
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume(throwing: CancellationError())
        }
    }

    /// Says that a server did not take this token (gRPC `UNAUTHENTICATED`, HTTP 401); the next caller gets a fresh one.
    public func discard(_ token: String) { state.withLock { $0.schedule.discard(token) } }

    /// The project to work in: the configured one, `GOOGLE_CLOUD_PROJECT`, the one that the credentials file names, the one
    /// that the metadata server names.
    ///
    /// - Throws: `GoogleAuthError`, or `CancellationError` when the caller's task is cancelled.
    public func project() async throws -> String {
        let known =
            configuration.project ?? configuration.variable("GOOGLE_CLOUD_PROJECT") ?? source.knownProject
            ?? state.withLock { $0.project }
        if let known { return known }
        guard let asked = try await source.askProject() else {
            throw GoogleAuthError.noProject(
                reason: "neither the configuration, GOOGLE_CLOUD_PROJECT nor the \(source.account) names one")
        }
        state.withLock { $0.project = asked }
        return asked
    }

    private func answer(_ continuation: CheckedContinuation<String, any Error>, ticket: UInt64) {
        let answer = state.withLock { state in
            let answer = state.schedule.ask(now: now())
            if case .wait = answer { state.waiters[ticket] = continuation }
            return answer
        }
        switch answer {
        case .token(let token, let startsFetch):
            if startsFetch { startFetch() }
            continuation.resume(returning: token)
        case .wait(let startsFetch):
            // Cancellation may have come before the waiter was entered, and found nobody.
            if Task.isCancelled {
                state.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume(throwing: CancellationError())
            }
            if startsFetch { startFetch() }
        case .failed(let error): continuation.resume(throwing: error)
        }
    }

    /// A task of its own, because the callers that it is for come and go.
    private func startFetch() {
        Task { await self.fetchRound() }
    }

    private func fetchRound() async {
        while true {
            let asked = now()
            do {
                let token = try await source.fetch(now: asked)
                let waiters = state.withLock { state in
                    state.schedule.noteFetched(token, now: now())
                    return Self.takeWaiters(&state)
                }
                for waiter in waiters { waiter.resume(returning: token.value) }
                return
            } catch {
                let error = error as? GoogleAuthError ?? source.unavailable("asking was interrupted")
                let (next, waiters) = state.withLock { state in
                    let next = state.schedule.noteFailed(error, now: now())
                    return (next, next == .giveUp ? Self.takeWaiters(&state) : [])
                }
                guard case .fetchAgain(let pause) = next else {
                    for waiter in waiters { waiter.resume(throwing: error) }
                    return
                }
                // Nobody cancels this task.
                try? await Task.sleep(for: .nanoseconds(pause.nanoseconds))
            }
        }
    }

    private static func takeWaiters(_ state: inout State) -> [CheckedContinuation<String, any Error>] {
        defer { state.waiters = [:] }
        return Array(state.waiters.values)
    }
}

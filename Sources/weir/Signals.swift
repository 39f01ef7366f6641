import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// SIGTERM and SIGINT as something to await.
enum Signals {
    /// Suspends until the first of them; a second one then ends the process as usual.
    static func wait() async {
        let numbers = [SIGTERM, SIGINT]
        for number in numbers { signal(number, SIG_IGN) }
        let arrivals = AsyncStream<Void>(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let sources = numbers.map { number in
                let source = DispatchSource.makeSignalSource(signal: number)
                source.setEventHandler { continuation.yield() }
                source.resume()
                return SignalSource(source: source)
            }
            continuation.onTermination = { _ in for source in sources { source.source.cancel() } }
        }
        for await _ in arrivals { break }
        for number in numbers { signal(number, SIG_DFL) }
    }
}

/// Carries a source to where it is cancelled.
///
/// Unchecked because Dispatch does not declare its sources `Sendable`; `cancel()`, the only call made after the source has
/// been resumed, is documented as safe from any thread.
private struct SignalSource: @unchecked Sendable {
    let source: any DispatchSourceSignal
}

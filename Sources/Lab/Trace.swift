public import Basics

/// One request of a trace: when it comes and how long it is.
public struct TraceRequest: Hashable, Sendable {
    /// Time since the start of the trace.
    public var arrival: Instant
    /// Length of the prompt, in tokens.
    public var promptTokens: Int
    /// Length of the answer, in tokens.
    public var outputTokens: Int
    /// Chained hashes of the full 16-token blocks of the prompt; empty if nothing is known of shared prefixes.
    public var promptBlockHashes: [UInt64]
    /// Whose it is (the fairness id); empty where all requests are one tenant's.
    public var flow: String
    /// Its priority band.
    public var priority: Int

    /// Creates a request.
    public init(
        arrival: Instant, promptTokens: Int, outputTokens: Int, promptBlockHashes: [UInt64] = [], flow: String = "",
        priority: Int = 0
    ) {
        self.arrival = arrival
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
        self.promptBlockHashes = promptBlockHashes
        self.flow = flow
        self.priority = priority
    }
}

/// How a trace file is written.
public enum TraceFormat: String, Hashable, Sendable, CaseIterable {
    /// `TIMESTAMP,ContextTokens,GeneratedTokens` with wall-clock stamps (Azure/AzurePublicDataset, 2023).
    case azure
    /// One JSON object per line with `timestamp` (ms), `input_length`, `output_length`, `hash_ids` (Mooncake, FAST'25).
    case mooncake

    /// Reads a format's name.
    public init(named name: String) throws(LabError) {
        guard let format = TraceFormat(rawValue: name) else { throw .unknownFormat(name) }
        self = format
    }
}

/// Real-time requests in the order in which they arrive; the first one arrives at time zero.
public struct Trace: Hashable, Sendable {
    /// What to call it in reports.
    public var name: String
    /// The requests, by arrival.
    public private(set) var requests: [TraceRequest]

    /// Creates a trace; sorts the requests and moves the first one to time zero.
    public init(name: String, requests: [TraceRequest]) {
        self.name = name
        let sorted = requests.sorted { $0.arrival < $1.arrival }
        let origin = sorted.first?.arrival ?? .zero
        self.requests = sorted.map { request in
            var moved = request
            moved.arrival = .zero + (request.arrival - origin)
            return moved
        }
    }

    /// Reads a trace file.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - file: its name, for errors and reports.
    ///   - seed: of the jitter that spreads the 3 s grid of Mooncake time stamps.
    public init(bytes: [UInt8], format: TraceFormat, file: String, seed: UInt64) throws(LabError) {
        let requests =
            switch format {
            case .azure: try azureRequests(in: bytes, file: file)
            case .mooncake: try mooncakeRequests(in: bytes, file: file, seed: seed)
            }
        guard !requests.isEmpty else { throw .emptyFile(file) }
        self.init(name: file, requests: requests)
    }

    /// The time from the first to the last arrival.
    public var duration: TimeSpan { (requests.last?.arrival ?? .zero) - .zero }

    /// The trace at `factor` times its rate: time stamps are divided, which keeps clumps (`workloads.md` B.5).
    public func scaled(by factor: Double) -> Trace {
        mapArrivals { Instant(nanoseconds: Int64((Double($0.nanoseconds) / factor).rounded())) }
    }

    /// The requests that arrive within `duration` of the start.
    public func cut(to duration: TimeSpan) -> Trace {
        Trace(name: name, requests: Array(requests.prefix { $0.arrival - .zero <= duration }))
    }

    /// The trace with the part from `start` to `end` played `factor` times as fast, so that later requests move up.
    public func surging(from start: Instant, to end: Instant, factor: Double) -> Trace {
        let squeezed = (end - start) * (1 / factor)
        return mapArrivals { arrival in
            if arrival <= start { return arrival }
            if arrival >= end { return arrival - (end - start) + squeezed }
            return start + (arrival - start) * (1 / factor)
        }
    }

    private func mapArrivals(_ change: (Instant) -> Instant) -> Trace {
        Trace(
            name: name,
            requests: requests.map { request in
                var moved = request
                moved.arrival = change(request.arrival)
                return moved
            })
    }
}

import Basics
import DispatchGates

/// A gate and a clock for tests.
struct GateBench {
    var gate: DispatchGate
    var now = Instant(seconds: 100)

    init(_ configuration: GateConfiguration, staleAfter: TimeSpan? = nil) {
        gate = DispatchGate(configuration, owner: "test", staleAfter: staleAfter)
    }

    /// Reports the same reading of every source.
    mutating func read(_ reading: GateReading) {
        for source in gate.sources { gate.observe(reading, of: source, now: now) }
    }

    /// Reports a reading of the sources whose description contains a text.
    mutating func read(_ reading: GateReading, where text: String) {
        for source in gate.sources where source.description.contains(text) {
            gate.observe(reading, of: source, now: now)
        }
    }

    var budget: Double { gate.budget(now: now) }

    mutating func apply(_ id: UInt64, _ labels: [String: String] = [:], user: String? = nil) -> GateVerdict {
        gate.apply(GateSubject(id: id, metadata: user.map { ["userid": $0] } ?? [:], labels: labels), now: now)
    }

    mutating func pass(_ seconds: Double) { now = now + .seconds(seconds) }
}

extension GateVerdict {
    var isProceed: Bool { if case .proceed = self { true } else { false } }
    var isRefuse: Bool { if case .refuse = self { true } else { false } }

    var request: QuotaRequest? { if case .acquire(let request) = self { request } else { nil } }
}

func isNear(_ left: Double, _ right: Double) -> Bool { abs(left - right) < 1e-9 }

import DispatchGates
import Pool

/// Finds what gates look for on a page in Prometheus' text format.
enum MetricsPage {
    /// For each spec the first sample that has its name and labels; values that are not finite count as absent.
    static func readings(of specs: [MetricSpec], on page: [UInt8]) -> [GateReading] {
        var found = [Double?](repeating: nil, count: specs.count)
        page.withUnsafeBytes { bytes in
            PrometheusText.forEachSample(in: bytes, matching: specs) { index, sample in
                if found[index] == nil { found[index] = sample.value }
            }
        }
        return found.map { value in value.flatMap { $0.isFinite ? .value($0) : nil } ?? .absent }
    }
}

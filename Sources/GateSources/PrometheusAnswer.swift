import DispatchGates
import Foundation

/// Reads answers of Prometheus' instant query API (https://prometheus.io/docs/prometheus/latest/querying/api/).
enum PrometheusAnswer {
    private struct Envelope: Decodable {
        let status: String
        let data: Payload?
        let errorType: String?
        let error: String?
    }

    private struct Payload: Decodable {
        let resultType: String
        /// Nil for the types that are not read here.
        let first: Sample?
        let isEmpty: Bool

        private enum Key: CodingKey {
            case resultType
            case result
        }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.container(keyedBy: Key.self)
            resultType = try fields.decode(String.self, forKey: .resultType)
            switch resultType {
            case "scalar":
                first = try fields.decode(Sample.self, forKey: .result)
                isEmpty = false
            case "vector":
                var list = try fields.nestedUnkeyedContainer(forKey: .result)
                isEmpty = list.isAtEnd
                first = isEmpty ? nil : try list.decode(Series.self).value
            default:
                first = nil
                isEmpty = false
            }
        }
    }

    private struct Series: Decodable {
        /// Missing for native histograms.
        let value: Sample?
    }

    /// A pair of a time and a number as text.
    private struct Sample: Decodable {
        let number: String

        init(from decoder: any Decoder) throws {
            var pair = try decoder.unkeyedContainer()
            _ = try pair.decode(Double.self)
            number = try pair.decode(String.self)
        }
    }

    /// The first sample of an answer. Warnings are ignored; values that are not finite count as absent.
    static func reading(status: Int, body: [UInt8]) -> GateReading {
        guard let answer = try? JSONDecoder().decode(Envelope.self, from: Data(body)) else {
            return .failed(
                status == 200
                    ? "Prometheus' answer is not that of its query API" : "Prometheus answered with status \(status)")
        }
        guard status == 200, answer.status == "success", let data = answer.data else {
            let reason = [answer.errorType, answer.error].compactMap(\.self).joined(separator: ": ")
            return .failed("Prometheus refused the query (status \(status)) \(String(reason.prefix(300)))")
        }
        if data.isEmpty { return .absent }
        guard let sample = data.first else {
            return .failed("the query gives a \(String(data.resultType.prefix(40))), not a number or a list of numbers")
        }
        guard let number = Double(sample.number) else {
            return .failed("Prometheus' answer holds a value that is not a number")
        }
        return number.isFinite ? .value(number) : .absent
    }
}

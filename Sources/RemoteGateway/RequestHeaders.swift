import AsyncProcessor
import Basics
import InferenceAPI
import NIOHTTP1

/// Puts together the header fields of a target's requests (shared reference `async-processor.md` 3.7).
///
/// What a producer wrote comes first and never under a name that the target sets; what this process stamps on one request
/// comes last, in place of whatever else there is under its name.
struct RequestHeaders: Sendable {
    /// A message whose headers cannot be sent.
    struct Fault: Error, Hashable {
        let name: String
    }

    /// A fairness id is no longer, in bytes.
    private static let maximumFairnessBytes = 256
    /// No gateway lets anything wait longer.
    private static let longestTimeToLive = TimeSpan.seconds(366 * 86_400)

    private let target: RemoteTarget
    private let fixed: [(String, String)]
    private let fixedNames: Set<String>

    init(_ target: RemoteTarget) throws(RemoteGatewayError) {
        var fixed: [(String, String)] = []
        func add(_ name: String, _ value: String) throws(RemoteGatewayError) {
            guard ProducerHeaderRule.isName(name), ProducerHeaderRule.isValue(value), !Self.isFraming(name) else {
                throw .badHeader(name: name)
            }
            fixed.append((name.lowercased(), value))
        }
        for (name, value) in target.headers { try add(name, value) }
        if let token = target.token { try add(HeaderName.authorization, "Bearer \(token.value)") }
        if let objective = target.objective, !objective.isEmpty {
            try add(HeaderName.objective.newest, objective)
            if target.sendsOlderNames { try add(HeaderName.objective.older, objective) }
        }
        if let processor = target.processor { try add(CapacityFormat.processorHeader, processor) }
        if !target.fairnessAttribute.isEmpty, !ProducerHeaderRule.isName(target.fairnessHeader) {
            throw .badHeader(name: target.fairnessHeader)
        }
        if !fixed.contains(where: { $0.0 == "user-agent" }) { fixed.append(("user-agent", "weir")) }
        self.target = target
        self.fixed = fixed
        fixedNames = Set(fixed.map { $0.0 } + [target.fairnessHeader.lowercased()])
    }

    /// The header fields of the target that do not depend on a request.
    var fixedFields: HTTPHeaders { HTTPHeaders(fixed) }

    /// - Parameters:
    ///   - contentType: the body's, if a transform has changed it.
    ///   - remaining: the time to the deadline.
    func fields(
        for request: AsyncRequest, contentType: String?, remaining: TimeSpan
    ) throws(Fault) -> HTTPHeaders {
        var fields: [(String, String)] = []
        fields.reserveCapacity(fixed.count + request.headers.count + 6)
        var hasContentType = contentType != nil
        if let contentType { fields.append((HeaderName.contentType, contentType)) }
        for (name, value) in request.headers {
            let lower = name.lowercased()
            switch target.producerHeaders.verdict(lowercasedName: lower, value: value) {
            case .illegal: throw Fault(name: name)
            case .pass where lower == HeaderName.contentType:
                if !hasContentType { fields.append((lower, value)) }
                hasContentType = true
            case .pass where !fixedNames.contains(lower): fields.append((lower, value))
            case .pass, .leaveOut: break
            }
        }
        if !hasContentType { fields.append((HeaderName.contentType, "application/json")) }
        fields.append(contentsOf: fixed)
        if let fairness = fairnessID(of: request) { fields.append((target.fairnessHeader, fairness)) }
        let milliseconds = max(1, min(remaining, Self.longestTimeToLive).nanoseconds / 1_000_000)
        fields.append((HeaderName.queueTTL, "\(milliseconds)ms"))
        for name in [HeaderName.traceParent, HeaderName.traceState, "baggage"] {
            if let value = request.metadata[name], !value.isEmpty, ProducerHeaderRule.isValue(value) {
                fields.append((name, value))
            }
        }
        for (name, value) in request.stamps { stamp(name, value, on: &fields) }
        return HTTPHeaders(fields)
    }

    /// Sets a field over all others of its name. The objective has two names, and a gateway that knows both must not be told
    /// two things.
    private func stamp(_ name: String, _ value: String, on fields: inout [(String, String)]) {
        guard ProducerHeaderRule.isName(name), ProducerHeaderRule.isValue(value), !Self.isFraming(name) else { return }
        let name = name.lowercased()
        let objective = HeaderName.objective
        var replaced: Set = [name]
        var written: Set = [name]
        if name == objective.newest || name == objective.older {
            replaced = [objective.newest, objective.older]
            if target.sendsOlderNames { written = replaced }
        }
        fields.removeAll { replaced.contains($0.0.lowercased()) }
        for name in written.sorted() { fields.append((name, value)) }
    }

    private func fairnessID(of request: AsyncRequest) -> String? {
        guard !target.fairnessAttribute.isEmpty else { return nil }
        let candidates = [request.metadata[target.fairnessAttribute], request.tenant]
        return candidates.compactMap(\.self).first { value in
            (1...Self.maximumFairnessBytes).contains(value.utf8.count) && ProducerHeaderRule.isValue(value)
        }
    }

    private static func isFraming(_ name: String) -> Bool {
        ["host", "content-length", "connection", "transfer-encoding"].contains(name.lowercased())
    }
}

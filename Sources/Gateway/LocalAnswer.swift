import InferenceAPI
import NIOHTTP1
import PoolScheduler

/// What the gateway answers from its own knowledge: that it lives, and which models there are.
struct LocalAnswer {
    let status: Int
    let body: [UInt8]

    /// Nil if the request is for a model server.
    init?(_ head: HTTPRequestHead, path: InferencePath, isTrusted: Bool, core: GatewayCore) {
        guard head.method == .GET || head.method == .HEAD else { return nil }
        if isTrusted, let requestID = DecisionAnswer.requestID(in: head.uri) {
            guard let place = core.decisions.place(of: requestID),
                let receipt = place.pool.view({ scheduler, _ in scheduler.receipt(of: place.id) })
            else { return nil }
            status = 200
            body = DecisionAnswer.json(receipt, requestID: requestID, pool: place.pool.settings.name)
            return
        }
        let target = head.uri.prefix { $0 != "?" }
        if target == "/health" || target == "/healthz" {
            status = 200
            body = Array("{\"status\":\"ok\"}".utf8)
        } else if path == .models {
            status = 200
            body = Self.list(core.servedModels)
        } else if let name = Self.modelName(in: target), core.servedModels.contains(name) {
            status = 200
            body = Self.model(name)
        } else {
            return nil
        }
    }

    /// `x` of `/v1/models/x`. Names with slashes are common and come unescaped or escaped.
    private static func modelName(in target: Substring) -> String? {
        let prefix = "/v1/models/"
        guard target.hasPrefix(prefix) else { return nil }
        let pieces = target.dropFirst(prefix.count).split(separator: "%2F", omittingEmptySubsequences: false)
        return pieces.joined(separator: "/")
    }

    private static func list(_ models: [String]) -> [UInt8] {
        var output = Array("{\"object\":\"list\",\"data\":[".utf8)
        for (index, name) in models.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: model(name))
        }
        output.append(contentsOf: "]}".utf8)
        return output
    }

    private static func model(_ name: String) -> [UInt8] {
        var output = Array("{\"id\":".utf8)
        JSONText.appendString(name, to: &output)
        output.append(contentsOf: ",\"object\":\"model\",\"created\":0,\"owned_by\":\"weir\"}".utf8)
        return output
    }
}

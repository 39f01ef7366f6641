import InferenceAPI
import NIOHTTP1

/// Who a request is for.
enum RequestPurpose: Hashable {
    /// A model server.
    case modelServer
    /// The handler in this process; with a mode, it is to be queued.
    case handler(QueueMode?)
    /// Nobody.
    case refused(APIError)

    /// - Parameters:
    ///   - mode: what the header says.
    ///   - hasHandler: whether there is somebody to queue requests.
    init(_ head: HTTPRequestHead, path: InferencePath, mode: String?, hasHandler: Bool) {
        if path == .passthrough, Self.concernsRequests(head.uri) {
            self = hasHandler ? .handler(nil) : .refused(.noQueue)
            return
        }
        guard let mode else {
            self = .modelServer
            return
        }
        switch mode.lowercased() {
        case "passthrough", "realtime": self = .modelServer
        case QueueMode.enqueue.rawValue: self = Self.queue(.enqueue, head, hasHandler: hasHandler)
        case QueueMode.wait.rawValue: self = Self.queue(.wait, head, hasHandler: hasHandler)
        default:
            self = .refused(
                .invalidValue(of: HeaderName.mode.newest, expected: "enqueue, wait, passthrough or realtime"))
        }
    }

    private static func queue(_ mode: QueueMode, _ head: HTTPRequestHead, hasHandler: Bool) -> RequestPurpose {
        guard hasHandler else { return .refused(.modeNeedsQueue) }
        guard head.method == .POST else {
            return .refused(.methodNotAllowed(head.method.rawValue, allowed: "POST"))
        }
        return .handler(mode)
    }

    /// Whether the target is `/v1/requests` or below it.
    private static func concernsRequests(_ target: String) -> Bool {
        let prefix = "/v1/requests"
        guard target.hasPrefix(prefix) else { return false }
        let next = target.utf8.dropFirst(prefix.utf8.count).first
        return next == nil || next == UInt8(ascii: "/") || next == UInt8(ascii: "?") || next == UInt8(ascii: "#")
    }
}

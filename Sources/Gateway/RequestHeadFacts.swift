import InferenceAPI
import NIOHTTP1

/// What the gateway needs to know of a request's headers, gathered in one pass over them.
struct RequestHeadFacts {
    private(set) var hosts = 0
    private(set) var announcedBytes: Int?
    /// Whether the body comes in chunks; `codingIsUnknown` if in some other coding as well.
    private(set) var isChunked = false
    private(set) var codingIsUnknown = false
    /// Whether the client waits for leave to send its body; `expectationIsUnknown` if it expects something else.
    private(set) var expectsContinue = false
    private(set) var expectationIsUnknown = false
    private(set) var asksForUpgrade = false
    private(set) var hasControlHeaders = false
    private(set) var requestID: String?
    private var newestMode: String?
    private var olderMode: String?
    private(set) var authorization: String?
    /// The tenant that it names.
    private(set) var tenant: String?
    /// The remote processor that it names.
    private(set) var processor: String?
    /// Whether there are headers that speak to this gateway alone.
    private(set) var hasOwnHeaders = false

    /// A bit for the length of each header's name, by which most questions for a header are answered.
    private var nameLengths: UInt64 = 0

    /// Whether there may be a header of this name.
    func mayHave(_ name: String) -> Bool { nameLengths & Self.lengthBit(of: name) != 0 }

    private static func lengthBit(of name: String) -> UInt64 { 1 << UInt64(min(name.utf8.count, 63)) }

    /// What is to become of the request, if it says.
    var mode: String? { newestMode ?? olderMode }

    /// Whether a body is announced, be it empty.
    var hasBody: Bool { announcedBytes != nil || isChunked }

    init(_ headers: HTTPHeaders) {
        for (name, value) in headers {
            nameLengths |= Self.lengthBit(of: name)
            switch name.utf8.count {
            case 4 where MessageHeaders.same(name, "host"): hosts += 1
            case 6 where MessageHeaders.same(name, "expect"):
                let isKnown = MessageHeaders.same(value, "100-continue")
                expectsContinue = expectsContinue || isKnown
                expectationIsUnknown = expectationIsUnknown || !isKnown
            case 7 where MessageHeaders.same(name, "upgrade"): asksForUpgrade = true
            case 13 where MessageHeaders.same(name, HeaderName.authorization):
                authorization = authorization ?? value
            case 12 where MessageHeaders.same(name, HeaderName.requestID):
                if requestID == nil, Self.isAcceptable(requestID: value) { requestID = value }
            case 14 where MessageHeaders.same(name, HeaderName.contentLength): announcedBytes = Int(value)
            case 17 where MessageHeaders.same(name, "transfer-encoding"):
                codingIsUnknown = codingIsUnknown || isChunked || !MessageHeaders.same(value, "chunked")
                isChunked = true
            default:
                guard HeaderName.isControl(name) else { continue }
                hasControlHeaders = true
                if HeaderName.isForWeirAlone(name) { noteOwn(name, value) }
            }
        }
    }

    private mutating func noteOwn(_ name: String, _ value: String) {
        if MessageHeaders.same(name, HeaderName.mode.newest) {
            newestMode = newestMode ?? value
        } else if MessageHeaders.same(name, HeaderName.mode.older) {
            olderMode = olderMode ?? value
        } else if MessageHeaders.same(name, HeaderName.tenant) {
            tenant = tenant ?? value
        } else if MessageHeaders.same(name, CapacityStream.processorHeader) {
            processor = processor ?? value
        }
        hasOwnHeaders = true
    }

    /// Whether a correlation id is fit for headers and logs: 1 to 128 visible ASCII characters.
    private static func isAcceptable(requestID: String) -> Bool { isShortName(requestID) }

    /// Whether a name is fit for headers and logs: 1 to 128 visible ASCII characters.
    static func isShortName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count) && name.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

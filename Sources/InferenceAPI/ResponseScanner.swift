/// Reads a response as it passes by and keeps its token counts; never holds back or stores a byte of it.
///
/// In an event stream it counts the events that carry output (normally one token each), finds usage, errors and the
/// closing `[DONE]`; in a JSON body it finds usage and an error object. Pieces may be cut anywhere. What it cannot read
/// it ignores: the response is the client's business.
public struct ResponseScanner: Sendable {
    /// The form of a body.
    public enum Body: Sendable {
        /// Server-sent events.
        case eventStream
        /// One JSON object.
        case json
        /// Anything else, including compressed bodies; not read.
        case opaque

        /// The form that the response headers announce.
        public init(contentType: String?, contentEncoding: String? = nil) {
            func starts(with prefix: String) -> Bool {
                guard let contentType, contentType.utf8.count >= prefix.utf8.count else { return false }
                return zip(contentType.utf8, prefix.utf8).allSatisfy { $0 | 0x20 == $1 | 0x20 }
            }
            if let contentEncoding, !contentEncoding.isEmpty, contentEncoding != "identity" {
                self = .opaque
            } else if contentType == "application/json" {
                self = .json
            } else if starts(with: "text/event-stream") {
                self = .eventStream
            } else if starts(with: "application/json") {
                self = .json
            } else {
                self = .opaque
            }
        }
    }

    /// What the line being read is, in an event stream.
    private enum Line: Sendable {
        /// So many bytes of `data:` have been seen, and nothing else.
        case field(matched: Int)
        /// A line of another field, or a comment.
        case skipped
        /// `data:` has been read; one space may follow.
        case dataBegins
        /// Inside data that is JSON.
        case json
        /// Inside data of which so many bytes matched `[DONE]`.
        case marker(matched: Int)
    }

    private static let fieldName: StaticString = "data:"
    private static let doneMarker: StaticString = "[DONE]"

    private let body: Body
    private var tokenizer = JSONTokenizer()
    private var visitor: ResponseVisitor
    private var line = Line.field(matched: 0)
    private var lineFeedIsDue = false

    /// Events so far that carry generated output. Always 0 unless the body is an event stream.
    public private(set) var outputEvents = 0
    /// Whether `data: [DONE]` has passed.
    public private(set) var isDone = false

    /// The latest token counts, nil until some have passed.
    public var usage: TokenUsage? { visitor.usage }
    /// Whether an `error` has passed, in the body or in any event.
    public var hasError: Bool { visitor.hasError }

    /// Whether the server says how many prompt tokens it had cached, be it none.
    public var reportsCachedTokens: Bool { visitor.reportsCachedTokens }
    /// The prompt's chain of hashed blocks, continued by what has been generated so far: by the first choice's content or
    /// text. The prompt's alone if there was reasoning before it, which is not part of the next turn's prompt.
    public var blocks: PromptBlocks { visitor.answer.blocks }

    /// Creates a scanner at the beginning of a body.
    ///
    /// - Parameter answer: the chain of the request's prompt (`RequestBodyScanner.promptChain`), for `blocks`.
    public init(_ body: Body, continuing answer: AnswerHasher = .none) {
        self.body = body
        visitor = ResponseVisitor(continuing: answer)
    }

    /// Reads the next bytes of the body.
    public mutating func consume(_ bytes: UnsafeRawBufferPointer) {
        switch body {
        case .opaque: break
        case .json: tokenizer.consume(bytes, visitor: &visitor)
        case .eventStream: consumeEvents(bytes)
        }
    }

    private mutating func consumeEvents(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        let end = bytes.count
        var position = 0
        while position < end {
            let byte = base.load(fromByteOffset: position, as: UInt8.self)
            if lineFeedIsDue {
                lineFeedIsDue = false
                if byte == 0x0A {
                    position &+= 1
                    continue
                }
            }
            if byte == 0x0A || byte == 0x0D {
                lineFeedIsDue = byte == 0x0D
                endLine()
                position &+= 1
                continue
            }
            switch line {
            case .field(let matched):
                position &+= 1
                if byte != Self.fieldName.utf8Start[matched] {
                    line = .skipped
                } else {
                    let isWhole = matched &+ 1 == Self.fieldName.utf8CodeUnitCount
                    line = isWhole ? .dataBegins : .field(matched: matched &+ 1)
                }
            case .dataBegins:
                if byte == 0x20 {
                    position &+= 1
                } else {
                    line = byte == UInt8(ascii: "[") ? .marker(matched: 0) : .json
                }
            case .marker(let matched):
                position &+= 1
                guard matched < Self.doneMarker.utf8CodeUnitCount, byte == Self.doneMarker.utf8Start[matched] else {
                    line = .skipped
                    continue
                }
                line = .marker(matched: matched &+ 1)
                if matched &+ 1 == Self.doneMarker.utf8CodeUnitCount { isDone = true }
            case .skipped:
                position = ByteSearch.offset(of: 0x0A, or: 0x0D, in: base, from: position, to: end)
            case .json:
                let lineEnd = ByteSearch.offset(of: 0x0A, or: 0x0D, in: base, from: position, to: end)
                let run = UnsafeRawBufferPointer(start: base + position, count: lineEnd &- position)
                tokenizer.consume(run, visitor: &visitor)
                if visitor.takeOutput() { outputEvents &+= 1 }
                position = lineEnd
            }
        }
    }

    /// A blank line ends an event. So does the end of a whole JSON object, which forgives servers that send no blank
    /// line; an object that is not whole goes on in the event's next `data:` line.
    private mutating func endLine() {
        switch line {
        case .field(matched: 0): resetEvent()
        case .json where tokenizer.isComplete: resetEvent()
        default: break
        }
        line = .field(matched: 0)
    }

    private mutating func resetEvent() {
        tokenizer.reset()
        visitor.beginEvent()
    }
}

import NIOCore
import NIOHTTP1

/// Writes HTTP/1.1 messages and gathers their pieces, so that a short one goes through the pipeline in one write.
///
/// Each write costs about as much as copying some thousand bytes; a message in NIO's own encoders takes three.
struct MessageWriter {
    /// Pieces up to this long are copied behind the others; longer ones are passed on as they are.
    private static let copyLimitBytes = 4096
    /// What is gathered is passed on before it grows beyond this, so that the channel's water marks see it.
    private static let gatherLimitBytes = 16 << 10

    private var gathered: ByteBuffer?
    private var isChunked = false

    mutating func begin(_ head: HTTPRequestHead, isChunked: Bool) {
        self.isChunked = isChunked
        var buffer = takeBuffer()
        buffer.writeText(head.method.rawValue, " ", head.uri, " HTTP/1.1\r\n")
        buffer.writeFields(head.headers)
        gathered = buffer
    }

    mutating func begin(_ status: HTTPResponseStatus, _ headers: HTTPHeaders, isChunked: Bool) {
        self.isChunked = isChunked
        var buffer = takeBuffer()
        if status == .ok {
            buffer.writeStaticString("HTTP/1.1 200 OK\r\n")
        } else {
            buffer.writeText("HTTP/1.1 ", String(status.code), " ", status.reasonPhrase, "\r\n")
        }
        buffer.writeFields(headers)
        gathered = buffer
    }

    mutating func body(_ piece: ByteBuffer, to context: ChannelHandlerContext) {
        let bytes = piece.readableBytes
        // An empty chunk would end the body.
        guard bytes > 0 else { return }
        if isChunked {
            var buffer = takeBuffer()
            buffer.writeText(String(bytes, radix: 16), "\r\n")
            gathered = buffer
        }
        if bytes > Self.copyLimitBytes {
            pass(to: context)
            context.write(NIOAny(piece), promise: nil)
        } else {
            var buffer = takeBuffer()
            buffer.writeImmutableBuffer(piece)
            gathered = buffer
        }
        if isChunked {
            var buffer = takeBuffer()
            buffer.writeStaticString("\r\n")
            gathered = buffer
        }
        if let gathered, gathered.readableBytes > Self.gatherLimitBytes { pass(to: context) }
    }

    mutating func end() {
        guard isChunked else { return }
        var buffer = takeBuffer()
        buffer.writeStaticString("0\r\n\r\n")
        gathered = buffer
    }

    /// Hands over what has been gathered; to be called before every flush.
    mutating func pass(to context: ChannelHandlerContext, promise: EventLoopPromise<Void>? = nil) {
        if let gathered {
            self.gathered = nil
            context.write(NIOAny(gathered), promise: promise)
        } else if let promise {
            context.write(NIOAny(ByteBuffer()), promise: promise)
        }
    }

    /// The buffer, out of the property, so that it is written in place.
    private mutating func takeBuffer() -> ByteBuffer {
        defer { gathered = nil }
        return gathered ?? ByteBufferAllocator().buffer(capacity: 2048)
    }
}

extension ByteBuffer {
    fileprivate mutating func writeText(_ parts: String...) {
        for part in parts { writeString(part) }
    }

    /// Header lines and the blank line behind them, in one go.
    fileprivate mutating func writeFields(_ headers: HTTPHeaders) {
        var size = 2
        for (name, value) in headers { size += name.utf8.count + value.utf8.count + 4 }
        writeWithUnsafeMutableBytes(minimumWritableBytes: size) { bytes in
            var position = 0
            for (name, value) in headers {
                position = Self.put(name, UInt16(bigEndian: 0x3A20), into: bytes, at: position)
                position = Self.put(value, UInt16(bigEndian: 0x0D0A), into: bytes, at: position)
            }
            return Self.put("", UInt16(bigEndian: 0x0D0A), into: bytes, at: position)
        }
    }

    /// Stores a text and the two bytes behind it, and returns where they end.
    @inline(__always)
    private static func put(
        _ text: String, _ ending: UInt16, into bytes: UnsafeMutableRawBufferPointer, at position: Int
    ) -> Int {
        var text = text
        let end = text.withUTF8 { utf8 in
            UnsafeMutableRawBufferPointer(rebasing: bytes[position...]).copyMemory(from: UnsafeRawBufferPointer(utf8))
            return position + utf8.count
        }
        bytes.storeBytes(of: ending, toByteOffset: end, as: UInt16.self)
        return end + 2
    }
}

/// Encodes requests on an upstream connection. Heads come through the pipeline, because NIO's decoder has to see them to
/// know what it decodes; bodies are handed over directly.
final class RequestWriter: ChannelOutboundHandler {
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = ByteBuffer

    private var writer = MessageWriter()
    private var context: ChannelHandlerContext?
    /// Whether the body of the next request will be sent in chunks.
    var isChunked = false

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .head(let head) = unwrapOutboundIn(data) { writer.begin(head, isChunked: isChunked) }
        promise?.succeed()
    }

    func body(_ piece: ByteBuffer) {
        if let context { writer.body(piece, to: context) }
    }

    func end() { writer.end() }

    func flush(context: ChannelHandlerContext) {
        writer.pass(to: context)
        context.flush()
    }
}

import NIOCore

/// The part of a request body that is kept in memory, in the buffers in which it arrived.
struct HeldBody {
    /// A piece shorter than this is copied to the end of the piece before: a client that sends its body byte by byte would
    /// otherwise make every byte cost a buffer.
    private static let smallPieceBytes = 4096

    private(set) var pieces: [ByteBuffer] = []
    private(set) var bytes = 0

    mutating func append(_ piece: ByteBuffer) {
        guard piece.readableBytes > 0 else { return }
        bytes += piece.readableBytes
        if piece.readableBytes < Self.smallPieceBytes, let last = pieces.indices.last {
            pieces[last].writeImmutableBuffer(piece)
        } else {
            pieces.append(piece)
        }
    }

    /// Puts other bytes in the place of those in `range`, which counts from the body's first byte.
    ///
    /// Only the pieces that hold the range are copied.
    mutating func replace(_ range: Range<Int>, with replacement: [UInt8]) {
        guard range.upperBound <= bytes else { return }
        var spliced: [ByteBuffer] = []
        var offset = 0
        var isReplaced = false
        for piece in pieces {
            let end = offset + piece.readableBytes
            if end <= range.lowerBound || offset >= range.upperBound {
                spliced.append(piece)
            } else {
                let view = piece.readableBytesView
                var part = ByteBuffer()
                part.writeBytes(view.prefix(max(0, range.lowerBound - offset)))
                if !isReplaced { part.writeBytes(replacement) }
                isReplaced = true
                part.writeBytes(view.dropFirst(max(0, range.upperBound - offset)))
                if part.readableBytes > 0 { spliced.append(part) }
            }
            offset = end
        }
        guard isReplaced else { return }
        pieces = spliced
        bytes += replacement.count - range.count
    }

    /// Lets go of everything.
    mutating func removeAll() {
        pieces = []
        bytes = 0
    }
}

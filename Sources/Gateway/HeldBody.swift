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

    /// Lets go of everything.
    mutating func removeAll() {
        pieces = []
        bytes = 0
    }
}

/// The three acts of the demo: the same real-time traffic, and three ways to treat a pile of batch work beside it.
enum Act: Int, CaseIterable, Hashable, Sendable {
    /// Real-time traffic alone: what its users are used to.
    case alone
    /// Messages are pushed at the pool as they come; each has one chance.
    case direct
    /// The same messages go through the queue and the processor.
    case processor

    /// The name in the table.
    var name: String {
        switch self {
        case .alone: "real-time alone"
        case .direct: "+ direct push"
        case .processor: "+ Weir's queue"
        }
    }

    /// One line that tells the audience what they are about to see.
    var introduction: String {
        switch self {
        case .alone: "Real-time chat alone, with bursts. This is what its users are used to."
        case .direct: "The same chat, and a bulk push of messages straight at the pool: no queue, no retry."
        case .processor: "The same chat, and the same messages through Weir's queue: they fill the gaps."
        }
    }
}

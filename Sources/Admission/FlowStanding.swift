/// How a flow stands to the others of its band, where flows are kept from each other.
public enum FlowStanding: Hashable, Sendable {
    /// It starts what fits, like anybody.
    case free
    /// It got far more than the others, and still would; now it has no more than they have on average.
    case withinShare
    /// The same, and it has more than they have.
    case aboveShare
}

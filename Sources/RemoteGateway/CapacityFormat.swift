/// The names of the capacity feed, version 1, as both ends know them.
enum CapacityFormat {
    /// Where a gateway serves its feed.
    static let path = "/weir/v1/capacity"
    /// Names the processor, on the feed's request and on those that count against its credit.
    static let processorHeader = "x-weir-processor"
    /// The version that this side reads.
    static let version = 1
}

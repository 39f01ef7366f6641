import Basics

/// Sums over requests that wait.
struct WaitingAmounts {
    var requests = 0
    var bytes = 0
    var tokens = 0

    mutating func add(_ place: WaitingSlots.Place) {
        requests += 1
        bytes += place.bytes
        tokens += place.use.total
    }

    mutating func add(_ request: WaitingRequest) {
        requests += 1
        bytes += request.bytes
        tokens += request.use.total
    }

    mutating func subtract(_ place: WaitingSlots.Place) {
        requests -= 1
        bytes -= place.bytes
        tokens -= place.use.total
    }
}

/// The requests that wait, in dense columns; a place that becomes free is used again.
struct WaitingSlots {
    /// What is needed of a request at every step; the request itself, which holds references, is touched but twice.
    struct Place {
        var band = 0
        var flow = 0
        /// The instant from which ageing and the band's time to live are counted.
        var since = Instant.zero
        var priority = 0
        var bytes = 0
        var use = TokenUse.none
        var countsAgainstLimits = true
        /// Whether it is in the heap of expiries.
        var expiresAlone = false

        var isRealtime: Bool { priority >= 0 }
    }

    private(set) var requests: [WaitingRequest] = []
    var places: [Place] = []
    /// Where each is in the heap that orders it, and in the heap of expiries (meaningless where it is in none).
    var orderPositions: [Int32] = []
    var expiryPositions: [Int32] = []
    /// Neighbours in the order of arrival, in the band and in the flow.
    var links: [Link] = []
    var flowLinks: [Link] = []
    private var free: [Int] = []
    private var slotOfRequest = SlotTable()

    var count: Int { slotOfRequest.count }

    func slot(of id: UInt64) -> Int? { slotOfRequest[id] }

    mutating func insert(_ request: WaitingRequest, band: Int, since: Instant) -> Int {
        let place = Place(
            band: band, since: since, priority: request.priority, bytes: request.bytes, use: request.use,
            countsAgainstLimits: request.countsAgainstLimits)
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            requests[slot] = request
            places[slot] = place
        } else {
            slot = requests.count
            requests.append(request)
            places.append(place)
            orderPositions.append(-1)
            expiryPositions.append(-1)
            links.append(Link())
            flowLinks.append(Link())
        }
        slotOfRequest.insert(request.id, slot: slot)
        return slot
    }

    mutating func free(_ slot: Int) -> WaitingRequest {
        var request = WaitingRequest.nobody
        swap(&request, &requests[slot])
        slotOfRequest.remove(request.id)
        free.append(slot)
        return request
    }
}

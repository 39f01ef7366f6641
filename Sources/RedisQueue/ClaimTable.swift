import Basics
import Delivery

/// A claim that this process holds, with what it takes to end it.
struct HeldClaim: Sendable {
    /// Its key in the queue's hashes.
    let key: [UInt8]
    /// Its token and more; whoever has another one has lost.
    let owner: [UInt8]
    /// The score at which the member waited.
    let score: String
    let id: String
    let fields: InternalFields
    /// Where a new `internal` object goes.
    let internalPlace: InternalPlace
    /// Where the result goes.
    let route: ResultRoute
    /// An earlier try to settle it whose outcome is not known.
    var uncertain: CommitPlace?
    /// Whether somebody has been told that it is to be cancelled.
    var cancellationIsTold = false
    /// Settlements of it that are under way.
    var settlements = 0

    var request: RequestName { RequestName(id: id, token: fields.token) }

    /// Whether it may have ended by our own doing, so that it must not be taken for lost because it is not there.
    var mayHaveEnded: Bool { settlements > 0 || uncertain != nil }
}

/// One use of an id: an id can be used again, and who cancels one use does not mean the other.
struct RequestName: Hashable, Sendable {
    let id: String
    let token: String
}

/// Where a result is pushed.
struct ResultRoute: Hashable, Sendable {
    let list: String
    /// How long the list is kept after the push, in seconds; 0 leaves it as it is.
    let lifetime: Int
}

/// One settlement in a batch: the key under which the batch's outcome is stored, and the place in it, from 1.
struct CommitPlace: Hashable, Sendable {
    let key: String
    let place: Int
}

/// The claims of this process: those that have been handed out, and those in stock that wait for their target.
struct ClaimTable {
    /// Claimed messages of targets that nothing may be taken of now; bounded in number and bytes.
    private(set) var stock = MessageStock()
    /// Whether nothing more is to be handed out, nor to lie here.
    private(set) var isStopped = false
    private var claims: [Lease: HeldClaim] = [:]
    private var leases: [String: Set<Lease>] = [:]
    private var lastSequence: Int64 = 0
    /// Ids in hand whose cancel key has changed and has not been looked at since.
    private var changedIDs: Set<String> = []

    /// Claims held.
    var count: Int { claims.count }

    /// All leases held.
    var held: [Lease] { Array(claims.keys) }

    mutating func insert(_ claim: HeldClaim, token: Int64) -> Lease {
        lastSequence += 1
        let lease = Lease(sequence: lastSequence, token: token)
        claims[lease] = claim
        leases[claim.id, default: []].insert(lease)
        return lease
    }

    subscript(lease: Lease) -> HeldClaim? { claims[lease] }

    mutating func beginSettling(_ lease: Lease) { claims[lease]?.settlements += 1 }

    mutating func endSettling(_ lease: Lease) { claims[lease]?.settlements -= 1 }

    mutating func remember(_ place: CommitPlace, for lease: Lease) { claims[lease]?.uncertain = place }

    @discardableResult
    mutating func remove(_ lease: Lease) -> HeldClaim? {
        guard let claim = claims.removeValue(forKey: lease) else { return nil }
        stock.remove(lease)
        leases[claim.id]?.remove(lease)
        if leases[claim.id]?.isEmpty == true {
            leases[claim.id] = nil
            changedIDs.remove(claim.id)
        }
        return claim
    }

    // MARK: Stock

    /// Nothing is handed out from now on.
    mutating func stop() { isStopped = true }

    /// Takes a message into stock; false if it is not to lie there.
    mutating func put(_ message: LeasedMessage) -> Bool {
        if !isStopped { stock.insert(message) }
        return !isStopped
    }

    mutating func take(limit: Int, excluding targets: Set<String>) -> [LeasedMessage] {
        stock.take(limit: limit, excluding: targets)
    }

    mutating func takeOverdue(before instant: Instant, limit: Int) -> [LeasedMessage] {
        stock.takeOverdue(before: instant, limit: limit)
    }

    /// Takes one message out of stock that is not to be handed out; nil if it is not there.
    mutating func takeFromStock(_ lease: Lease) -> LeasedMessage? { stock.remove(lease) }

    mutating func hasStock(excluding targets: Set<String>) -> Bool { stock.hasMessage(excluding: targets) }

    // MARK: Cancellations

    /// Notes that cancel keys have changed; nil stands for all. Returns whether any of them is of a message in hand.
    mutating func noteChanges(of ids: [String]?) -> Bool {
        if let ids {
            changedIDs.formUnion(ids.lazy.filter { [leases] in leases[$0] != nil })
        } else {
            changedIDs.formUnion(leases.keys)
        }
        return !changedIDs.isEmpty
    }

    /// The requests in hand with this id, as far as they have a token.
    func requests(of id: String) -> Set<RequestName> {
        Set((leases[id] ?? []).compactMap { claims[$0]?.request }.filter { !$0.token.isEmpty })
    }

    /// Up to `limit` ids whose cancel keys are to be looked at.
    mutating func takeChangedIDs(limit: Int) -> [String] {
        let ids = Array(changedIDs.prefix(limit))
        changedIDs.subtract(ids)
        return ids
    }

    /// The leases of the request that nobody has been told of yet.
    mutating func tellCancellation(of request: RequestName) -> [Lease] {
        var told: [Lease] = []
        for lease in leases[request.id] ?? [] where claims[lease]?.request == request {
            if claims[lease]?.cancellationIsTold == true { continue }
            claims[lease]?.cancellationIsTold = true
            told.append(lease)
        }
        return told
    }
}

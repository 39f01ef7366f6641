/// Whose turn it is among flows that have work waiting: deficit round robin on what their requests cost.
///
/// Deficit round robin (Shreedhar and Varghese, 1995) visits flows in a ring and lets each send a quantum per round;
/// here as in its surplus form a flow may overdraw its quantum with its last request and then sits out the rounds that
/// it has used up. A flow that has consumed `c` is therefore in round `⌊c / quantum⌋`, and the next to send is the one
/// of the lowest round that entered it first. Kept in a heap, rounds in which nobody could send need not be walked: a
/// pick costs O(log flows) however large requests are. Round robin is the case in which every request costs one
/// quantum.
///
/// - A flow that had nothing waiting joins the end of the ring, that is the next round: unused turns are not saved up,
///   and no stream of newcomers can keep out who is there. What it has overdrawn stays.
/// - A refund never takes a flow back to before it joined, for the same reason.
struct FlowTurns {
    private struct Account {
        var weight = 1.0
        /// Cost charged so far, divided by the weight.
        var consumed = 0.0
        /// `consumed` when the flow last joined: refunds end here.
        var joinedAt = 0.0
        /// Whether it goes behind all flows that do not.
        var isBehind = false
    }

    /// Added to the rounds of flows that go behind the others; rounds stay below it.
    private static let behind: Int64 = 1 << 62

    let quantum: Double
    private var accounts: [Account] = []
    private var ring = SlotHeap()
    private var positions: [Int32] = []
    private var entries: UInt64 = 0
    /// The highest round in which anybody has sent.
    private var currentRound: Int64 = 0

    init(quantum: Double) { self.quantum = max(quantum, 1) }

    /// The flow whose turn it is; nil if none has work waiting.
    var next: Int? { ring.first?.slot }
    var waitingFlows: Int { ring.items.count }

    func weight(of flow: Int) -> Double { accounts[flow].weight }

    func isBehind(_ flow: Int) -> Bool { accounts[flow].isBehind }

    func isWaiting(_ flow: Int) -> Bool { positions[flow] >= 0 }

    /// Whether a flow that does not wait would be better off as a newcomer.
    func isInDebt(_ flow: Int) -> Bool { !ring.isEmpty && accounts[flow].consumed > start(of: currentRound + 1) }

    mutating func addFlow(_ flow: Int, weight: Double) {
        while accounts.count <= flow {
            accounts.append(Account())
            positions.append(-1)
        }
        accounts[flow] = Account(weight: max(weight, 1e-6))
    }

    /// The flow has work waiting from now on.
    mutating func join(_ flow: Int) {
        lift(flow, to: ring.isEmpty ? currentRound : currentRound + 1)
        entries += 1
        let item = SlotHeap.Item(key: key(flow, accounts[flow].consumed), tie: entries, slot: flow)
        ring.insert(item, positions: &positions)
    }

    /// The flow has no more work waiting.
    mutating func leave(_ flow: Int) { ring.remove(slot: flow, positions: &positions) }

    /// A request of a flow that waits was sent.
    mutating func charge(_ flow: Int, cost: Double) {
        currentRound = max(currentRound, round(of: accounts[flow].consumed))
        add(cost, to: flow)
    }

    /// A request of a flow was sent without waiting. Nobody was kept waiting by it, so the round goes on with it unless
    /// others wait.
    mutating func chargeUnqueued(_ flow: Int, cost: Double) {
        if !isWaiting(flow) { lift(flow, to: currentRound) }
        if ring.isEmpty { currentRound = max(currentRound, round(of: accounts[flow].consumed)) }
        add(cost, to: flow)
    }

    /// From now on a flow goes behind all others that wait, or no longer.
    mutating func setBehind(_ flow: Int, _ isBehind: Bool) {
        guard accounts[flow].isBehind != isBehind else { return }
        accounts[flow].isBehind = isBehind
        updateRing(flow)
    }

    /// A request turned out to have cost `difference` more (less, if negative) than was charged.
    mutating func settle(_ flow: Int, difference: Double) {
        let refunded = max(accounts[flow].consumed + difference / accounts[flow].weight, accounts[flow].joinedAt)
        accounts[flow].consumed = difference < 0 ? min(refunded, accounts[flow].consumed) : refunded
        updateRing(flow)
    }

    /// The flows in the order in which they would send `limit` requests, given the cost of each flow's nth request; nil
    /// ends a flow.
    func order(limit: Int, cost: (_ flow: Int, _ number: Int) -> Double?) -> [(flow: Int, number: Int)] {
        var order: [(flow: Int, number: Int)] = []
        var simulated = SlotHeap()
        var positions = self.positions
        var entries = self.entries
        for item in ring.items { simulated.insert(item, positions: &positions) }
        var sent: [Int: (number: Int, consumed: Double)] = [:]
        while order.count < limit, let item = simulated.first {
            let state = sent[item.slot] ?? (0, accounts[item.slot].consumed)
            guard let cost = cost(item.slot, state.number) else {
                simulated.remove(slot: item.slot, positions: &positions)
                continue
            }
            order.append((item.slot, state.number))
            let consumed = state.consumed + cost / accounts[item.slot].weight
            sent[item.slot] = (state.number + 1, consumed)
            entries += 1
            let entered = Self.entering(key(item.slot, consumed), item, entries)
            simulated.update(slot: item.slot, to: entered, positions: &positions)
        }
        return order
    }

    private mutating func lift(_ flow: Int, to round: Int64) {
        let start = start(of: round)
        accounts[flow].consumed = max(accounts[flow].consumed, start)
        accounts[flow].joinedAt = start
    }

    private mutating func add(_ cost: Double, to flow: Int) {
        accounts[flow].consumed += cost / accounts[flow].weight
        updateRing(flow)
    }

    private mutating func updateRing(_ flow: Int) {
        guard isWaiting(flow) else { return }
        entries += 1
        let item = Self.entering(key(flow, accounts[flow].consumed), ring.items[Int(positions[flow])], entries)
        ring.update(slot: flow, to: item, positions: &positions)
    }

    /// The item in a round: behind those that are in it already, if it is a later one than before.
    private static func entering(_ key: Int64, _ item: SlotHeap.Item, _ entry: UInt64) -> SlotHeap.Item {
        SlotHeap.Item(key: key, tie: key > item.key ? entry : item.tie, slot: item.slot)
    }

    private func key(_ flow: Int, _ consumed: Double) -> Int64 {
        round(of: consumed) + (accounts[flow].isBehind ? Self.behind : 0)
    }

    private func round(of consumed: Double) -> Int64 { Int64(min(consumed / quantum, 4e18)) }

    private func start(of round: Int64) -> Double { Double(round) * quantum }
}

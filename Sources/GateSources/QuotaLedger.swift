import Basics
import DispatchGates

/// What this process holds of shared quotas and what it still owes. Pure: time is passed in.
struct QuotaLedger: Sendable {
    private struct Holding {
        let request: QuotaRequest
        var renewed: Instant
    }

    private struct Debt {
        let request: QuotaRequest
        let expires: Instant
    }

    /// The reference's figure for a window that is not set (shared reference `async-processor.md` 4.2).
    static let usualLife = TimeSpan.seconds(300)
    /// Shorter lives would have to be renewed all the time.
    static let shortestLife = TimeSpan.seconds(1)

    private var holdings: [String: Holding] = [:]
    private var debts: [String: Debt] = [:]

    /// How long a slot or a token counts without news of it.
    static func life(_ request: QuotaRequest) -> TimeSpan {
        guard request.window > .zero else { return usualLife }
        return request.mode == .concurrency ? max(request.window, shortestLife) : request.window
    }

    /// Slots held.
    var held: Int { holdings.count }
    /// Slots and tokens that could not be given back yet.
    var owed: Int { debts.count }

    /// A slot was granted. Tokens of rate limits need no care: they run out by themselves.
    mutating func noteGranted(_ request: QuotaRequest, now: Instant) {
        guard request.mode == .concurrency else { return }
        holdings[request.owner] = Holding(request: request, renewed: now)
    }

    /// These are to be given back; until that is settled they are owed.
    mutating func owe(_ requests: [QuotaRequest], now: Instant) {
        for request in requests {
            holdings[request.owner] = nil
            // Nobody renews it any more, so it is gone by then.
            debts[request.owner] = Debt(request: request, expires: now + Self.life(request))
        }
    }

    /// The server knows.
    mutating func settle(_ requests: [QuotaRequest]) {
        for request in requests { debts[request.owner] = nil }
    }

    /// What is owed and has not run out by itself.
    mutating func debts(now: Instant) -> [QuotaRequest] {
        debts = debts.filter { $0.value.expires > now }
        return debts.values.map(\.request)
    }

    /// The slots whose holders have to be heard of again: a third of their life has passed.
    mutating func dueForRenewal(now: Instant) -> [QuotaRequest] {
        var due: [QuotaRequest] = []
        for (owner, holding) in holdings where now - holding.renewed >= Self.life(holding.request) * (1.0 / 3) {
            holdings[owner]?.renewed = now
            due.append(holding.request)
        }
        return due
    }

    /// Those of these slots that are held still.
    func held(of requests: [QuotaRequest]) -> [QuotaRequest] { requests.filter { holdings[$0.owner] != nil } }

    /// A renewal has arrived, or may have: what was given back while it was under way is to be given back once more.
    mutating func renewed(_ requests: [QuotaRequest], now: Instant) {
        owe(requests.filter { holdings[$0.owner] == nil }, now: now)
    }

    /// The renewal did not arrive: it stays due.
    mutating func renewalFailed(_ requests: [QuotaRequest]) {
        for request in requests { holdings[request.owner]?.renewed = .zero }
    }
}

import Basics
import DispatchGates
import Testing

@testable import GateSources

@Suite struct QuotaLedgerTests {
    private var ledger = QuotaLedger()
    private let start = Instant(seconds: 10)

    private func slot(_ owner: String, window: Double = 30, mode: QuotaRequest.Mode = .concurrency) -> QuotaRequest {
        QuotaRequest(address: "a", key: "k", mode: mode, limit: 2, window: .seconds(window), owner: owner)
    }

    @Test mutating func slotsAreRenewedEveryThirdOfTheirLife() {
        ledger.noteGranted(slot("a"), now: start)
        ledger.noteGranted(slot("b"), now: start + .seconds(5))
        #expect(ledger.dueForRenewal(now: start + .seconds(9.9)).isEmpty)
        #expect(ledger.dueForRenewal(now: start + .seconds(10)) == [slot("a")])
        #expect(ledger.dueForRenewal(now: start + .seconds(14)).isEmpty)
        #expect(ledger.dueForRenewal(now: start + .seconds(15)) == [slot("b")])
        #expect(ledger.dueForRenewal(now: start + .seconds(20)) == [slot("a")])
    }

    @Test mutating func aRenewalThatDidNotArriveStaysDue() {
        ledger.noteGranted(slot("a"), now: start)
        let due = ledger.dueForRenewal(now: start + .seconds(10))
        ledger.renewalFailed(due)
        #expect(ledger.dueForRenewal(now: start + .seconds(10)) == due)
    }

    @Test mutating func tokensAreNotHeld() {
        ledger.noteGranted(slot("a", mode: .rateLimit), now: start)
        #expect(ledger.held == 0)
    }

    @Test mutating func whatIsOwedIsOwedUntilItIsSettledOrHasRunOut() {
        ledger.noteGranted(slot("a"), now: start)
        ledger.owe([slot("a"), slot("b")], now: start)
        #expect(ledger.held == 0 && ledger.owed == 2)
        ledger.settle([slot("a")])
        #expect(ledger.debts(now: start + .seconds(29)) == [slot("b")])
        #expect(ledger.debts(now: start + .seconds(30)).isEmpty)
        #expect(ledger.owed == 0)
    }

    @Test mutating func whatIsGivenBackDuringARenewalIsNotRenewedAndIsGivenBackOnceMore() {
        for owner in ["a", "b", "c"] { ledger.noteGranted(slot(owner), now: start) }
        let due = ledger.dueForRenewal(now: start + .seconds(10))
        #expect(due.count == 3)
        // Before the server is told.
        ledger.owe([slot("a")], now: start + .seconds(10))
        ledger.settle([slot("a")])
        let told = ledger.held(of: due)
        #expect(Set(told) == [slot("b"), slot("c")])
        // While it is told: the renewal may come behind the return and undo it.
        ledger.owe([slot("b")], now: start + .seconds(11))
        ledger.settle([slot("b")])
        ledger.renewed(told, now: start + .seconds(12))
        #expect(ledger.debts(now: start + .seconds(12)) == [slot("b")] && ledger.held == 1)
    }

    @Test func livesAreTheWindowOrTheReferencesFigure() {
        #expect(QuotaLedger.life(slot("a", window: 60)) == .seconds(60))
        #expect(QuotaLedger.life(slot("a", window: 0)) == .seconds(300))
        #expect(QuotaLedger.life(slot("a", window: 0.1)) == .seconds(1))
        #expect(QuotaLedger.life(slot("a", window: 0.1, mode: .rateLimit)) == .seconds(0.1))
    }
}

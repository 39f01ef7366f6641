/// A deliberate mistake in the shell of a world, which the invariants have to find: the proof that they can fail.
public enum Mutation: String, Hashable, Sendable, CaseIterable {
    /// Producers are told that their messages are stored before they are.
    case acknowledgesEnqueueBeforeCommit
    /// The processor is told that a result is stored before it is.
    case acknowledgesResultBeforeCommit
    /// A result is stored whoever holds the lease of its message.
    case ignoresTokens
    /// A message that is given back is not, although the processor is told so.
    case dropsReleases
    /// A request that is to be taken back goes on.
    case forgetsWithdrawals
    /// Requests that are taken back keep their place in the pool.
    case leaksReservations
    /// A new consumer does not take over what a dead one held.
    case skipsRecovery
    /// The memory of the queue is not put back when a transaction is.
    case keepsMemoryOfRollback
    /// Messages are offered to the pool as if somebody waited for their answers.
    case offersAsRealtime
    /// Nobody wakes the processor when its time has come.
    case forgetsTime
    /// A message that is to be tried again later can be taken at once.
    case ignoresBackoff
    /// The answer of one request is given to another.
    case mixesUpAnswers
}

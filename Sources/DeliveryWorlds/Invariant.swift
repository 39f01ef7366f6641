/// What has to hold in every world.
public enum Invariant: String, Hashable, Sendable, CaseIterable {
    /// A message that was accepted has one terminal record, and nothing else has any.
    case oneRecordEach = "one terminal record for each accepted message"
    /// What was accepted is in the queue until it has its record.
    case nothingLost = "no accepted message is lost"
    /// An answer belongs to the generation of the message that it is recorded for.
    case answerBelongs = "the answer is that of this generation"
    /// A record says what happened.
    case recordIsTrue = "the record agrees with what happened"
    /// Submissions are answered by what the queue holds.
    case receiptIsTrue = "the receipt agrees with what the queue holds"
    /// Nothing is started after its deadline.
    case deadlineBeforeStart = "no start after the deadline"
    /// A deadline that passed is reported soon.
    case reportedSoon = "an end soon after the deadline"
    /// A retry waits as long as was decided.
    case backoff = "no attempt before its time"
    /// What is given back for others to take can be taken at once.
    case handBack = "what is handed back is free"
    /// A cancelled message is taken back at once and never started again.
    case cancellation = "a cancellation takes effect at once"
    /// No more requests are out, and no more messages in hand, than may be.
    case bounds = "bounds on what is in hand"
    /// A target that fails is probed by one request at a time.
    case oneProbe = "one probe at a time"
    /// While a real-time request waits no message is started.
    case realtimeFirst = "real-time is never overtaken"
    /// The scheduler's load is that of the requests that run.
    case noLeak = "no reservation leaked"
    /// What a lease is worth, all agree on.
    case leases = "a lease has one holder"
    /// What was told to be stored is stored.
    case acknowledged = "what is acknowledged is stored"
    /// A request is made again only for a reason.
    case executions = "no execution without a reason"
    /// Messages are taken by class, tenant and deadline.
    case order = "priority, fair share, deadline"
    /// What was taken is accounted for.
    case counters = "counters add up"
    /// A message does not run in circles.
    case noSpinning = "no message is offered without end"
    /// In a calm world everything comes to an end.
    case progress = "everything comes to an end"
}

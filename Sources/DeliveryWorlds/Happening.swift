import Basics
import Delivery

/// Something that happens in a world. What happens inside a process names the life of that process, and comes to nothing
/// when that life has ended.
enum Happening {
    // Inside the process.
    /// The writer of the queue commits what has gathered.
    case commit(life: Int)
    /// The queue's answer to a call of the processor arrives.
    case answer(life: Int, QueueAnswer)
    /// The timekeeper wakes.
    case wake(life: Int, number: Int)
    /// The wait for messages looks whether there are some.
    case lookForReady(life: Int, number: Int)
    /// The watcher of cancellations looks.
    case lookForCancellations(life: Int)
    /// The queue looks after itself, and the processor is told how full it is.
    case keepHouse(life: Int)
    /// A request that the processor offers reaches the scheduler.
    case submit(life: Int, request: UInt64)
    /// A withdrawal reaches the scheduler.
    case withdraw(life: Int, request: UInt64)
    /// The processor hears that a request was started.
    case started(life: Int, request: UInt64)
    /// The processor hears that a request is over.
    case ended(life: Int, request: UInt64, AttemptOutcome)
    /// The scheduler's tick.
    case tickScheduler(life: Int)
    /// A request produces its first token.
    case firstToken(life: Int, request: UInt64, run: Int)
    /// What an endpoint does with a request has come to its end.
    case runEnds(life: Int, request: UInt64, run: Int)
    /// The gateway notices that an endpoint has gone down or come back.
    case noticeHealth(life: Int, endpoint: Int)
    /// A real-time client leaves.
    case clientLeaves(life: Int, request: UInt64)

    // Around it.
    /// A producer does something.
    case produce
    /// A producer's patience with an unanswered submission ends.
    case resubmit(ticket: Int)
    /// A producer takes back what it has just submitted.
    case regret(ticket: Int)
    /// A real-time request arrives.
    case realtime
    /// An endpoint goes down or comes back.
    case turn(endpoint: Int)
    /// The adversary has an idea.
    case trouble
    /// Somebody sets the wall clock.
    case setClock
    /// A dead process is started again.
    case restart
    /// The endpoints' mood changes.
    case changeWeather
    /// The bell of another process is heard.
    case bell(life: Int, hasReady: Bool, hasCancellations: Bool)
    /// The adversary rests: from here on the world is to come to an end of its own.
    case calm
    /// The checker looks at what must not last.
    case inspect

    /// The process that it happens in, if any.
    var life: Int? {
        switch self {
        case .commit(let life), .answer(let life, _), .wake(let life, _), .lookForReady(let life, _),
            .lookForCancellations(let life), .keepHouse(let life), .submit(let life, _), .withdraw(let life, _),
            .started(let life, _), .ended(let life, _, _), .tickScheduler(let life), .firstToken(let life, _, _),
            .runEnds(let life, _, _), .noticeHealth(let life, _), .clientLeaves(let life, _),
            .bell(let life, _, _):
            life
        case .produce, .resubmit, .realtime, .turn, .trouble, .setClock, .regret, .restart, .changeWeather, .calm,
            .inspect:
            nil
        }
    }
}

/// What a call of the queue came to.
enum QueueAnswer {
    case taken([LeasedMessage], isOverdue: Bool)
    case takeFailed(isOverdue: Bool)
    case stored(Lease, tookEffect: Bool, isResult: Bool)
    case storeFailed(Lease)
    case extended(lost: [Lease])
    case extendFailed
    case cancellations([Lease])
    case mayBeReady(wait: Int)
    case enqueued(ticket: Int)
    case nothing
}

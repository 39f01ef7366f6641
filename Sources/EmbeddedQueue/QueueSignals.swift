import MessageQueues
import Synchronization

/// Who is told of what: those who wait in this process, and the other processes.
final class QueueSignals: Sendable {
    /// Messages may have become ready.
    let readiness = ChangeSignal()
    /// There are new results.
    let completions = ChangeSignal()
    /// Leased messages are to be taken back.
    let cancellations = ChangeSignal()
    /// The outbox has changed.
    let outbox = ChangeSignal()
    /// Those who wait for one result.
    let waiters: ResultWaiters
    /// Results that the queue itself has made in this process.
    let ownResults = Mutex(OwnResults())

    private let role: EmbeddedQueue.Role
    /// Rung for the consumer.
    private let consumerBell: Bell
    /// Rung for the clients.
    private let clientBell: Bell
    private let watcher: BellWatcher?

    init(path: String, role: EmbeddedQueue.Role, waiters: ResultWaiters) throws(MessageQueueError) {
        self.role = role
        self.waiters = waiters
        consumerBell = try Bell(path: path + "-bell")
        clientBell = try Bell(path: path + "-done")
        let heard: @Sendable () -> Void = { [readiness, completions, cancellations, outbox] in
            readiness.notify()
            completions.notify()
            cancellations.notify()
            outbox.notify()
            waiters.follow()
        }
        watcher = BellWatcher(path: path + (role == .consumer ? "-bell" : "-done"), heard: heard)
    }

    /// Whether other processes are heard: not where inotify is missing, nor when the user has no instance of it left.
    var hearsOthers: Bool { watcher != nil }

    /// Tells everybody whom it concerns what has been committed here.
    func tell(_ changes: MessageStore.Changes) {
        if changes.ownResults != OwnResults() { ownResults.withLock { $0.add(changes.ownResults) } }
        if changes.hasReady { readiness.notify() }
        if changes.hasCancellations { cancellations.notify() }
        if changes.hasWebhooks { outbox.notify() }
        if !changes.finished.isEmpty {
            completions.notify()
            waiters.stored(changes.finished)
            clientBell.ring()
        }
        // The consumer hears of results as well: a client that cancels a message stores one.
        if role == .client { consumerBell.ring() }
    }

    /// Lets everybody in this process look again.
    func notifyAll() {
        for signal in [readiness, completions, cancellations, outbox] { signal.notify() }
    }
}

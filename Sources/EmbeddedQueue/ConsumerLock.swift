import MessageQueues

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The exclusive right to lease messages from a queue file, held by at most one open queue at a time.
///
/// An advisory lock (`flock`) on a file next to the queue. The kernel releases it when its holder ends, however it ends;
/// therefore whoever gets the lock knows that every lease in the file belongs to the dead, and can take the messages back
/// at once. The file stays behind: removing it would let two processes lock two files of one name. `flock` is of no use
/// on network file systems, and neither is SQLite's WAL.
final class ConsumerLock: Sendable {
    private let descriptor: Int32

    init(queuePath: String) throws(MessageQueueError) {
        let path = queuePath + "-consumer"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw .unavailable(place: path, detail: String(cString: strerror(errno)))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            var text = [UInt8](repeating: 0, count: 20)
            let count = pread(descriptor, &text, text.count, 0)
            close(descriptor)
            guard reason == EWOULDBLOCK else {
                throw .unavailable(place: path, detail: String(cString: strerror(reason)))
            }
            throw .inUse(place: queuePath, process: Int(String(decoding: text.prefix(max(0, count)), as: UTF8.self)))
        }
        // Who holds the lock, for the message above; the lock itself does not depend on it.
        let holder = Array(String(getpid()).utf8)
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, holder, holder.count, 0) }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}

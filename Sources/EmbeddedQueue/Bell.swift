import Basics
import MessageQueues

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif
#if os(Linux)
    import Dispatch
#endif

/// Tells other processes that something has been committed: one byte written to a file next to the queue.
///
/// The file's content means nothing; the kernel tells those who watch it (`BellWatcher`) that it was written to.
final class Bell: Sendable {
    private let descriptor: Int32

    init(path: String) throws(MessageQueueError) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .unavailable(place: path, detail: String(cString: strerror(errno))) }
    }

    deinit { close(descriptor) }

    /// Rings. A bell that cannot be rung (the disk is full) is not missed for long: others look once a second as well.
    func ring() {
        var byte: UInt8 = 1
        _ = pwrite(descriptor, &byte, 1, 0)
    }
}

/// Hears a bell.
final class BellWatcher: Sendable {
    /// How soon others' writes are noticed, by looking, where no bell can be heard.
    static let deafPoll = TimeSpan.milliseconds(50)

    #if os(Linux)
        /// How soon others' writes are noticed if a ring is missed.
        static let fallbackPoll = TimeSpan.seconds(1)

        // Set once, and then only cancelled, which may be done from any thread.
        nonisolated(unsafe) private let source: any DispatchSourceRead

        /// Calls `heard` after each ring, from a thread of the system's. Several rings may be heard as one.
        init?(path: String, heard: @escaping @Sendable () -> Void) {
            let descriptor = inotify_init1(Int32(O_NONBLOCK | O_CLOEXEC))
            guard descriptor >= 0 else { return nil }
            guard inotify_add_watch(descriptor, path, UInt32(IN_MODIFY)) >= 0 else {
                close(descriptor)
                return nil
            }
            source = DispatchSource.makeReadSource(fileDescriptor: descriptor)
            source.setEventHandler {
                // Equal events that follow one another are one event to inotify, so this is soon empty.
                var buffer: [UInt64] = Array(repeating: 0, count: 512)
                while read(descriptor, &buffer, buffer.count * 8) > 0 {}
                heard()
            }
            source.setCancelHandler { close(descriptor) }
            source.resume()
        }

        deinit { source.cancel() }
    #else
        /// How soon others' writes are noticed.
        static let fallbackPoll = deafPoll

        /// There is no inotify here.
        init?(path: String, heard: @escaping @Sendable () -> Void) { nil }
    #endif
}

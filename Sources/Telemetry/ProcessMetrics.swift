#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// What the operating system says about this process.
public enum ProcessMetrics {
    /// Adds the build's version, the memory in use and the open file descriptors to a registry.
    ///
    /// The latter two come from `/proc` and are absent where it is.
    public static func register(in registry: MetricsRegistry, version: String) {
        registry.instrument(MetricCatalog.buildInfo, version).set(1)
        guard residentBytes() != nil, openFileDescriptors() != nil else { return }
        let memory = registry.instrument(MetricCatalog.processResidentMemory)
        let descriptors = registry.instrument(MetricCatalog.processOpenFileDescriptors)
        registry.onCollect {
            if let bytes = residentBytes() { memory.set(bytes) }
            if let count = openFileDescriptors() { descriptors.set(count) }
        }
    }

    /// Physical memory in use, in bytes: the second field of `/proc/self/statm`, in pages.
    static func residentBytes() -> Int? {
        let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { _ = close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 128)
        let length = read(descriptor, &buffer, buffer.count)
        guard length > 0 else { return nil }
        let fields = String(decoding: buffer.prefix(length), as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    /// How many entries `/proc/self/fd` has, less the one that reading it takes.
    static func openFileDescriptors() -> Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { _ = closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            // Every name here is a number, but for "." and "..".
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        return count - 1
    }
}

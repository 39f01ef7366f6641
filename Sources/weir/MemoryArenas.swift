#if canImport(Glibc)
    import Glibc
#endif

/// How many separate heaps the C library keeps for the threads of this process.
enum MemoryArenas {
    /// `M_ARENA_MAX` of glibc's `malloc.h`, which Swift's module of the C library leaves out.
    private static let arenaMaximum: Int32 = -8

    /// Limits glibc to one arena per core, two at least; it would make up to eight.
    ///
    /// What is freed in an arena stays there. Connections and requests meet many short-lived threads, of libraries too, so
    /// each arena grows to the highest peak that it ever happens to see, and the process by all of them together, for hours.
    /// To be called before there are threads.
    static func limit() {
        #if canImport(Glibc)
            guard let symbol = dlsym(nil, "mallopt") else { return }
            let setOption = unsafeBitCast(symbol, to: (@convention(c) (Int32, Int32) -> Int32).self)
            // Being refused leaves more arenas, which is no reason not to start.
            _ = setOption(arenaMaximum, Int32(clamping: max(2, sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
        #endif
    }
}

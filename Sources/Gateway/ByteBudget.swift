import Synchronization

/// A bound on the bytes of one kind, such as request bodies, that all requests of the process hold together.
final class ByteBudget: Sendable {
    let limit: Int
    private let used = Atomic<Int>(0)

    init(limit: Int) { self.limit = limit }

    var usedBytes: Int { used.load(ordering: .relaxed) }

    /// Takes `bytes` if that many are left, and `reserve` more.
    ///
    /// - Parameter orAlone: also if nobody else holds any: what is larger than the bound must pass some time.
    func take(_ bytes: Int, leaving reserve: Int = 0, orAlone: Bool = false) -> Bool {
        let (_, after) = used.add(bytes, ordering: .relaxed)
        if after <= limit - reserve || orAlone && after == bytes { return true }
        used.subtract(bytes, ordering: .relaxed)
        return false
    }

    /// Takes `bytes`, left or not: they are there already, and others have to make room.
    func charge(_ bytes: Int) { used.add(bytes, ordering: .relaxed) }

    func giveBack(_ bytes: Int) {
        if bytes > 0 { used.subtract(bytes, ordering: .relaxed) }
    }
}

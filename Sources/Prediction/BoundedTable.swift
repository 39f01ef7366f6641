/// A dictionary of bounded size that forgets the entry that was updated longest ago.
struct BoundedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        var key: Key
        var value: Value
        var older: Int
        var newer: Int
    }

    private let capacity: Int
    private var places: [Key: Int] = [:]
    private var entries: [Entry] = []
    /// Ends of the chain by age; -1 if empty.
    private var oldest = -1
    private var newest = -1

    init(capacity: Int) { self.capacity = max(1, capacity) }

    var count: Int { entries.count }

    subscript(key: Key) -> Value? { places[key].map { entries[$0].value } }

    /// Changes the entry of `key`, which starts as `initial`, and makes it the newest.
    mutating func update(_ key: Key, default initial: @autoclosure () -> Value, _ change: (inout Value) -> Void) {
        let place: Int
        if let known = places[key] {
            place = known
            unlink(place)
        } else if entries.count < capacity {
            place = entries.count
            entries.append(Entry(key: key, value: initial(), older: -1, newer: -1))
            places[key] = place
        } else {
            place = oldest
            unlink(place)
            places[entries[place].key] = nil
            entries[place] = Entry(key: key, value: initial(), older: -1, newer: -1)
            places[key] = place
        }
        change(&entries[place].value)
        entries[place].older = newest
        entries[place].newer = -1
        if newest >= 0 { entries[newest].newer = place } else { oldest = place }
        newest = place
    }

    private mutating func unlink(_ place: Int) {
        let (older, newer) = (entries[place].older, entries[place].newer)
        if older >= 0 { entries[older].newer = newer } else { oldest = newer }
        if newer >= 0 { entries[newer].older = older } else { newest = older }
    }
}

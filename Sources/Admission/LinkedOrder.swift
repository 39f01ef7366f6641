/// The neighbours of a place in a `LinkedOrder`; -1 for none.
struct Link {
    var previous: Int32 = -1
    var next: Int32 = -1
}

/// A doubly linked list through a column of the owner: both ends and any removal in constant time.
struct LinkedOrder {
    private(set) var first: Int?
    private(set) var last: Int?

    mutating func append(_ slot: Int, links: inout [Link]) {
        links[slot] = Link(previous: Int32(last ?? -1), next: -1)
        if let last { links[last].next = Int32(slot) } else { first = slot }
        last = slot
    }

    mutating func prepend(_ slot: Int, links: inout [Link]) {
        links[slot] = Link(previous: -1, next: Int32(first ?? -1))
        if let first { links[first].previous = Int32(slot) } else { last = slot }
        first = slot
    }

    /// The place before one in the order.
    func before(_ slot: Int, links: [Link]) -> Int? {
        links[slot].previous < 0 ? nil : Int(links[slot].previous)
    }

    /// The place behind one in the order.
    func after(_ slot: Int, links: [Link]) -> Int? {
        links[slot].next < 0 ? nil : Int(links[slot].next)
    }

    mutating func remove(_ slot: Int, links: inout [Link]) {
        let link = links[slot]
        if link.previous >= 0 {
            links[Int(link.previous)].next = link.next
        } else {
            first = link.next < 0 ? nil : Int(link.next)
        }
        if link.next >= 0 {
            links[Int(link.next)].previous = link.previous
        } else {
            last = link.previous < 0 ? nil : Int(link.previous)
        }
        links[slot] = Link()
    }
}

/// Decides whose turn it is: start-time fair queueing over tenants, by the cost of what they get.
///
/// Goyal, Vin, Cheng, "Start-time Fair Queueing" (1996), with one server and equal weights: a request of a tenant starts at
/// the later of the virtual time and the end of that tenant's former request, and ends its cost later; the request with the
/// earliest start is served, and the virtual time is the start of the one served last. A tenant that has been idle
/// begins at the present and has no claim to what it did not use.
package struct FairShare: Hashable, Sendable {
    /// Tenants remembered; beyond it those with the least debt are forgotten, and begin at the present again.
    package static let maximumTenants = 4096

    /// The start of what was served last.
    package private(set) var virtualTime: Int64 = 0
    /// The end of each tenant's last request, if it lies ahead of the virtual time.
    private var ends: [String: Int64] = [:]

    /// Nobody has got anything yet.
    package init() {}

    /// Tenants that are remembered.
    package var tenants: Int { ends.count }

    /// Where the next request of a tenant would start; the least start is served first.
    package func start(of tenant: String) -> Int64 { max(virtualTime, ends[tenant] ?? virtualTime) }

    /// Notes that a tenant's request was served, at its `cost`.
    package mutating func charge(_ tenant: String, cost: Int) {
        let start = start(of: tenant)
        virtualTime = start
        ends[tenant] = start + Int64(max(1, cost))
        if ends.count > Self.maximumTenants { forget() }
    }

    /// Drops what says nothing, then those with the least debt, down to half of what may be kept.
    private mutating func forget() {
        ends = ends.filter { $0.value > virtualTime }
        guard ends.count > Self.maximumTenants / 2 else { return }
        let kept = ends.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(Self.maximumTenants / 2)
        ends = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
    }
}

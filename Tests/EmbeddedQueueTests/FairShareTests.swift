import EmbeddedQueue
import Testing

@Suite struct FairShareTests {
    /// Serves the given tenants, all of whom always want more, so many times; returns the bytes that each got.
    private func serve(_ costs: [String: Int], times: Int, _ share: inout FairShare) -> [String: Int] {
        var got: [String: Int] = [:]
        for _ in 0..<times {
            let tenants = costs.keys.sorted().map { (start: share.start(of: $0), tenant: $0) }
            guard let next = tenants.min(by: { $0 < $1 })?.tenant, let cost = costs[next] else { break }
            share.charge(next, cost: cost)
            got[next, default: 0] += cost
        }
        return got
    }

    @Test func tenantsGetTheSameBytesWhateverTheSizeOfTheirRequests() {
        var share = FairShare()
        let got = serve(["large": 10_000, "middle": 1500, "small": 100], times: 5000, &share)
        // Start-time fair queueing: any two differ by no more than one request of each.
        #expect(abs(got["large", default: 0] - got["small", default: 0]) <= 10_100)
        #expect(abs(got["large", default: 0] - got["middle", default: 0]) <= 11_500)
    }

    @Test func whoComesLateBeginsAtThePresent() {
        var share = FairShare()
        _ = serve(["a": 1000], times: 1000, &share)
        #expect(share.start(of: "b") == share.virtualTime)
        let got = serve(["a": 1000, "b": 1000], times: 1000, &share)
        #expect(abs(got["a", default: 0] - got["b", default: 0]) <= 2000, "neither catches up on the past")
    }

    @Test func theMemoryIsBounded() {
        var share = FairShare()
        for number in 0..<50_000 { share.charge("tenant-\(number)", cost: 1000) }
        #expect(share.tenants <= FairShare.maximumTenants)
        share.charge("greedy", cost: 1_000_000_000)
        for number in 0..<10_000 { share.charge("tenant-\(number)", cost: 1000) }
        #expect(share.start(of: "greedy") > share.virtualTime, "the greatest debt is the last to be forgotten")
    }
}

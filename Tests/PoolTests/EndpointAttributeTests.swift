import Pool
import Testing

/// Metrics that a policy reads by a name of its own.
@Suite struct EndpointAttributeTests {
    private func values(_ page: String, _ attributes: [(String, [String])]) throws -> [Double?] {
        let attributes = try attributes.map { name, specs in
            EndpointAttribute(name: name, specs: try specs.map { try MetricSpec(parsing: $0) })
        }
        return Array(page.utf8).withUnsafeBytes {
            ScrapedMetrics(page: $0, profile: .vLLM, attributes: attributes).attributes
        }
    }

    private let page = """
        # TYPE watts gauge
        watts{gpu="0"} NaN
        watts{gpu="1",host="a"} -12.5
        watts{gpu="1",host="b"} 99
        joules_total 1e6
        vllm:num_requests_waiting 3

        """

    @Test func eachHasTheFirstValueOfItsFirstSeries() throws {
        let found = try values(
            page,
            [
                ("power", ["watts{gpu=1}"]), ("energy", ["joules", "joules_total", "watts"]), ("any", ["watts"]),
                ("load", ["vllm:num_requests_waiting"]), ("none", ["volts"]), ("broken", ["watts{gpu=0}"]),
            ])
        #expect(found == [-12.5, 1e6, -12.5, 3, nil, nil])
    }

    @Test func thePlaceInTheListDecidesNotThatOnThePage() throws {
        #expect(try values(page, [("energy", ["joules_total", "watts{gpu=1}"])]) == [1e6])
        #expect(try values(page, [("energy", ["watts{gpu=1}", "joules_total"])]) == [-12.5])
    }

    @Test func othersAreNotAskedFor() throws {
        #expect(try values(page, []).isEmpty)
        #expect(try values("", [("power", ["watts"])]) == [nil])
    }
}

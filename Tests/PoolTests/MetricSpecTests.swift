import Testing

@testable import Pool

@Suite struct MetricSpecTests {
    @Test(
        arguments: [
            ("vllm:num_requests_waiting", "vllm:num_requests_waiting", []),
            ("  a  ", "a", []), ("a{}", "a", []), ("a{ }", "a", []),
            ("a{b=c}", "a", [.init(name: "b", value: "c")]),
            (
                #" a { b = "c d" , e=f-1.2,}"#, "a",
                [.init(name: "b", value: "c d"), .init(name: "e", value: "f-1.2")]
            ),
            (#"a{b="x,}\"\\\n"}"#, "a", [.init(name: "b", value: "x,}\"\\\n")]),
            (#"a{b=""}"#, "a", [.init(name: "b", value: "")]),
        ] as [(String, String, [MetricSpec.Label])])
    func specsAreParsed(text: String, name: String, labels: [MetricSpec.Label]) throws {
        let spec = try MetricSpec(parsing: text)
        #expect(spec.name == name)
        #expect(spec.labels == labels)
        #expect(try MetricSpec(parsing: spec.description) == spec)
    }

    @Test(arguments: [
        ("", MetricSpec.ParseError.badName), ("{a=b}", .badName), ("1a", .badName), ("a b", .badName),
        ("a-b", .badName),
        ("a{b}", .badLabel), ("a{b=}", .badLabel), ("a{=c}", .badLabel), (#"a{b="c}"#, .badLabel),
        ("a{b=c d}", .badLabel),
        (#"a{b="c\"#, .badLabel), ("a{b=c", .badBraces), ("a{", .badBraces), ("a{b=c}x", .badBraces),
        ("a{,}", .badLabel),
    ])
    func mistakesAreNamed(text: String, error: MetricSpec.ParseError) {
        #expect(throws: error) { try MetricSpec(parsing: text) }
        #expect(!error.description.isEmpty)
    }
}

import Basics
import Testing

@testable import Pool

@Suite struct PrometheusTextTests {
    /// The values of the samples that match `spec`, in page order.
    private func values(_ spec: String, in page: String) throws -> [Double] {
        var values: [Double] = []
        let specs = [try MetricSpec(parsing: spec)]
        Array(page.utf8).withUnsafeBytes {
            PrometheusText.forEachSample(in: $0, matching: specs) { _, sample in values.append(sample.value) }
        }
        return values
    }

    @Test(
        arguments: [
            ("a 1", [1]), ("a 1\n", [1]), ("a 1\r\n", [1]), ("a\t1", [1]), ("  a   1  ", [1]),
            ("a 1 1700000000000", [1]),
            ("a{} 1", [1]), ("a{x=\"y\"} 1", [1]), ("a {x=\"y\",} 1", [1]), ("a{x=\"y\"}1", [1]), ("a 1.5e+03", [1500]),
            ("a +Inf", [.infinity]), ("a -Inf", [-.infinity]), ("a 0", [0]), ("a -2.5E-1", [-0.25]),
            ("a 1 # {trace_id=\"z\"} 0.5", [1]), ("a{x=\"}\"} 1", [1]), ("a{x=\"\\\"} 2\"} 1", [1]),
            ("a 1\na 2", [1, 2]),
            ("# TYPE a gauge\na 1\n# EOF", [1]), ("ab 1", []), ("a_bucket{le=\"1\"} 1", []), ("A 1", []), ("#a 1", []),
            ("a", []), ("a ", []), ("a x", []), ("a{x=\"y\" 1", []), ("a{x=\"y 1", []), ("a{x=\"\\", []), ("a{", []),
            ("", []), ("\n\n", []), ("a 0x", []), ("a one\na 2", [2]),
        ] as [(String, [Double])])
    func samplesAreRead(page: String, expected: [Double]) throws {
        #expect(try values("a", in: page) == expected)
    }

    @Test func notANumberIsAValue() throws {
        #expect(try values("a", in: "a NaN\n").map(\.isNaN) == [true])
    }

    @Test(
        arguments: [
            ("a{x=1}", [1, 3]), ("a{x=1,y=2}", [3]), ("a{y=2}", [2, 3]), ("a{z=1}", []), ("a{x=\"\"}", []),
            ("a", [1, 2, 3]),
        ] as [(String, [Double])])
    func everyLabelOfTheSpecMustMatch(spec: String, expected: [Double]) throws {
        #expect(try values(spec, in: "a{x=\"1\"} 1\na{y=\"2\",w=\"x=1\"} 2\na{ y=\"2\" , x=\"1\" } 3\n") == expected)
    }

    @Test func labelValuesAreUnescaped() throws {
        var label: String?
        let page = Array(#"a{p="C:\\dir\n\"q\"",é="x",b="漢"} 1"#.utf8)
        let spec = MetricSpec(
            name: "a", labels: [.init(name: "p", value: "C:\\dir\n\"q\""), .init(name: "b", value: "漢")])
        page.withUnsafeBytes {
            PrometheusText.forEachSample(in: $0, matching: [spec]) { _, sample in label = sample.label("p") }
        }
        #expect(label == "C:\\dir\n\"q\"")
    }

    @Test func overlongLinesAreSkippedAndTheRestIsRead() throws {
        let long = "a{x=\"" + String(repeating: "y", count: PrometheusText.lineLimitBytes) + "\"} 1\n"
        #expect(try values("a", in: long + "a 2\n") == [2])
        #expect(try values("a", in: "a " + String(repeating: "1", count: 1000) + "\na 2") == [2])
        #expect(try values("a", in: String(repeating: "{", count: 1 << 20) + "\na 2") == [2])
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func damagedPagesNeverCrashNorHideOtherLines(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            var line = Array("a{x=\"y\\\"z\",w=\"1\"} 12.5 1700000000".utf8)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                line[Int.random(in: 0..<line.count, using: &generator)] =
                    Array("{}\",=\\ #a1".utf8).randomElement(using: &generator) ?? 0
            }
            let page = String(decoding: line, as: UTF8.self) + "\na{x=\"last\"} 7\n"
            #expect(try values("a{x=last}", in: page).last == 7)
        }
    }
}

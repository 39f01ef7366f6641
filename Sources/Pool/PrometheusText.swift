/// Reads the Prometheus text format, version 0.0.4, and what OpenMetrics adds to its sample lines.
///
/// One pass over the bytes of a page: lines of unwanted metrics cost a comparison of their names, and only wanted
/// samples have their labels and values read. Lines that do not parse are skipped, since one bad series must not hide
/// the others.
public enum PrometheusText {
    /// Lines longer than this are skipped: no engine writes such, and nobody shall make us chew on them.
    public static let lineLimitBytes = 64 * 1024

    /// Calls `body` for every sample that matches one of `specs`, with the index of each spec that it matches.
    public static func forEachSample(
        in page: UnsafeRawBufferPointer, matching specs: [MetricSpec], _ body: (Int, PrometheusSample) -> Void
    ) {
        forEachLine(in: page) { line in
            guard let first = line.first, first != UInt8(ascii: "#") else { return }
            let nameLength = metricNameLength(line)
            for index in specs.indices {
                let name = specs[index].name.utf8
                guard name.count == nameLength, line.starts(with: name),
                    let sample = PrometheusSample(line: line, nameLength: nameLength),
                    specs[index].labels.allSatisfy({ sample.hasLabel($0.name, value: $0.value) })
                else { continue }
                body(index, sample)
            }
        }
    }

    /// The first of `prefixes` with which the name of any metric begins, in `# TYPE` lines and samples.
    static func firstPrefix(among prefixes: [String], in page: UnsafeRawBufferPointer) -> Int? {
        var best: Int?
        forEachLine(in: page) { line in
            var line = line
            if line.starts(with: "# TYPE ".utf8) { line = UnsafeRawBufferPointer(rebasing: line.dropFirst(7)) }
            for index in 0..<(best ?? prefixes.count) where line.starts(with: prefixes[index].utf8) {
                best = index
                break
            }
        }
        return best
    }

    /// Calls `body` for each line without its line end; neither empty nor overlong ones.
    private static func forEachLine(in page: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        var start = 0
        while start < page.count {
            var end = start
            while end < page.count, page[end] != 0x0A { end &+= 1 }
            var last = end
            if last > start, page[last &- 1] == 0x0D { last &-= 1 }
            while start < last, page[start] == 0x20 || page[start] == 0x09 { start &+= 1 }
            if last > start, last &- start <= lineLimitBytes {
                body(UnsafeRawBufferPointer(rebasing: page[start..<last]))
            }
            start = end &+ 1
        }
    }

    private static func metricNameLength(_ line: UnsafeRawBufferPointer) -> Int {
        line.firstIndex { $0 == UInt8(ascii: "{") || $0 == 0x20 || $0 == 0x09 } ?? line.count
    }
}

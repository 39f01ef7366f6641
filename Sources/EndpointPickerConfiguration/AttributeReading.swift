public import Pool

/// Reads what the metrics extractor says. Only the metrics that it names for the policy mean something here.
enum AttributeReading {
    static let keys = ["defaultEngine", "engineConfigs"]

    private static let engineKeys = [
        "name", "queuedRequestsSpec", "runningRequestsSpec", "kvUsageSpec", "loraSpec", "cacheInfoSpec",
        "cacheBlockSizeLabelName", "cacheNumBlocksLabelName", "cacheBlockSizeSpec", "cacheNumBlocksSpec",
    ]

    static func read(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        var parts = PluginParts()
        _ = reader.text("defaultEngine", in: section)
        if section.has("defaultEngine") { ignore("defaultEngine", in: section, &reader) }
        for (node, path) in reader.list("engineConfigs", in: section) {
            let engine = reader.section(node, at: path, keys: engineKeys + ["customMetrics"])
            for key in engineKeys where engine.has(key) {
                _ = reader.text(key, in: engine)
                if key != "name" { ignore(key, in: engine, &reader) }
            }
            for (node, path) in reader.list("customMetrics", in: engine) {
                let metric = reader.section(node, at: path, keys: ["attributeKey", "metricSpec"])
                if let attribute = attribute(metric, &reader) { parts.attributes.append(attribute) }
            }
        }
        return parts
    }

    private static func ignore(_ key: String, in section: ReadSection, _ reader: inout StrictReader) {
        reader.notice(section.place(of: key), "is ignored: Weir knows the load metrics of its engines by itself")
    }

    private static func attribute(_ section: ReadSection, _ reader: inout StrictReader) -> EndpointAttribute? {
        let texts = ["attributeKey", "metricSpec"].map { key -> String? in
            if let text = reader.text(key, in: section), !text.isEmpty { return text }
            if !section.has(key) { reader.report(section.place(of: key), "is required") }
            return nil
        }
        guard let name = texts[0], let text = texts[1] else { return nil }
        do throws(MetricSpec.ParseError) {
            return EndpointAttribute(name: name, specs: [try MetricSpec(parsing: text)])
        } catch {
            reader.report(section.place(of: "metricSpec"), "is \(text), which \(error)")
            return nil
        }
    }
}

extension [EndpointAttribute] {
    /// Each name once, in the order of their first places, with the series of all places.
    public func merged() -> [EndpointAttribute] {
        reduce(into: []) { merged, attribute in
            if let place = merged.firstIndex(where: { $0.name == attribute.name }) {
                let earlier = merged[place].specs
                merged[place] = EndpointAttribute(
                    name: attribute.name, specs: earlier + attribute.specs.filter { !earlier.contains($0) })
            } else {
                merged.append(attribute)
            }
        }
    }
}

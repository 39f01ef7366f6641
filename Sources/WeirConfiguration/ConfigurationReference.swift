import Yams

/// The reference of `weir.yaml`, derived from the definition that reading uses.
public enum ConfigurationReference {
    /// One key.
    public struct Row: Hashable, Sendable {
        /// Where it stands, such as `pools[].slo.ttft`.
        public var keyPath: String
        /// What its value is.
        public var type: String
        /// Whether it must be written.
        public var isRequired: Bool
        /// The value it has when it is not written; nil if it has none.
        public var defaultText: String?
        /// What it means.
        public var meaning: String
    }

    /// Every key, in the order of the file.
    public static var rows: [Row] { Configuration.rows(below: "") }

    /// The reference as a Markdown page: one table for each top-level section.
    public static func markdown() -> String {
        var page = """
            # Configuration

            `weir serve --config weir.yaml` reads one YAML file. An unknown key is an error, and all problems are reported at
            once with their place. Any value may contain `${NAME}` or `${NAME:-default}`, which stands for the environment
            variable; `$${` stands for itself. Durations are written as `500ms`, `30s`, `10m`, `1h30m` or `7d`, sizes as
            `64KiB`, `32MiB` or `1GiB`. A key without a value counts as not written.

            `weir config check FILE` checks a file; `weir config show FILE` prints it with all defaults filled in. Secrets are
            best written as `${NAME}`, so that the file holds none; they are never printed (`\(Secret.mask)` stands for
            them), and a URL with credentials is refused.

            """
        for row in rows {
            if !row.keyPath.contains("."), !row.keyPath.contains("[") {
                page += "\n## `\(row.keyPath)`\n\n\(row.meaning)\(row.isRequired ? " Required." : "")\n\n"
                page += "| key | type | default | meaning |\n|---|---|---|---|\n"
            } else {
                let standard = row.isRequired ? "required" : row.defaultText.map { "`\($0)`" } ?? ""
                page += "| `\(row.keyPath)` | \(row.type) | \(standard) | \(row.meaning) |\n"
            }
        }
        return page
    }
}

extension Configuration {
    /// The configuration as YAML with every default filled in; reading it gives the same configuration again.
    public func effectiveYAML() -> String { yaml(.full) }

    /// The configuration as YAML without what is at its default: what a person would write.
    public func briefYAML() -> String { yaml(.brief) }

    private func yaml(_ form: NodeForm) -> String {
        // Serialising fails only for nodes that this code does not build: it makes plain mappings, lists and scalars.
        (try? Yams.serialize(node: node(form), width: -1)) ?? ""
    }
}

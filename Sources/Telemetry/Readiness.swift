/// Whether the process should be sent requests, and why or why not.
public struct ReadinessReport: Hashable, Sendable {
    /// One thing that must hold for the process to be ready.
    public struct Check: Hashable, Sendable {
        /// What is checked, such as `endpoints`.
        public var name: String
        /// Whether it holds.
        public var isMet: Bool
        /// The reason in plain words, such as `2 of 3 endpoints are up`.
        public var detail: String

        /// Creates a check.
        public init(name: String, isMet: Bool, detail: String) {
            self.name = name
            self.isMet = isMet
            self.detail = detail
        }
    }

    /// What was checked.
    public var checks: [Check]

    /// Creates a report.
    public init(checks: [Check]) { self.checks = checks }

    /// Whether every check holds.
    public var isReady: Bool { checks.allSatisfy(\.isMet) }

    /// `{"ready":…,"checks":[{"name":…,"met":…,"detail":…}]}`.
    public func json() -> [UInt8] {
        var json = JSONWriter()
        json.object { report in
            report.value("ready", isReady)
            report.array("checks") { list in
                for check in checks {
                    list.object { entry in
                        entry.value("name", check.name)
                        entry.value("met", check.isMet)
                        entry.value("detail", check.detail)
                    }
                }
            }
        }
        return json.bytes
    }
}

extension GateConfiguration {
    /// `endpoint-scrape`: a metric read straight from its endpoint.
    ///
    /// saturation = clamp(value / (`max_count_per_pod` × pods)), or clamp(value) where `max_count_per_pod` is 0; the
    /// budget is 1 - saturation - `baseline`, or value - `baseline` where the value is a budget.
    public struct EndpointScrape: Hashable, Sendable {
        /// What the value means.
        public enum ValueType: String, Hashable, Sendable, CaseIterable {
            /// How full the endpoint is.
            case saturation
            /// How much it has free.
            case budget
        }

        /// How requests are let in.
        public enum Admission: String, Hashable, Sendable, CaseIterable {
            /// While the budget is above 0.
            case budget
            /// As many as the last reading left free, `max_count_per_pod` × pods - value rounded down, until the next.
            case counted
        }

        /// The URL of the metrics page.
        public var url: String
        /// The metric: a gauge, counter or untyped one.
        public var metric: String
        /// Labels that the sample must have.
        public var labels: [String: String] = [:]
        /// What one pod takes; 0 means that the value is a share already.
        public var maxCountPerPod = 0.0
        /// The share that is kept free.
        public var baseline = 0.0
        /// The budget while there is no reading.
        public var fallback = 0.0
        /// Where the number of ready pods is read; without it there is one.
        public var podsURL: String?
        /// The metric of ready pods.
        public var podsMetric: String?
        /// Labels that its sample must have.
        public var podsLabels: [String: String] = [:]
        /// What the value means.
        public var valueType = ValueType.saturation
        /// The raw value to assume where the endpoint answers without a sample; without it that counts as no reading.
        public var absentValue: Double?
        /// How requests are let in.
        public var admission = Admission.budget

        /// Creates the parameters with upstream's defaults.
        public init(url: String, metric: String) {
            self.url = url
            self.metric = metric
        }

        init(from reader: inout GateParameterReader) throws(GateConfigurationError) {
            url = try reader.requiredText("url")
            metric = try reader.requiredText("metric")
            labels = try reader.labels("labels")
            maxCountPerPod = try reader.number("max_count_per_pod", in: 0...1e15) ?? 0
            baseline = try reader.number("baseline", in: 0...1) ?? 0
            fallback = try reader.number("fallback", in: 0...1) ?? 0
            podsURL = try reader.text("pods_url")
            podsMetric = try reader.text("pods_metric")
            podsLabels = try reader.labels("pods_labels")
            valueType = try reader.word("value_type", of: ValueType.self) ?? .saturation
            absentValue = try reader.number("absent_value", in: -1e15...1e15)
            admission = try reader.word("admission", of: Admission.self) ?? .budget
            try check(reader)
        }

        private func check(_ reader: GateParameterReader) throws(GateConfigurationError) {
            if (podsURL == nil) != (podsMetric == nil) {
                throw GateConfigurationError(
                    path: reader.path(podsURL == nil ? "pods_url" : "pods_metric"),
                    problem: "is required, as pods_url and pods_metric go together")
            }
            if podsURL != nil, maxCountPerPod == 0 {
                throw GateConfigurationError(
                    path: reader.path("max_count_per_pod"), problem: "must be above 0 where pods are counted")
            }
            if admission == .counted, maxCountPerPod == 0 || valueType == .budget {
                throw GateConfigurationError(
                    path: reader.path("admission"),
                    problem: "counted needs max_count_per_pod above 0 and value_type saturation")
            }
            if admission == .counted, fallback > 0 {
                throw GateConfigurationError(
                    path: reader.path("fallback"), problem: "must be 0 with admission counted: nothing can be counted")
            }
        }
    }
}

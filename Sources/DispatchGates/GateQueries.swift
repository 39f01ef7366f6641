/// The PromQL of the gates that make their own (shared reference `async-processor.md` 4.2).
///
/// Each asks for the newer metric name and, where that has no sample, for the older one. Both sides are aggregated to one
/// sample without labels, so `or` is exact: PromQL keeps a right-hand sample only if the left has none with its labels.
/// Several endpoint pickers each report the same pool: saturation and ready pods are taken once (the largest), not added.
enum GateQueries {
    /// 1 - saturation of the pool.
    static func saturation(_ gate: GateConfiguration.PrometheusSaturation) -> String {
        let labels = selector("inference_pool", gate.pool, gate.namespace)
        return "1 - "
            + either(
                "max(llm_d_epp_flow_control_pool_saturation\(labels))",
                "max(inference_extension_flow_control_pool_saturation\(labels))")
    }

    /// D of `prometheus-budget` by flow control's queue, by the queues of the pods, and by what the pods run.
    static func budget(_ gate: GateConfiguration.PrometheusBudget) -> [String] {
        let pool = selector("inference_pool", gate.pool, gate.namespace)
        let name = selector("name", gate.pool, gate.namespace)
        let perPod = GateParameter.plain(gate.maxConcurrency)
        let capacity =
            "(" + either("max(llm_d_epp_ready_endpoints\(name))", "max(inference_pool_ready_pods\(name))")
            + " * \(perPod))"
        let queued = either(
            "sum(llm_d_epp_flow_control_queue_size\(pool))", "sum(inference_extension_flow_control_queue_size\(pool))")
        let perPodQueue = either(
            "avg(llm_d_epp_per_endpoint_queue_size\(name))", "avg(inference_pool_per_pod_queue_size\(name))")
        return [
            "1 - \(queued) / \(capacity)",
            "1 - \(perPodQueue) / \(perPod)",
            "1 - sum(vllm:num_requests_running\(pool)) / \(capacity)",
        ]
    }

    /// Label matchers in braces, in order of their names.
    static func matchers(_ labels: [String: String]) -> String {
        "{"
            + labels.sorted { $0.key < $1.key }.map { "\($0.key)=\(GateParameter.quoted($0.value))" }
            .joined(separator: ",") + "}"
    }

    private static func selector(_ label: String, _ pool: String, _ namespace: String?) -> String {
        var labels = [label: pool]
        if let namespace { labels["namespace"] = namespace }
        return matchers(labels)
    }

    private static func either(_ newer: String, _ older: String) -> String { "(\(newer) or \(older))" }
}

import Testing

@testable import Pool

@Suite struct AdapterReportTests {
    private func adapters(_ page: String) -> AdapterReport? {
        ScrapedMetrics(page: Array(page.utf8), profile: .vLLM).adapters
    }

    @Test func theNewestOfSeveralSeriesCounts() {
        let page = """
            vllm:lora_requests_info{max_lora="2",running_lora_adapters="old",waiting_lora_adapters=""} 1.5e9
            vllm:lora_requests_info{max_lora="4",running_lora_adapters="a, b",waiting_lora_adapters=" c "} 1.6e9
            vllm:lora_requests_info{max_lora="2",running_lora_adapters="older",waiting_lora_adapters="x"} 1.4e9
            vllm:num_requests_waiting 0
            """
        #expect(adapters(page) == AdapterReport(active: ["a", "b"], waiting: ["c"], limit: 4))
    }

    @Test func aPageWithoutTheSeriesTellsNothing() {
        #expect(adapters("vllm:num_requests_waiting 0\n") == nil)
    }

    @Test(arguments: [
        #"vllm:lora_requests_info{running_lora_adapters=",, ,"} 1"#, #"vllm:lora_requests_info{max_lora="-3"} 1"#,
        "vllm:lora_requests_info 1",
    ])
    func whatIsNotThereIsEmpty(page: String) {
        #expect(adapters(page + "\n") == AdapterReport())
    }

    @Test func aConfusedServerCannotFillTheMemory() {
        let names = (0..<5000).map { "adapter\($0)" }.joined(separator: ",")
        let long = String(repeating: "x", count: 257)
        let page = #"vllm:lora_requests_info{running_lora_adapters="\#(names)",waiting_lora_adapters="\#(long),ok"} 1"#
        let report = adapters(page + "\n")
        #expect(report?.active.count == 1024)
        #expect(report?.waiting == ["ok"])
    }
}

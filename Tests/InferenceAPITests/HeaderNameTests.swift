import Testing

@testable import InferenceAPI

@Suite struct HeaderNameTests {
    @Test func theNewerNameWins() {
        let both = ["x-llm-d-slo-ttft-ms": "200", "x-slo-ttft-ms": "900", "x-slo-tpot-ms": "50"]
        #expect(HeaderName.ttftMilliseconds.value { both[$0] } == "200")
        #expect(HeaderName.tpotMilliseconds.value { both[$0] } == "50")
        #expect(HeaderName.objective.value { both[$0] } == nil)
    }

    @Test(arguments: [
        HeaderName.objective, HeaderName.fairnessID, HeaderName.modelRewrite, HeaderName.ttftMilliseconds,
        HeaderName.tpotMilliseconds, HeaderName.mode,
    ])
    func everyAliasedHeaderIsAControlHeader(header: HeaderAliases) {
        #expect(HeaderName.isControl(header.newest))
        #expect(HeaderName.isControl(header.older))
        #expect(HeaderName.isControl(header.newest.uppercased()))
    }

    @Test(arguments: [
        ("X-Weir-Mode", true), ("x-weir-anything", true), ("X-AP-Mode", true), ("x-ap-mode-2", false),
        ("x-llm-d-inference-ttl", false), ("authorization", false), ("x-weir", false),
    ])
    func whatSpeaksToWeirAloneIsToldFromTheRest(name: String, isForWeirAlone: Bool) {
        #expect(HeaderName.isForWeirAlone(name) == isForWeirAlone)
        #expect(!isForWeirAlone || HeaderName.isControl(name))
    }

    @Test(arguments: [
        ("x-weir-mode", true), ("X-LLM-D-Inference-TTL", true), ("x-llm-d-anything-new", true),
        ("x-gateway-destination-endpoint", true), ("X-Prefiller-Host-Port", true),
        ("test-epp-endpoint-selection", true),
        ("x-prefiller-host-port-2", false), ("x-request-id", false), ("traceparent", false), ("authorization", false),
        ("x-slo", false), ("x\r-llm-d-", false), ("content-type", false), ("", false),
    ])
    func controlHeadersAreToldFromOthers(name: String, isControl: Bool) {
        #expect(HeaderName.isControl(name) == isControl)
    }
}

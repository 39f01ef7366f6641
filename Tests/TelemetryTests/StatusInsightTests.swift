import Testing

@testable import Telemetry

@Suite struct StatusInsightTests {
    private func json(_ pool: StatusSnapshot.Pool) -> String {
        String(decoding: StatusSnapshot(version: "1", uptimeSeconds: 0, pools: [pool]).json(), as: UTF8.self)
    }

    @Test func whatAPoolHasLearnedIsToldInShort() {
        let endpoint = StatusSnapshot.EndpointInsight(
            ttft: .init(outcomes: 256, meanError: 0.12345, medianError: 0.1, bias: -0.00004, coverage: 0.9),
            stepBaseMilliseconds: 6.8604, cachedTokens: 1200, cacheCapacityTokens: 421_000,
            harvestReserveMilliseconds: 0.25, harvestCaution: 0.5, harvestLimit: "step-time")
        let pool = StatusSnapshot.Pool(
            name: "chat", models: [],
            endpoints: [.init(url: "http://a:1", isUp: true, realtimeInFlight: 1, batchInFlight: 0, insight: endpoint)],
            bands: [
                .init(
                    priority: 0, waiting: 2,
                    insight: .init(bytes: 300, tokens: 2400, flows: 2, oldestWaitSeconds: 1.2504, fairness: 0.98))
            ], allowedBatchRequests: 0, batchRequestsInFlight: 0,
            insight: .init(
                saturation: 0.75, admissionSaturation: 1.0625, prefixBlocks: 9, prefixBytes: 4096, promptTokens: 1000,
                cachedPromptTokens: 400, rejected: [.init("queue_full", 3), .init("infeasible", 1)],
                flows: [.init(name: "a \"b\"", priority: 0, waiting: 1, servedTokens: 1234.5)],
                shadow: .init(policy: "weighted", decisions: 10, agreements: 9, improvements: 1, regretMilliseconds: -2)
            ))
        #expect(
            json(pool)
                == #"{"version":"1","uptime_s":0,"connections":0,"pools":[{"name":"chat","models":[],"endpoints":["#
                + #"{"url":"http://a:1","up":true,"realtime_in_flight":1,"batch_in_flight":0,"#
                + #""ttft_prediction":{"outcomes":256,"mean_error":0.1235,"median_error":0.1,"bias":0,"coverage":0.9},"#
                + #""step_base_ms":6.86,"cached_tokens":1200,"cache_capacity_tokens":421000,"harvest_reserve_ms":0.25,"#
                + #""harvest_caution":0.5,"harvest_limit":"step-time"}],"#
                + #""bands":[{"priority":0,"waiting":2,"bytes":300,"tokens":2400,"flows":2,"oldest_wait_s":1.25,"#
                + #""fairness":0.98}],"allowed_batch_requests":0,"batch_requests_in_flight":0,"#
                + #""saturation":0.75,"admission_saturation":1.063,"prefix_index":{"blocks":9,"bytes":4096},"#
                + #""prompt_tokens":1000,"cached_prompt_tokens":400,"rejected":{"queue_full":3,"infeasible":1},"#
                + #""flows":[{"name":"a \"b\"","priority":0,"waiting":1,"served_tokens":1235}],"#
                + #""shadow":{"policy":"weighted","decisions":10,"agreements":9,"improvements":1,"regret_ms":-2}}],"#
                + #""queues":[]}"#)
    }

    @Test func numbersThatJSONCannotSayBecomeNull() {
        let pool = StatusSnapshot.Pool(
            name: "chat", models: [], endpoints: [], bands: [], allowedBatchRequests: 0, batchRequestsInFlight: 0,
            insight: .init(
                saturation: .infinity, admissionSaturation: .nan, prefixBlocks: 0, prefixBytes: 0, promptTokens: 0,
                cachedPromptTokens: 0))
        #expect(json(pool).contains(#""saturation":null,"admission_saturation":null,"prefix_index""#))
        #expect(json(pool).contains(#""rejected":{},"flows":[]}]"#))
    }

    @Test func namesOfThePageAreThoseOfTheDocument() {
        // The page reads the document by these keys; a renamed one would only show as a dash.
        for key in [
            "saturation", "admission_saturation", "prompt_tokens", "cached_prompt_tokens", "rejected", "flows",
            "shadow",
            "agreements", "improvements", "regret_ms", "ttft_prediction", "tpot_prediction", "median_error", "coverage",
            "step_base_ms", "cached_tokens", "cache_capacity_tokens", "harvest_reserve_ms", "harvest_caution",
            "harvest_limit", "tokens", "oldest_wait_s", "fairness", "served_tokens",
        ] {
            #expect(StatusPage.html.contains(".\(key)"), "\(key)")
        }
    }
}

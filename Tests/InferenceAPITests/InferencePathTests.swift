import Testing

@testable import InferenceAPI

@Suite struct InferencePathTests {
    @Test(arguments: [
        ("/v1/chat/completions", InferencePath.chatCompletions),
        ("/v1/chat/completions?a=/v1/models", .chatCompletions),
        ("/v1/chat/completions/", .chatCompletions), ("/v1/completions", .completions), ("/v1/embeddings", .embeddings),
        ("/v1/responses", .responses), ("/v1/models", .models), ("/v1/models/llama", .passthrough),
        ("/v1/audio/speech", .passthrough), ("/v1/chat/completions/render", .passthrough),
        ("/v1/a..b/c.d", .passthrough),
        ("/v1/x%20y", .passthrough), ("/", .none), ("", .none), ("/v1", .none), ("/v1/", .none), ("/V1/models", .none),
        ("/metrics", .none), ("v1/models", .none), ("*", .none), ("http://host/v1/models", .none), ("/v2/x", .none),
        ("/v1/../metrics", .none), ("/v1/./x", .none), ("/v1/%2e%2E/metrics", .none), ("/v1/.%2e/metrics", .none),
        ("/v1/..%2fmetrics", .none), ("/v1/..\\metrics", .none), ("/v1/x/..", .none), ("/v1/%5c", .none),
    ])
    func pathsAreClassified(target: String, path: InferencePath) {
        #expect(InferencePath(target: target) == path)
    }

    @Test func onlyInferenceBodiesMustNameAModel() {
        let paths: [InferencePath] = [
            .chatCompletions, .completions, .embeddings, .responses, .models, .passthrough, .none,
        ]
        #expect(paths.map(\.needsModel) == [true, true, true, true, false, false, false])
    }
}

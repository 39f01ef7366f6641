import Composition

/// What a service says on standard error once it runs.
enum ServiceAnnouncement {
    /// What was found, where to reach it, and a command to paste.
    static func write(_ started: WeirService.Started) {
        for pool in started.pools {
            for endpoint in pool.endpoints {
                var line = "endpoint \(endpoint.name): "
                line +=
                    endpoint.isUp ? "up, \(endpoint.engine ?? "engine unknown")" : "down; it is probed until it answers"
                if let tokens = endpoint.kvTokens { line += ", KV cache of \(tokens) tokens" }
                StandardStreams.error(line)
            }
            let models = pool.models.isEmpty ? "none found yet" : pool.models.joined(separator: ", ")
            StandardStreams.error("pool \(pool.name): models \(models)")
        }
        for place in started.queuePlaces { StandardStreams.error("queue    \(place)") }
        if let url = started.gatewayURL { StandardStreams.error("gateway  \(url)") }
        StandardStreams.error("admin    \(started.adminURL)")
        if let url = started.gatewayURL, let model = started.pools.lazy.compactMap(\.models.first).first {
            StandardStreams.error(
                """
                try it:
                  curl \(url)/v1/chat/completions -H 'content-type: application/json' \\
                    -d '{"model":"\(model)","max_tokens":32,"messages":[{"role":"user","content":"Hello!"}]}'
                """)
        }
        StandardStreams.error("ready")
    }
}

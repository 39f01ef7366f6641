import Basics
import InferenceAPI

/// What a capacity feed tells, version 1: server-sent events with JSON in them. Readers ignore members and events that they do
/// not know.
enum CapacityEvent {
    /// The first one: which version this is, and how long a silence may be.
    case hello(keepAlive: TimeSpan)
    /// The pools with their models, at the beginning and when they change.
    case pools(names: [String], models: [[String]])
    /// How many requests the reader may have in each pool, waiting ones included.
    case credit(sequence: UInt64, pools: [String], credits: [Int], loads: [ProcessorLoad])
    /// A comment: the gateway is still there.
    case keepAlive
    /// The gateway ends the feed: it stops, or the processor has connected anew.
    case end(reason: StaticString)

    /// The version of the format.
    static let version = 1
    /// Of a pool with more models only so many are named; a reader sends by the pool's credit either way.
    private static let maximumModels = 1000

    func append(to output: inout [UInt8]) {
        switch self {
        case .hello(let keepAlive):
            let milliseconds = Int(keepAlive.milliseconds)
            output.append(
                contentsOf: "event: hello\ndata: {\"version\":\(Self.version),\"keep_alive_ms\":\(milliseconds)}\n\n"
                    .utf8)
        case .pools(let names, let models):
            output.append(contentsOf: "event: pools\ndata: {\"pools\":[".utf8)
            for index in names.indices {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                output.append(contentsOf: "{\"pool\":".utf8)
                JSONText.appendString(names[index], to: &output)
                output.append(contentsOf: ",\"models\":[".utf8)
                for (position, model) in models[index].prefix(Self.maximumModels).enumerated() {
                    if position > 0 { output.append(UInt8(ascii: ",")) }
                    JSONText.appendString(model, to: &output)
                }
                output.append(contentsOf: "]}".utf8)
            }
            output.append(contentsOf: "]}\n\n".utf8)
        case .credit(let sequence, let pools, let credits, let loads):
            output.append(contentsOf: "event: credit\ndata: {\"sequence\":\(sequence),\"pools\":[".utf8)
            for index in pools.indices {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                output.append(contentsOf: "{\"pool\":".utf8)
                JSONText.appendString(pools[index], to: &output)
                let load = loads[index]
                output.append(
                    contentsOf:
                        ",\"credit\":\(credits[index]),\"waiting\":\(load.waiting),\"running\":\(load.running)}".utf8)
            }
            output.append(contentsOf: "]}\n\n".utf8)
        case .keepAlive: output.append(contentsOf: ": still here\n\n".utf8)
        case .end(let reason): output.append(contentsOf: "event: end\ndata: {\"reason\":\"\(reason)\"}\n\n".utf8)
        }
    }

    /// Its text.
    var bytes: [UInt8] {
        var output: [UInt8] = []
        append(to: &output)
        return output
    }
}

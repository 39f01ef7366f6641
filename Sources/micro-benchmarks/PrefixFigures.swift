import Basics
import PrefixIndex

/// What a lookup of a prompt of 2,048 blocks costs among 100 endpoints with 8,000 blocks each: 100 conversations per
/// endpoint that share 64 blocks of system prompt, and of the prompt itself every endpoint has its own share.
func prefixFigures() -> [Figure] {
    let endpoints = 100
    var generator = SeededGenerator(seed: 1)
    var index = PrefixIndex()
    let system = (0..<64).map { _ in generator.next() }
    for endpoint in 0..<endpoints {
        for _ in 0..<100 {
            index.insert(
                system + (0..<80).map { _ in generator.next() }, endpoint: endpoint, tokensPerBlock: 64)
        }
    }
    let prompt = system + (0..<(2048 - 64)).map { _ in generator.next() }
    for endpoint in 0..<endpoints {
        index.insert(Array(prompt.prefix(64 + endpoint * 1984 / 99)), endpoint: endpoint, tokensPerBlock: 64)
    }
    var blocks = [Int32](repeating: 0, count: endpoints)
    let match = bestMicroseconds(runs: 500, calls: 4) { _ in _ = index.match(prompt, into: &blocks) }
    let stranger = (0..<2048).map { _ in generator.next() }
    let unknown = bestMicroseconds(runs: 500, calls: 4) { _ in _ = index.match(stranger, into: &blocks) }
    return [
        Figure(name: "prefix: 2,048 blocks at 100 endpoints", value: match, unit: "us", bar: .atMost(40)),
        Figure(name: "prefix: 2,048 blocks that nobody has", value: unknown, unit: "us", bar: .none),
    ]
}

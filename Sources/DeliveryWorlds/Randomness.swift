import Basics

extension SeededGenerator {
    /// True with this probability.
    mutating func chance(_ probability: Double) -> Bool { probability > 0 && unit() < probability }

    /// A span between two, drawn evenly.
    mutating func span(_ low: TimeSpan, _ high: TimeSpan) -> TimeSpan { low + (high - low) * unit() }

    /// A span of so many seconds, drawn evenly.
    mutating func seconds(_ low: Double, _ high: Double) -> TimeSpan { .seconds(low + (high - low) * unit()) }

    /// A latency: mostly short, now and then longer by an order of magnitude or two.
    mutating func latency(_ typical: TimeSpan) -> TimeSpan {
        switch unit() {
        case ..<0.9: typical * (0.2 + unit())
        case ..<0.99: typical * (1 + 10 * unit())
        default: typical * (10 + 40 * unit())
        }
    }

    /// A number in a range.
    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// One of these; nil if there are none.
    mutating func pick<Element>(_ elements: [Element]) -> Element? { elements.randomElement(using: &self) }

    /// One of these, of which there is one at least.
    mutating func one<Element>(of first: Element, _ others: Element...) -> Element {
        let index = number(0...others.count)
        return index == 0 ? first : others[index - 1]
    }
}

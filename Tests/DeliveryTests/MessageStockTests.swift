import Basics
import Delivery
import Testing

private func inStock(
    _ number: Int64, model: String = "llama", priority: Int = 0, due seconds: Double = 3600
) -> LeasedMessage {
    var message = message("m\(number)", model: model, window: .seconds(seconds))
    message.priority = priority
    return LeasedMessage(
        lease: Lease(sequence: number, token: 1), message: message, attempts: AttemptRecord(), generation: "g",
        enqueued: epoch)
}

@Suite struct MessageStockTests {
    private var stock = MessageStock()

    private mutating func taken(_ limit: Int, excluding: Set<String> = []) -> [String] {
        stock.take(limit: limit, excluding: excluding).map(\.message.id)
    }

    private mutating func overdue(after seconds: Double, limit: Int) -> [String] {
        stock.takeOverdue(before: epoch + .seconds(seconds), limit: limit).map(\.message.id)
    }

    private mutating func hasMessage(excluding: Set<String> = []) -> Bool { stock.hasMessage(excluding: excluding) }

    @Test mutating func messagesComeOutByPriorityThenDeadlineThenArrival() {
        for message in [
            inStock(1, due: 30), inStock(2, due: 10), inStock(3, due: 10), inStock(4, priority: 1, due: 90),
            inStock(5, model: "qwen", due: 20),
        ] { stock.insert(message) }
        #expect(taken(2) == ["m4", "m2"])
        #expect(taken(9) == ["m3", "m5", "m1"])
        #expect(stock.count == 0 && stock.bytes == 0)
    }

    @Test mutating func excludedTargetsStayUntilTheyAreWelcome() {
        stock.insert(inStock(1, model: "broken", due: 1))
        stock.insert(inStock(2, model: "llama", due: 9))
        #expect(hasMessage(excluding: ["broken"]))
        #expect(taken(5, excluding: ["broken"]) == ["m2"])
        #expect(!hasMessage(excluding: ["broken"]))
        #expect(hasMessage())
        #expect(taken(5, excluding: ["llama"]) == ["m1"])
    }

    @Test mutating func whatIsOverdueComesOutWhateverItsTarget() {
        for number in Int64(1)...5 { stock.insert(inStock(number, model: "m\(number % 2)", due: Double(number))) }
        #expect(overdue(after: 3.5, limit: 2) == ["m1", "m2"])
        #expect(overdue(after: 3.5, limit: 2) == ["m3"])
        #expect(overdue(after: 0, limit: 2).isEmpty)
    }

    @Test mutating func aMessageTakenBackIsGoneAndCanComeAgainUnderTheSameLease() {
        let first = inStock(1)
        stock.insert(first)
        stock.insert(first)
        #expect(stock.count == 1 && stock.bytes == first.message.payload.count)
        let removed = stock.remove(first.lease)
        let again = stock.remove(first.lease)
        #expect(removed == first && again == nil)
        #expect(!hasMessage())
        stock.insert(first)
        #expect(taken(5) == ["m1"])
        #expect(taken(5).isEmpty)
    }

    @Test mutating func everyMessageComesOutOnceWhateverHappens() {
        var generator = SeededGenerator(seed: 7)
        var inside: Set<Int64> = []
        for number in Int64(1)...3000 {
            stock.insert(inStock(number, model: "m\(number % 7)", due: 10 + 100 * generator.unit()))
            inside.insert(number)
            let excluded = Set((0..<7).filter { _ in generator.unit() < 0.4 }.map { "m\($0)" })
            for message in stock.take(limit: generator.unit() < 0.5 ? 0 : 2, excluding: excluded) {
                #expect(inside.remove(message.lease.sequence) != nil)
                #expect(!excluded.contains(message.message.target))
            }
            if generator.unit() < 0.1, let gone = inside.first {
                let removed = stock.remove(Lease(sequence: gone, token: 1))
                #expect(removed != nil)
                inside.remove(gone)
            }
        }
        #expect(stock.count == inside.count)
        let rest = stock.take(limit: .max, excluding: [])
        #expect(Set(rest.map(\.lease.sequence)) == inside)
    }
}

import GRDB

/// Worlds that are the same for the same number: the life of asynchronous messages under an adversary.
public enum DeliveryWorlds {
    /// Lives through the world of a seed.
    ///
    /// - Parameters:
    ///   - mutation: a deliberate mistake, to see whether it is found.
    ///   - traces: whether to write down what happens, a line for each thing.
    public static func run(
        seed: UInt64, mutation: Mutation? = nil, traces: Bool = false
    ) throws -> WorldReport {
        let queue = try DatabaseQueue()
        return try queue.writeWithoutTransaction { database in
            try World(seed: seed, mutation: mutation, traces: traces, database: database).run()
        }
    }
}

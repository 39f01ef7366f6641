import Synchronization

/// Which pool serves which model: an immutable snapshot, replaced when a pool's endpoints have told their models.
final class PoolDirectory: Sendable {
    enum Answer {
        /// - isAdapter: whether the model is a LoRA adapter, as far as is known.
        case pool(PoolShell, isAdapter: Bool)
        case unknownModel
        /// Nobody serves it as far as is known, but a pool has not told its models yet.
        case notKnownYet
        case noModelNamed
    }

    private struct Snapshot {
        var poolOfModel: [String: Int] = [:]
        var models: [String] = []
        var modelsOfPool: [[String]]
        var hasUndiscovered = false
        var adaptersOfPool: [Set<String>]
    }

    /// Adapters remembered per pool.
    private static let adapterLimit = 4096

    let pools: [PoolShell]
    private let defaultPool: PoolShell?
    private let snapshot: Mutex<Snapshot>

    init(pools: [PoolShell]) {
        self.pools = pools
        defaultPool = pools.first { $0.settings.isDefault }
        snapshot = Mutex(Self.snapshot(modelsOfPool: pools.map(\.settings.models)))
    }

    /// The pool for a request that names `model`.
    func pool(for model: String?) -> Answer {
        guard let model else { return defaultPool.map { .pool($0, isAdapter: false) } ?? .noModelNamed }
        return snapshot.withLock { snapshot in
            if let index = snapshot.poolOfModel[model] {
                return .pool(pools[index], isAdapter: snapshot.adaptersOfPool[index].contains(model))
            }
            return snapshot.hasUndiscovered ? .notKnownYet : .unknownModel
        }
    }

    /// All models, sorted by name.
    var models: [String] { snapshot.withLock { $0.models } }

    func models(of pool: Int) -> [String] { snapshot.withLock { $0.modelsOfPool[pool] } }

    /// Replaces the models of a pool that asks its endpoints. Says whether anything changed.
    func discovered(_ models: [String], pool: Int) -> Bool {
        snapshot.withLock { snapshot in
            guard snapshot.modelsOfPool[pool] != models else { return false }
            var modelsOfPool = snapshot.modelsOfPool
            modelsOfPool[pool] = models
            let adapters = snapshot.adaptersOfPool
            snapshot = Self.snapshot(modelsOfPool: modelsOfPool)
            snapshot.adaptersOfPool = adapters
            return true
        }
    }

    /// Models of a pool that are LoRA adapters, as its endpoints say; what was noted before stays.
    func noteAdapters(_ names: [String], pool: Int) {
        guard !names.isEmpty else { return }
        snapshot.withLock { snapshot in
            for name in names where snapshot.adaptersOfPool[pool].count < Self.adapterLimit {
                snapshot.adaptersOfPool[pool].insert(name)
            }
        }
    }

    /// Where two pools serve one model the first one listed gets it.
    private static func snapshot(modelsOfPool: [[String]]) -> Snapshot {
        var snapshot = Snapshot(modelsOfPool: modelsOfPool, adaptersOfPool: modelsOfPool.map { _ in [] })
        for (index, models) in modelsOfPool.enumerated() {
            if models.isEmpty { snapshot.hasUndiscovered = true }
            for model in models where snapshot.poolOfModel[model] == nil { snapshot.poolOfModel[model] = index }
        }
        snapshot.models = snapshot.poolOfModel.keys.sorted()
        return snapshot
    }
}

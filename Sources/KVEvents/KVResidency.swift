import InferenceAPI

/// Which blocks one endpoint has in its prefix cache, by the keys of `TokenChain`: what its events add up to.
///
/// Pure: batches in, changes out. The engine's own block hashes are only names here. A block's key follows from its
/// parent's key and its own tokens; where the parent is unknown the block waits as an orphan and counts once the parent is
/// told. Engines keep several copies of a block and tell of each, so copies are counted in the accelerator's memory; in
/// the host's they are not. Memory is bounded by `Limits`: what is beyond is dropped and counted, which costs precision only.
public struct KVResidency: Sendable {
    /// Bounds on memory.
    public struct Limits: Hashable, Sendable {
        /// Blocks known at a time, in all tiers; about 100 bytes each.
        public var maximumBlocks = 400_000
        /// Orphans at a time; each holds its tokens. When there are more, all of them are dropped.
        public var maximumOrphans = 16_384
        /// Adapters whose names are kept. Blocks of further ones count all the same.
        public var maximumAdapters = 1_024

        /// The defaults.
        public init() {}
    }

    private struct Block {
        let key: UInt64
        var gpuCopies: UInt32 = 0
        var isOnCPU = false
    }

    /// How many of the engine's blocks have one key: several do where an engine tells less than it hashes.
    private struct Holders {
        var gpu: UInt32 = 0
        var cpu: UInt32 = 0
    }

    private struct Orphan {
        let parent: UInt64
        let tokens: [UInt32]
        let extras: [[UInt8]]
        var gpuCopies: UInt32
        var isOnCPU: Bool
    }

    /// What has been seen.
    public private(set) var counters = ResidencyCounters()
    /// Tokens per block, as the engine tells; nil before its first block.
    public private(set) var blockSize: Int?
    /// The LoRA adapters that blocks were told of; their names stand at the roots of their prompts' chains.
    public private(set) var adapters: Set<String> = []

    private let model: String
    private let limits: Limits
    private var blocks: [UInt64: Block] = [:]
    private var holders: [UInt64: Holders] = [:]
    private var orphans: [UInt64: Orphan] = [:]
    private var orphansByParent: [UInt64: [UInt64]] = [:]
    /// The first group of full attention that was told of: the one that counts.
    private var group: Int?

    /// - Parameter model: the root of the chains of prompts that name no adapter.
    public init(model: String, limits: Limits = Limits()) {
        self.model = model
        self.limits = limits
    }

    /// Blocks that count now, in whatever tier.
    public var residentBlocks: Int { blocks.count }
    /// Blocks that wait for their parent.
    public var waitingOrphans: Int { orphans.count }

    /// Whether the accelerator's memory has the block with this key.
    public func isOnGPU(_ key: UInt64) -> Bool { (holders[key]?.gpu ?? 0) > 0 }

    /// Forgets everything: the engine has started anew, or its story has a hole that nobody can fill.
    public mutating func forget(into changes: inout [ResidencyChange]) {
        counters.clears += 1
        blocks = [:]
        holders = [:]
        orphans = [:]
        orphansByParent = [:]
        group = nil
        blockSize = nil
        changes.append(.clear)
    }

    /// Applies a batch and appends what it changes.
    public mutating func apply(_ batch: KVEventBatch, into changes: inout [ResidencyChange]) {
        counters.ignoredEvents += batch.irrelevantEvents
        counters.malformedEvents += batch.malformedEvents
        for event in batch.events {
            switch event {
            case .stored(let run): store(run, into: &changes)
            case .removed(let run): remove(run, into: &changes)
            case .cleared: forget(into: &changes)
            case .foreignGroup: counters.ignoredEvents += 1
            }
        }
    }

    /// Whether events of this group count: those without a number, and those of the first group told of.
    private mutating func counts(_ other: Int?, isStore: Bool) -> Bool {
        guard let other else { return true }
        if group == nil, isStore { group = other }
        if group == nil || group == other { return true }
        counters.ignoredEvents += 1
        return false
    }

    // MARK: Storing

    private mutating func store(_ run: StoredBlocks, into changes: inout [ResidencyChange]) {
        guard counts(run.group, isStore: true) else { return }
        counters.storedBlocks += run.hashes.count
        guard !run.tokens.isEmpty else { return storeNamed(run, into: &changes) }
        if let size = blockSize, run.blockSize != size {
            if run.blockSize < size {
                counters.partialBlocks += run.hashes.count
                return
            }
            forget(into: &changes)
        }
        blockSize = run.blockSize
        if let adapter = run.adapter, adapters.count < limits.maximumAdapters { adapters.insert(adapter) }
        var parent = run.parent
        for (index, hash) in run.hashes.enumerated() {
            let tokens = run.tokens[(index * run.blockSize)..<((index + 1) * run.blockSize)]
            let extras = index < run.extras.count ? run.extras[index] : []
            if blocks[hash] != nil {
                add(hash, copies: 1, tier: run.tier, into: &changes)
            } else if let parent, blocks[parent] == nil {
                keepOrphan(hash, parent: parent, tokens: tokens, extras: extras, tier: run.tier)
            } else {
                var chain =
                    parent.flatMap { blocks[$0] }.map { TokenChain(behind: $0.key) }
                    ?? TokenChain(model: run.adapter ?? model)
                chain.append(tokens, extras: extras)
                // What comes behind a block for which there is no room would only wait for it in vain.
                guard settle(hash, key: chain.hash) else { return }
                add(hash, copies: 1, tier: run.tier, into: &changes)
                adoptOrphans(of: hash, into: &changes)
            }
            parent = hash
        }
    }

    /// Blocks that were told of before, in another tier: no tokens come with them.
    private mutating func storeNamed(_ run: StoredBlocks, into changes: inout [ResidencyChange]) {
        for hash in run.hashes {
            if blocks[hash] != nil {
                add(hash, copies: 1, tier: run.tier, into: &changes)
            } else if orphans[hash] != nil {
                addToOrphan(hash, tier: run.tier)
            } else {
                counters.unresolvedBlocks += 1
            }
        }
    }

    /// Makes a block known; false if there is no room for it.
    private mutating func settle(_ hash: UInt64, key: UInt64) -> Bool {
        guard blocks.count < limits.maximumBlocks else {
            counters.droppedBlocks += 1
            return false
        }
        blocks[hash] = Block(key: key)
        return true
    }

    /// Adds copies of a known block to a tier.
    private mutating func add(_ hash: UInt64, copies: UInt32, tier: CacheTier, into changes: inout [ResidencyChange]) {
        guard var block = blocks[hash] else { return }
        let isFirst: Bool
        switch tier {
        case .gpu:
            isFirst = block.gpuCopies == 0
            block.gpuCopies = block.gpuCopies.saturatingAdd(copies)
        case .cpu:
            isFirst = !block.isOnCPU
            block.isOnCPU = true
        }
        blocks[hash] = block
        guard isFirst else { return }
        var holder = holders[block.key] ?? Holders()
        let isNew: Bool
        switch tier {
        case .gpu:
            isNew = holder.gpu == 0
            holder.gpu += 1
        case .cpu:
            isNew = holder.cpu == 0
            holder.cpu += 1
        }
        holders[block.key] = holder
        if isNew { changes.append(.store(block.key, tier)) }
    }

    // MARK: Orphans

    private mutating func keepOrphan(
        _ hash: UInt64, parent: UInt64, tokens: ArraySlice<UInt32>, extras: [[UInt8]], tier: CacheTier
    ) {
        if orphans[hash] != nil { return addToOrphan(hash, tier: tier) }
        counters.orphanedBlocks += 1
        if orphans.count >= limits.maximumOrphans {
            counters.droppedBlocks += orphans.count
            orphans = [:]
            orphansByParent = [:]
        }
        orphans[hash] = Orphan(
            parent: parent, tokens: Array(tokens), extras: extras, gpuCopies: tier == .gpu ? 1 : 0,
            isOnCPU: tier == .cpu)
        orphansByParent[parent, default: []].append(hash)
    }

    private mutating func addToOrphan(_ hash: UInt64, tier: CacheTier) {
        guard var orphan = orphans[hash] else { return }
        switch tier {
        case .gpu: orphan.gpuCopies = orphan.gpuCopies.saturatingAdd(1)
        case .cpu: orphan.isOnCPU = true
        }
        orphans[hash] = orphan
    }

    /// Settles all that waited for this block, and all that waited for those; a worklist, so depth costs no stack.
    private mutating func adoptOrphans(of hash: UInt64, into changes: inout [ResidencyChange]) {
        var worklist = [hash]
        while let parent = worklist.popLast() {
            guard let block = blocks[parent], let children = orphansByParent.removeValue(forKey: parent) else {
                continue
            }
            for child in children {
                guard let orphan = orphans.removeValue(forKey: child) else { continue }
                var chain = TokenChain(behind: block.key)
                chain.append(orphan.tokens, extras: orphan.extras)
                guard settle(child, key: chain.hash) else { continue }
                counters.adoptedBlocks += 1
                if orphan.gpuCopies > 0 { add(child, copies: orphan.gpuCopies, tier: .gpu, into: &changes) }
                if orphan.isOnCPU { add(child, copies: 1, tier: .cpu, into: &changes) }
                worklist.append(child)
            }
        }
    }

    // MARK: Removing

    private mutating func remove(_ run: RemovedBlocks, into changes: inout [ResidencyChange]) {
        guard counts(run.group, isStore: false) else { return }
        counters.removedBlocks += run.hashes.count
        for hash in run.hashes {
            if blocks[hash] != nil {
                takeAway(hash, tier: run.tier, into: &changes)
            } else if orphans[hash] != nil {
                takeAwayOrphan(hash, tier: run.tier)
            } else {
                counters.unresolvedBlocks += 1
            }
        }
    }

    private mutating func takeAway(_ hash: UInt64, tier: CacheTier, into changes: inout [ResidencyChange]) {
        guard var block = blocks[hash], var holder = holders[block.key] else { return }
        switch tier {
        case .gpu:
            guard block.gpuCopies > 0 else { return }
            block.gpuCopies -= 1
            if block.gpuCopies == 0 {
                holder.gpu -= 1
                if holder.gpu == 0 { changes.append(.remove(block.key, .gpu)) }
            }
        case .cpu:
            guard block.isOnCPU else { return }
            block.isOnCPU = false
            holder.cpu -= 1
            if holder.cpu == 0 { changes.append(.remove(block.key, .cpu)) }
        }
        blocks[hash] = block.gpuCopies == 0 && !block.isOnCPU ? nil : block
        holders[block.key] = holder.gpu == 0 && holder.cpu == 0 ? nil : holder
    }

    private mutating func takeAwayOrphan(_ hash: UInt64, tier: CacheTier) {
        guard var orphan = orphans[hash] else { return }
        switch tier {
        case .gpu: orphan.gpuCopies = orphan.gpuCopies > 0 ? orphan.gpuCopies - 1 : 0
        case .cpu: orphan.isOnCPU = false
        }
        guard orphan.gpuCopies == 0, !orphan.isOnCPU else {
            orphans[hash] = orphan
            return
        }
        orphans[hash] = nil
        orphansByParent[orphan.parent]?.removeAll { $0 == hash }
        if orphansByParent[orphan.parent]?.isEmpty == true { orphansByParent[orphan.parent] = nil }
    }
}

extension UInt32 {
    fileprivate func saturatingAdd(_ other: UInt32) -> UInt32 {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }
}

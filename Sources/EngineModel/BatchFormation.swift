import Basics

/// What a step computes: vLLM V1's rules (`workloads.md` A.5), with `BatchFill` as an addition.
extension Engine {
    /// Which requests a pass over the running or waiting ones looks at.
    private enum Pass {
        case everything
        case realTime
        case batchDecodes
        case batchPrompts

        var isBatch: Bool { self == .batchDecodes || self == .batchPrompts }
    }

    /// Fills `step`, and `scheduledTokens` of the slots in it.
    mutating func formBatch(now: Instant) {
        step = StepContents()
        var budget = configuration.maxBatchedTokens
        if !configuration.chunkedPrefill { budget = max(budget, longestRequestTokens) }
        guard let fill = configuration.batchFill else {
            let preempted = scheduleRunning(.everything, limit: .infinity, budget: &budget)
            if !preempted { admit(.everything, limit: .infinity, budget: &budget, now: now) }
            return
        }
        let limit = fill.stepMilliseconds
        var preempted = scheduleRunning(.realTime, limit: .infinity, budget: &budget)
        if !preempted { preempted = admit(.realTime, limit: .infinity, budget: &budget, now: now) }
        if scheduleRunning(.batchDecodes, limit: limit, budget: &budget) { preempted = true }
        if scheduleRunning(.batchPrompts, limit: limit, budget: &budget) { preempted = true }
        if !preempted { admit(.batchPrompts, limit: limit, budget: &budget, now: now) }
    }

    /// Gives running requests their tokens of this step, in running order.
    ///
    /// - Returns: whether a request was preempted.
    private mutating func scheduleRunning(_ pass: Pass, limit: Double, budget: inout Int) -> Bool {
        let threshold = configuration.longPrefillTokenThreshold
        let blockSize = configuration.blockSizeTokens
        var preempted = false
        var position = 0
        while position < running.count && budget > 0 {
            let index = Int(running[position])
            let isDecode = slots[index].isDecoding
            guard pass == .everything || matches(pass, index, isDecode: isDecode) else {
                position += 1
                continue
            }
            var tokens = min(slots[index].remainingTokens, budget)
            if !isDecode {
                if threshold > 0 { tokens = min(tokens, threshold) }
                if pass == .batchPrompts { tokens = min(tokens, prefillTokens(within: limit)) }
            } else if pass == .batchDecodes && !decodeFits(index, within: limit) {
                tokens = 0
            }
            guard tokens > 0 else {
                position += 1
                continue
            }
            let computed = slots[index].computedTokens + tokens
            if computed > slots[index].heldBlocks * blockSize {
                let needed = (computed + blockSize - 1) / blockSize - slots[index].heldBlocks
                while !blocks.take(needed) {
                    preempted = true
                    let victim = victimPosition(for: pass)
                    preempt(at: victim, budget: &budget)
                    // Nobody less urgent is left: the request itself had to go, and with it the rest of the pass.
                    if victim == position { return true }
                    if victim < position { position -= 1 }
                }
                slots[index].heldBlocks += needed
            }
            schedule(index, tokens: tokens, isDecode: isDecode, budget: &budget)
            position += 1
        }
        return preempted
    }

    /// Moves waiting requests into the running batch while everything they need is there; the first that lacks
    /// something stops the rest (head of line).
    ///
    /// - Returns: whether a request was preempted, which only real-time work under `BatchFill` does here.
    @discardableResult
    private mutating func admit(_ pass: Pass, limit: Double, budget: inout Int, now: Instant) -> Bool {
        let blockSize = configuration.blockSizeTokens
        var preempted = false
        while budget > 0 {
            let next = pass.isBatch ? waitingBatch.first(in: slots) : waiting.first(in: slots)
            guard let next else { break }
            if running.count >= configuration.maxSequences {
                guard pass == .realTime, let victim = lastBatchPosition() else { break }
                preempt(at: victim, budget: &budget)
                preempted = true
            }
            let index = Int(next)
            let known = slots[index].knownTokens
            // At least one token is computed even if all are cached: there would be nothing to sample from.
            let found = blocks.reusable(hashes[index], limit: (known - 1) / blockSize)
            let cached = found.count * blockSize
            var tokens = known - cached
            if configuration.chunkedPrefill || pass.isBatch {
                let threshold = configuration.longPrefillTokenThreshold
                if threshold > 0 { tokens = min(tokens, threshold) }
                tokens = min(tokens, budget)
                if pass.isBatch { tokens = min(tokens, prefillTokens(within: limit)) }
                if tokens <= 0 { break }
            } else if tokens > budget {
                break
            }
            let needed = (cached + tokens + blockSize - 1) / blockSize - found.count
            if needed + found.idle > blocks.available {
                guard pass == .realTime, let victim = lastBatchPosition() else { break }
                preempt(at: victim, budget: &budget)
                preempted = true
                continue
            }
            if pass.isBatch { waitingBatch.removeFirst() } else { waiting.removeFirst() }
            blocks.hold(hashes[index], count: found.count, into: &sharedBlocks[index])
            _ = blocks.take(needed)
            enterBatch(index, cachedTokens: cached, heldBlocks: found.count + needed, now: now)
            schedule(index, tokens: tokens, isDecode: false, budget: &budget)
        }
        return preempted
    }

    private mutating func enterBatch(_ index: Int, cachedTokens: Int, heldBlocks: Int, now: Instant) {
        slots[index].state = .running
        slots[index].computedTokens = cachedTokens
        slots[index].heldBlocks = heldBlocks
        slots[index].publishedBlocks = sharedBlocks[index].count
        if slots[index].cachedTokens < 0 {
            slots[index].cachedTokens = cachedTokens
            if configuration.prefixCaching {
                counters.prefixQueryTokens += slots[index].promptTokens
                counters.prefixHitTokens += cachedTokens
            }
        }
        running.append(Int32(index))
        pendingEvents.append(.admitted(id: slots[index].id, waited: now - slots[index].submitted))
    }

    private mutating func schedule(_ index: Int, tokens: Int, isDecode: Bool, budget: inout Int) {
        budget -= tokens
        slots[index].scheduledTokens = tokens
        if isDecode {
            step.decodes += 1
            step.contextTokens += slots[index].computedTokens
        } else {
            step.prefillTokens += tokens
            publishBlocks(of: index, computed: slots[index].computedTokens + tokens)
        }
    }

    /// Makes the full prompt blocks that this step completes findable for others, from the next admission on.
    private mutating func publishBlocks(of index: Int, computed: Int) {
        let full = min(computed / configuration.blockSizeTokens, hashes[index].count)
        while slots[index].publishedBlocks < full {
            let hash = hashes[index][slots[index].publishedBlocks]
            slots[index].publishedBlocks += 1
            // A block whose content is findable elsewhere already stays anonymous, as in vLLM.
            if let block = blocks.publish(hash) { sharedBlocks[index].append(block) }
        }
    }

    private func matches(_ pass: Pass, _ index: Int, isDecode: Bool) -> Bool {
        switch pass {
        case .everything: true
        case .realTime: !slots[index].isBatch
        case .batchDecodes: slots[index].isBatch && isDecode
        case .batchPrompts: slots[index].isBatch && !isDecode
        }
    }

    /// How many more prompt tokens the step can take without getting longer than `limit` milliseconds.
    private func prefillTokens(within limit: Double) -> Int {
        let slack = limit - predictedMilliseconds
        guard slack > 0 else { return 0 }
        let price = configuration.stepTime.perPrefillTokenMilliseconds
        guard price > 0 else { return .max }
        return Int(min(slack / price, 1e9))
    }

    private func decodeFits(_ index: Int, within limit: Double) -> Bool {
        let price =
            configuration.stepTime.perDecodeMilliseconds
            + configuration.stepTime.perContextTokenMilliseconds * Double(slots[index].computedTokens)
        return predictedMilliseconds + price <= limit
    }

    private var predictedMilliseconds: Double {
        configuration.stepTime.stepMilliseconds(
            decodes: step.decodes, contextTokens: step.contextTokens, prefillTokens: step.prefillTokens)
    }
}

/// Preemption and the KV blocks of a request.
extension Engine {
    /// Whose blocks are taken when a pass finds none. The running batch is not empty then.
    private func victimPosition(for pass: Pass) -> Int {
        if pass != .everything, let batch = lastBatchPosition() { return batch }
        guard configuration.policy == .priority else { return running.count - 1 }
        var victim = 0
        for position in running.indices.dropFirst() {
            let (candidate, worst) = (slots[Int(running[position])], slots[Int(running[victim])])
            if (candidate.rank, candidate.sequence) > (worst.rank, worst.sequence) { victim = position }
        }
        return victim
    }

    /// The batch request that was admitted last.
    private func lastBatchPosition() -> Int? {
        running.lastIndex { slots[Int($0)].isBatch }
    }

    /// Sends a running request back to waiting; all it had computed is lost but what the prefix cache keeps.
    private mutating func preempt(at position: Int, budget: inout Int) {
        let index = running.remove(at: position)
        let slot = Int(index)
        if slots[slot].scheduledTokens > 0 {
            let tokens = slots[slot].scheduledTokens
            budget += tokens
            if slots[slot].isDecoding {
                step.decodes -= 1
                step.contextTokens -= slots[slot].computedTokens
            } else {
                step.prefillTokens -= tokens
            }
            slots[slot].scheduledTokens = 0
        }
        releaseBlocks(of: slot)
        slots[slot].computedTokens = 0
        counters.preemptions += 1
        pendingEvents.append(.preempted(id: slots[slot].id))
        enqueue(index)
    }

    /// Returns all KV blocks of a slot.
    mutating func releaseBlocks(of index: Int) {
        blocks.giveBack(slots[index].heldBlocks - sharedBlocks[index].count)
        if !sharedBlocks[index].isEmpty {
            blocks.letGo(sharedBlocks[index])
            sharedBlocks[index] = []
        }
        slots[index].heldBlocks = 0
    }

    /// Puts a slot among the waiting ones.
    mutating func enqueue(_ index: Int32) {
        slots[Int(index)].state = .waiting
        let slot = slots[Int(index)]
        let entry = WaitingQueue.Entry(rank: slot.rank, sequence: slot.sequence, slot: index)
        if isFilledLast(slot) { waitingBatch.insert(entry) } else { waiting.insert(entry) }
    }

    /// Takes a slot from among the waiting ones.
    mutating func forgetWaiting(_ index: Int32) {
        let slot = slots[Int(index)]
        slots[Int(index)].state = .vacant
        if isFilledLast(slot) { waitingBatch.forgetOne(slots: slots) } else { waiting.forgetOne(slots: slots) }
    }

    private func isFilledLast(_ slot: Slot) -> Bool { configuration.batchFill != nil && slot.isBatch }
}

/// Reads what engines publish, in every layout that is about: batches and events as arrays (tag first) or as maps, arrays
/// shorter than today's from older engines, hashes as integers or as bytes (shared reference `scheduling.md` 2.2).
///
/// Events that cannot be read are counted and do not spoil the batch. A batch that is no batch is an error.
extension KVEventBatch {
    /// Decodes a payload.
    public init(messagePack payload: [UInt8]) throws(MessagePackReader.Defect) {
        var reader = MessagePackReader(payload)
        self.init(timestampSeconds: 0, events: [])
        if reader.isMap {
            for _ in 0..<(try reader.mapCount()) {
                switch try reader.text() {
                case "ts": timestampSeconds = try reader.number()
                case "events": try readEvents(&reader)
                case "data_parallel_rank": dataParallelRank = try reader.optionalCount()
                default: try reader.skip()
                }
            }
        } else {
            let count = try reader.arrayCount()
            guard count >= 2 else { throw .truncated }
            timestampSeconds = try reader.number()
            try readEvents(&reader)
            if count >= 3 { dataParallelRank = try reader.optionalCount() }
            for _ in 3..<max(3, count) { try reader.skip() }
        }
    }

    private mutating func readEvents(_ reader: inout MessagePackReader) throws(MessagePackReader.Defect) {
        for _ in 0..<(try reader.arrayCount()) {
            let start = reader.position
            var fields = EventFields()
            do {
                try fields.read(&reader)
                switch fields.meaning {
                case .event(let event): events.append(event)
                case .irrelevant: irrelevantEvents += 1
                case .malformed: malformedEvents += 1
                }
            } catch {
                // The event is not as expected; as a value it must be whole.
                reader.move(to: start)
                try reader.skip()
                malformedEvents += 1
            }
        }
    }
}

/// The fields of an event, whatever its layout.
private struct EventFields {
    private enum Name {
        case hashes, parent, tokens, blockSize, adapterNumber, medium, adapterName, extras, group, kind, locality, other
    }

    private static let storedNames: [Name] = [
        .hashes, .parent, .tokens, .blockSize, .adapterNumber, .medium, .adapterName, .extras, .group, .kind, .other,
        .locality,
    ]
    private static let removedNames: [Name] = [.hashes, .medium, .group, .locality]
    private static let namesInMaps: [String: Name] = [
        "block_hashes": .hashes, "parent_block_hash": .parent, "token_ids": .tokens, "block_size": .blockSize,
        "lora_id": .adapterNumber, "medium": .medium, "lora_name": .adapterName, "extra_keys": .extras,
        "group_idx": .group, "kv_cache_spec_kind": .kind, "locality": .locality,
    ]

    /// Extra keys of one event; each takes much more memory here than on the wire.
    private static let maximumExtras = 65_536

    private var tag = ""
    private var hashes: [UInt64]?
    private var parent: UInt64?
    private var tokens: [UInt32] = []
    private var blockSize: Int?
    private var adapterNumber: UInt64?
    private var medium: String?
    private var adapterName: String?
    private var extras: [[[UInt8]]] = []
    private var group: Int?
    private var kind: String?
    private var locality: String?

    mutating func read(_ reader: inout MessagePackReader) throws(MessagePackReader.Defect) {
        if reader.isMap {
            for _ in 0..<(try reader.mapCount()) {
                let name = try reader.text()
                if name == "type" {
                    tag = try reader.text()
                } else {
                    try read(Self.namesInMaps[name] ?? .other, &reader)
                }
            }
            return
        }
        let count = try reader.arrayCount()
        guard count > 0 else { throw .truncated }
        tag = try reader.text()
        let names = tag == "BlockStored" ? Self.storedNames : tag == "BlockRemoved" ? Self.removedNames : []
        for index in 0..<(count - 1) { try read(index < names.count ? names[index] : .other, &reader) }
    }

    private mutating func read(_ name: Name, _ reader: inout MessagePackReader) throws(MessagePackReader.Defect) {
        if name == .other {
            try reader.skip()
            return
        }
        if try reader.readNil() { return }
        switch name {
        case .hashes:
            let count = try reader.arrayCount()
            var all: [UInt64] = []
            all.reserveCapacity(count)
            for _ in 0..<count { all.append(try reader.blockHash()) }
            hashes = all
        case .parent: parent = try reader.blockHash()
        case .tokens:
            let count = try reader.arrayCount()
            tokens.reserveCapacity(count)
            for _ in 0..<count {
                guard let token = UInt32(exactly: try reader.unsigned()) else { throw .unexpectedKind }
                tokens.append(token)
            }
        case .blockSize: blockSize = try reader.optionalCount()
        case .adapterNumber: adapterNumber = try reader.integerBits()
        case .medium: medium = try reader.text().lowercased()
        case .adapterName: adapterName = try reader.text()
        case .extras: extras = try readExtras(&reader)
        case .group: group = try reader.optionalCount()
        case .kind: kind = try reader.text().lowercased()
        case .locality: locality = try reader.text().lowercased()
        case .other: break
        }
    }

    /// One entry per block: nil, or an array whose strings are taken as they are and whose other values by their bytes.
    private func readExtras(_ reader: inout MessagePackReader) throws(MessagePackReader.Defect) -> [[[UInt8]]] {
        var all: [[[UInt8]]] = []
        var left = Self.maximumExtras
        for _ in 0..<(try reader.arrayCount()) {
            var ofBlock: [[UInt8]] = []
            if try !reader.readNil() {
                for _ in 0..<(try reader.arrayCount()) {
                    left -= 1
                    guard left >= 0 else { throw .unexpectedKind }
                    let start = reader.position
                    do { ofBlock.append(Array(try reader.octets())) } catch {
                        reader.move(to: start)
                        ofBlock.append(Array(try reader.skip()))
                    }
                }
            }
            all.append(ofBlock)
        }
        return all
    }

    enum Meaning {
        case event(KVEvent), irrelevant, malformed
    }

    var meaning: Meaning {
        if tag == "AllBlocksCleared" { return .event(.cleared) }
        guard tag == "BlockStored" || tag == "BlockRemoved" else { return tag.isEmpty ? .malformed : .irrelevant }
        if let kind, !Self.prefixKinds.contains(kind) { return .event(.foreignGroup(group)) }
        if locality == "remote" { return .irrelevant }
        let tier: CacheTier
        let medium = medium ?? "gpu"
        if medium == "gpu" {
            tier = .gpu
        } else if medium.hasPrefix("cpu") {
            // SGLang says CPU_PINNED.
            tier = .cpu
        } else {
            return .irrelevant
        }
        guard let hashes else { return .malformed }
        if tag == "BlockRemoved" { return .event(.removed(RemovedBlocks(hashes: hashes, tier: tier, group: group))) }
        // Whoever tells of a tier without tokens may leave out their number too.
        let size = blockSize ?? 0
        let (needed, overflows) = hashes.count.multipliedReportingOverflow(by: size)
        guard tokens.isEmpty || (!overflows && size > 0 && tokens.count == needed) else { return .malformed }
        var all = extras.count == hashes.count ? extras : []
        let adapter = adapterName ?? adapterNumber.map { "lora-number:\($0)" }
        if let name = adapterName.map({ Array($0.utf8) }) {
            for index in all.indices { all[index].removeAll { $0 == name } }
        }
        let blocks = StoredBlocks(
            hashes: hashes, parent: parent, tokens: tokens, blockSize: size, adapter: adapter, tier: tier,
            extras: all.allSatisfy(\.isEmpty) ? [] : all, group: group)
        return .event(.stored(blocks))
    }

    /// Kinds of KV cache in which a block that is there can be used by every prompt that begins with it.
    private static let prefixKinds: Set<String> = ["full_attention", "mla_attention", "sink_full_attention"]
}

extension MessagePackReader {
    /// Reads a count or number that is not negative, or nil.
    fileprivate mutating func optionalCount() throws(Defect) -> Int? {
        if try readNil() { return nil }
        guard let value = Int32(exactly: try unsigned()) else { throw .unexpectedKind }
        return Int(value)
    }

    /// Reads an engine's name for a block: an integer of either sign, or a digest of which the last 8 bytes count.
    fileprivate mutating func blockHash() throws(Defect) -> UInt64 {
        let start = position
        do { return try integerBits() } catch {
            guard error == .unexpectedKind else { throw error }
            move(to: start)
            return try octets().suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
    }
}

/// Reads the events of a capacity feed (`docs/capacity-feed.md`) from the bytes of its connection, cut anywhere.
struct CapacityEventReader {
    /// The feed cannot be understood.
    struct Fault: Error, Hashable {
        let reason: String
        /// Whether trying again soon cannot help.
        let isLasting: Bool
    }

    /// What the gateway says.
    enum Event: Hashable {
        case credits([PoolCredit])
        case end(reason: String)
    }

    private enum Said {
        case version(Int)
        case event(Event)
    }

    private static let maximumEventBytes = 1 << 20
    private static let maximumCredit = 1_000_000
    private static let maximumPools = 4096

    private var line: [UInt8] = []
    private var kind = ""
    private var data: [UInt8] = []
    private var hasHello = false
    private var models: [String: [String]] = [:]

    /// The events that these bytes complete.
    mutating func read(_ bytes: some Sequence<UInt8>) throws(Fault) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            guard byte == 0x0A else {
                if byte != 0x0D { line.append(byte) }
                guard line.count + data.count <= Self.maximumEventBytes else {
                    throw Fault(reason: "an event is too long", isLasting: true)
                }
                continue
            }
            if line.isEmpty {
                if let event = try endEvent() { events.append(event) }
            } else {
                takeLine()
            }
            line.removeAll(keepingCapacity: true)
        }
        return events
    }

    private mutating func takeLine() {
        if let value = Self.value(of: "data", in: line) {
            data.append(contentsOf: value)
        } else if let value = Self.value(of: "event", in: line) {
            kind = String(decoding: value, as: UTF8.self)
        }
    }

    private static func value(of field: StaticString, in line: [UInt8]) -> ArraySlice<UInt8>? {
        let name = UnsafeBufferPointer(start: field.utf8Start, count: field.utf8CodeUnitCount)
        guard line.count > name.count, line.starts(with: name), line[name.count] == UInt8(ascii: ":") else {
            return nil
        }
        let value = line.dropFirst(name.count + 1)
        return value.first == 0x20 ? value.dropFirst() : value
    }

    private mutating func endEvent() throws(Fault) -> Event? {
        defer {
            kind = ""
            data.removeAll(keepingCapacity: true)
        }
        let said: Said?
        do throws(JSONMembers.Fault) {
            said = try interpret()
        } catch {
            throw Fault(reason: "an event cannot be read", isLasting: true)
        }
        switch said {
        case nil: return nil
        case .version(let version):
            guard version == CapacityFormat.version else {
                throw Fault(
                    reason: "it speaks version \(version) of the feed, not \(CapacityFormat.version)", isLasting: true)
            }
            hasHello = true
            return nil
        case .event(let event):
            guard hasHello else { throw Fault(reason: "it does not begin with its version", isLasting: true) }
            return event
        }
    }

    private mutating func interpret() throws(JSONMembers.Fault) -> Said? {
        switch kind {
        case "hello": return .version(try Self.integer("version", in: try JSONMembers.read(data)))
        case "pools":
            try readModels()
            return nil
        case "credit": return .event(.credits(try credits()))
        case "end":
            let reason = try JSONMembers.read(data).first { $0.name == "reason" }?.text
            return .event(.end(reason: String((reason ?? "").prefix(200))))
        default: return nil
        }
    }

    private mutating func readModels() throws(JSONMembers.Fault) {
        models = [:]
        for pool in try pools() {
            guard let name = pool.first(where: { $0.name == "pool" })?.text,
                let list = pool.first(where: { $0.name == "models" })
            else { throw JSONMembers.Fault() }
            var names: [String] = []
            for element in try JSONMembers.elements(list.json) { names.append(try JSONMembers.string(element)) }
            models[name] = names
        }
    }

    private func credits() throws(JSONMembers.Fault) -> [PoolCredit] {
        var credits: [PoolCredit] = []
        for pool in try pools() {
            guard let name = pool.first(where: { $0.name == "pool" })?.text else { throw JSONMembers.Fault() }
            credits.append(
                PoolCredit(
                    pool: name, models: models[name] ?? [], credit: try Self.integer("credit", in: pool),
                    waiting: try Self.integer("waiting", in: pool), running: try Self.integer("running", in: pool)))
        }
        return credits
    }

    private func pools() throws(JSONMembers.Fault) -> [[JSONMembers.Member]] {
        guard let list = try JSONMembers.read(data).first(where: { $0.name == "pools" }) else {
            throw JSONMembers.Fault()
        }
        var pools: [[JSONMembers.Member]] = []
        for element in try JSONMembers.elements(list.json).prefix(Self.maximumPools) {
            pools.append(try JSONMembers.read(element))
        }
        return pools
    }

    private static func integer(_ name: String, in members: [JSONMembers.Member]) throws(JSONMembers.Fault) -> Int {
        guard let member = members.first(where: { $0.name == name }),
            let value = Int(String(decoding: member.json, as: UTF8.self)), value >= 0
        else { throw JSONMembers.Fault() }
        return min(value, maximumCredit)
    }
}

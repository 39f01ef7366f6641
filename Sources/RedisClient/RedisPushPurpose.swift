/// What a connection that watches keys is for.
struct WatchPurpose: Sendable {
    let prefixes: [String]
    let status: RedisStatusBoard
    let onChange: @Sendable ([String]?) -> Void

    init(prefixes: [String], status: RedisStatusBoard, onChange: @escaping @Sendable ([String]?) -> Void) {
        self.prefixes = Self.withoutOverlaps(prefixes)
        self.status = status
        self.onChange = onChange
    }

    /// The server refuses prefixes of which one begins with another; the shorter one covers both.
    static func withoutOverlaps(_ prefixes: [String]) -> [String] {
        let distinct = Set(prefixes)
        return distinct.filter { prefix in
            !distinct.contains { $0 != prefix && prefix.utf8.starts(with: $0.utf8) }
        }.sorted()
    }

    /// Takes a message of the server.
    func receive(_ message: RESPValue) {
        guard case .push(let parts) = message, parts.count == 2, parts[0].asString == "invalidate" else { return }
        onChange(parts[1].asArray?.compactMap(\.asString))
    }
}

/// What a connection that listens to channels is for.
struct SubscriptionPurpose: Sendable {
    let channels: [String]
    let status: RedisStatusBoard
    let onEvent: @Sendable (RedisSubscriptionEvent) -> Void

    /// A message of the server, read.
    enum Incoming {
        case message(channel: String, payload: [UInt8])
        case subscribed(channel: String)
        case refused(RedisServerError)
        case other
    }

    init(
        channels: [String], status: RedisStatusBoard, onEvent: @escaping @Sendable (RedisSubscriptionEvent) -> Void
    ) {
        self.channels = Set(channels).sorted()
        self.status = status
        self.onEvent = onEvent
    }

    static func read(_ message: RESPValue) -> Incoming {
        if case .error(let error) = message { return .refused(error) }
        guard let parts = message.asArray, parts.count == 3, let channel = parts[1].asString else { return .other }
        switch parts[0].asString {
        case "message": return parts[2].asBytes.map { .message(channel: channel, payload: $0) } ?? .other
        case "subscribe": return .subscribed(channel: channel)
        default: return .other
        }
    }
}

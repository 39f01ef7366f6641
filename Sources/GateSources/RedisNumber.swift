import DispatchGates
import RedisClient

/// Reads the number that someone stored under a key.
enum RedisNumber {
    /// A key that is missing or holds no number is absent; what that means is up to the gate.
    static func reading(_ reply: RESPValue) -> GateReading {
        guard let text = reply.asString else { return .absent }
        let trimmed = text.drop { $0 == " " || $0.isNewline }.prefix { $0 != " " && !$0.isNewline }
        guard let number = Double(trimmed), number.isFinite else { return .absent }
        return .value(number)
    }
}

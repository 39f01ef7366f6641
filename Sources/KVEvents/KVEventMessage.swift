/// A message of an engine's publisher: the parts of a subscription or of a replay, told apart.
///
/// A publisher sends `topic`, `sequence` (8 bytes, big-endian), `payload`. A replay is asked for with an empty part and the
/// first sequence wanted; each answer is an empty part, then (newer engines) the topic, then sequence and payload; the last
/// has the sequence -1 and an empty payload. Source: vLLM, `vllm/distributed/kv_events.py`.
enum KVEventMessage: Hashable {
    /// A batch.
    case batch(sequence: UInt64, payload: [UInt8])
    /// The replay is over.
    case endOfReplay

    /// Reads what a subscription brought.
    static func live(_ parts: [[UInt8]]) -> KVEventMessage? {
        guard parts.count == 3, let sequence = number(parts[1]), sequence != .max else { return nil }
        return .batch(sequence: sequence, payload: parts[2])
    }

    /// Reads an answer of the replay socket.
    static func replayed(_ parts: [[UInt8]]) -> KVEventMessage? {
        guard (3...4).contains(parts.count), parts[0].isEmpty, let sequence = number(parts[parts.count - 2]) else {
            return nil
        }
        return sequence == .max ? .endOfReplay : .batch(sequence: sequence, payload: parts[parts.count - 1])
    }

    /// What asks for all that is kept from `sequence` on.
    static func replayRequest(from sequence: UInt64) -> [[UInt8]] { [[], ZMTPFrames.bigEndian(sequence)] }

    private static func number(_ part: [UInt8]) -> UInt64? {
        part.count == 8 ? part.reduce(0) { $0 << 8 | UInt64($1) } : nil
    }
}

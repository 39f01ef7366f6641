import Basics
import MessageQueues

/// An entry of the list of dead letters: a JSON object with what was wrong and the member as it was.
enum DeadLetter {
    /// The entry up to its member, which is JSON and follows as it is, closed by `tail`.
    static func head(reason: String, queue: String, at instant: Instant) -> [UInt8] {
        var object = JSONWriter(capacity: 128)
        object.member("reason", reason)
        object.member("queue", queue)
        object.member("failed_at", instant)
        var bytes = object.finish()
        bytes.removeLast()
        return bytes + Array(#","member":"#.utf8)
    }

    /// What closes an entry.
    static let tail = Array("}".utf8)

    /// The entry of a result that could not be pushed to its list.
    static func entry(result: [UInt8], reason: String, queue: String, at instant: Instant) -> [UInt8] {
        var object = JSONWriter(capacity: 256 + result.count)
        object.member("reason", reason)
        object.member("queue", queue)
        object.member("failed_at", instant)
        object.member("result", json: result)
        return object.finish()
    }

    /// The entry of a member that may be anything: a string, in base64 where it is no text.
    static func entry(_ member: [UInt8], reason: String, queue: String, at instant: Instant) -> [UInt8] {
        var object = JSONWriter(capacity: 256 + member.count * 2)
        object.member("reason", reason)
        object.member("queue", queue)
        object.member("failed_at", instant)
        if let text = String(validating: member, as: UTF8.self) {
            object.member("member", text)
        } else {
            object.member("member_base64", Base64.text(member))
        }
        return object.finish()
    }
}

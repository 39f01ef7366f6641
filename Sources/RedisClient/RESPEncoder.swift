import NIOCore

/// Writes commands as the protocol wants them: arrays of bulk strings, straight into the buffer that goes out.
enum RESPEncoder {
    static func write(_ command: RedisCommand, into buffer: inout ByteBuffer) {
        writeCount("*", command.arguments.count + 1, into: &buffer)
        writeBulk(command.name, into: &buffer)
        for argument in command.arguments {
            switch argument {
            case .text(let text): writeBulk(text, into: &buffer)
            case .bytes(let bytes):
                writeCount("$", bytes.count, into: &buffer)
                buffer.writeBytes(bytes)
                buffer.writeStaticString("\r\n")
            case .integer(let number): writeBulk(String(number), into: &buffer)
            case .double(let number): writeBulk(digits(of: number), into: &buffer)
            }
        }
    }

    /// Redis reads numbers as C does, but wants no `.0` where it expects a whole number.
    private static func digits(of number: Double) -> String {
        if let whole = Int64(exactly: number) { return String(whole) }
        return String(number)
    }

    private static func writeBulk(_ text: String, into buffer: inout ByteBuffer) {
        writeCount("$", text.utf8.count, into: &buffer)
        buffer.writeString(text)
        buffer.writeStaticString("\r\n")
    }

    private static func writeCount(_ sign: StaticString, _ count: Int, into buffer: inout ByteBuffer) {
        buffer.writeStaticString(sign)
        if count < 10 {
            buffer.writeInteger(UInt8(truncatingIfNeeded: 48 + count))
        } else {
            buffer.writeString(String(count))
        }
        buffer.writeStaticString("\r\n")
    }
}

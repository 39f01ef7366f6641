import Basics

/// Writes forms as `multipart/form-data` (RFC 7578).
enum MultipartForm {
    /// A form with these fields, in this order.
    static func encode(_ fields: [(name: String, value: [UInt8])]) -> TransformedBody {
        let boundary = boundary(for: fields)
        var body: [UInt8] = []
        body.reserveCapacity(fields.reduce(64) { $0 + $1.value.count + $1.name.utf8.count + 128 })
        for (name, value) in fields {
            body.append(contentsOf: "--\(boundary)\r\nContent-Disposition: form-data; name=\"".utf8)
            appendEscaped(name, to: &body)
            body.append(contentsOf: "\"\r\n\r\n".utf8)
            body.append(contentsOf: value)
            body.append(contentsOf: "\r\n".utf8)
        }
        body.append(contentsOf: "--\(boundary)--\r\n".utf8)
        return TransformedBody(body: body, contentType: "multipart/form-data; boundary=\(boundary)")
    }

    /// Escapes as browsers do (RFC 7578 section 4.2, WHATWG HTML "multipart/form-data").
    private static func appendEscaped(_ name: String, to body: inout [UInt8]) {
        for byte in name.utf8 {
            switch byte {
            case 0x0A: body.append(contentsOf: "%0A".utf8)
            case 0x0D: body.append(contentsOf: "%0D".utf8)
            case UInt8(ascii: "\""): body.append(contentsOf: "%22".utf8)
            default: body.append(byte)
            }
        }
    }

    /// A boundary that no field contains, which also follows from the fields alone: an attempt repeated is the same request.
    private static func boundary(for fields: [(name: String, value: [UInt8])]) -> String {
        // FNV-1a, twice: 128 bits that depend on every byte. A producer could still aim at them, so that they are looked for.
        var first: UInt64 = 0xCBF2_9CE4_8422_2325
        var second: UInt64 = 0x8422_2325_CBF2_9CE4
        for (name, value) in fields {
            for byte in name.utf8 { first = (first ^ UInt64(byte)) &* 0x100_0000_01B3 }
            for byte in value { second = (second ^ UInt64(byte)) &* 0x100_0000_01B3 }
        }
        var generator = SeededGenerator(seed: first ^ (second << 1 | second >> 63))
        while true {
            let boundary = "weir-\(String(generator.next(), radix: 16))\(String(generator.next(), radix: 16))"
            let mark = Array("--\(boundary)".utf8)
            if !fields.contains(where: { contains($0.value, mark) }) { return boundary }
        }
    }

    private static func contains(_ bytes: [UInt8], _ mark: [UInt8]) -> Bool {
        guard bytes.count >= mark.count else { return false }
        return (0...(bytes.count - mark.count)).contains { start in
            bytes[start] == mark[0] && bytes[start..<start + mark.count].elementsEqual(mark)
        }
    }
}

import Basics

/// Reads `TIMESTAMP,ContextTokens,GeneratedTokens` lines; stamps look like `2023-11-16 18:15:46.6805900`.
///
/// Rows without a prompt or an answer are skipped: they cannot be replayed.
func azureRequests(in bytes: [UInt8], file: String) throws(LabError) -> [TraceRequest] {
    var requests: [TraceRequest] = []
    var sawHeader = false
    for (number, line) in ByteLines(bytes) where !line.isEmpty {
        let columns = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        if !sawHeader {
            sawHeader = true
            guard line.elementsEqual("TIMESTAMP,ContextTokens,GeneratedTokens".utf8) else {
                throw .badLine(
                    file: file, line: number, reason: "expected the header TIMESTAMP,ContextTokens,GeneratedTokens")
            }
            continue
        }
        guard columns.count == 3 else {
            throw .badLine(file: file, line: number, reason: "expected 3 columns, found \(columns.count)")
        }
        guard let arrival = wallClock(columns[0]) else {
            throw .badLine(file: file, line: number, reason: "'\(columns[0].excerpt)' is not a time stamp")
        }
        guard let prompt = ASCIINumber.whole(columns[1]), let output = ASCIINumber.whole(columns[2]) else {
            throw .badLine(file: file, line: number, reason: "token counts must be whole numbers")
        }
        guard prompt > 0, output > 0 else { continue }
        requests.append(TraceRequest(arrival: arrival, promptTokens: prompt, outputTokens: output))
    }
    return requests
}

/// A wall-clock stamp as time since 1970-01-01, with up to nine decimals of the second; nil if it is not one.
private func wallClock(_ text: ArraySlice<UInt8>) -> Instant? {
    let bytes = Array(text)
    guard bytes.count >= 19, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
        bytes[10] == UInt8(ascii: " ") || bytes[10] == UInt8(ascii: "T"), bytes[13] == UInt8(ascii: ":"),
        bytes[16] == UInt8(ascii: ":"),
        let year = ASCIINumber.whole(bytes[0..<4]), let month = ASCIINumber.whole(bytes[5..<7]),
        let day = ASCIINumber.whole(bytes[8..<10]), let hour = ASCIINumber.whole(bytes[11..<13]),
        let minute = ASCIINumber.whole(bytes[14..<16]), let second = ASCIINumber.whole(bytes[17..<19]),
        (1970...2262).contains(year), (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60,
        second < 61
    else { return nil }
    var nanoseconds: Int64 = 0
    if bytes.count > 19 {
        let digits = bytes[20...]
        guard bytes[19] == UInt8(ascii: "."), digits.count <= 9, let fraction = ASCIINumber.whole(digits) else {
            return nil
        }
        nanoseconds = Int64(fraction) * (0..<(9 - digits.count)).reduce(1) { power, _ in power * 10 }
    }
    let days = daysSince1970(year: year, month: month, day: day)
    let seconds = Int64(days) * 86_400 + Int64(hour * 3600 + minute * 60 + second)
    return Instant(nanoseconds: seconds * 1_000_000_000 + nanoseconds)
}

/// Days of the proleptic Gregorian calendar, counted with years that begin in March so that leap days come last.
private func daysSince1970(year: Int, month: Int, day: Int) -> Int {
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
}

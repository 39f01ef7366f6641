import Basics

@testable import InferenceAPI

/// Scans a body handed over in pieces that end at `cuts`.
func scan(_ body: [UInt8], cuts: [Int] = []) -> RequestBodyScanner {
    var scanner = RequestBodyScanner()
    forEachPiece(of: body, cuts: cuts) { scanner.consume($0) }
    scanner.finish()
    return scanner
}

func scan(_ body: String, cuts: [Int] = []) -> RequestBodyScanner { scan(Array(body.utf8), cuts: cuts) }

/// Scans a response handed over in pieces that end at `cuts`.
func scanResponse(_ text: String, as body: ResponseScanner.Body, cuts: [Int] = []) -> ResponseScanner {
    var scanner = ResponseScanner(body)
    forEachPiece(of: Array(text.utf8), cuts: cuts) { scanner.consume($0) }
    return scanner
}

/// Every piece is copied to memory of its own, so that reading beyond it cannot go unnoticed by luck.
func forEachPiece(of bytes: [UInt8], cuts: [Int], _ body: (UnsafeRawBufferPointer) -> Void) {
    var start = 0
    for end in cuts + [bytes.count] {
        Array(bytes[start..<end]).withUnsafeBytes(body)
        start = end
    }
}

/// Random JSON request bodies, with the members that matter, some that do not, and odd strings in all of them.
struct RandomBody {
    var generator: SeededGenerator

    mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &generator) }

    mutating func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }

    /// White space, mostly none.
    mutating func space() -> String { pick(["", "", "", " ", "\n\t", "\r\n  "]) }

    mutating func string() -> String {
        let pieces = [
            "a", "word ", "é", "漢字", "😀", "\\n", "\\\"", "\\\\", "\\/", "\\u00e9", "\\u4f60", "\\ud83d\\ude00", "{",
            "]",
            ",", ":", "data:", "\\b\\f\\r\\t", "model", "\\u0041",
        ]
        return "\"" + (0..<below(12)).map { _ in pick(pieces) }.joined() + "\""
    }

    mutating func integer() -> String { pick(["0", "1", "7", "-3", "100", "4096", "123456789012", "-0"]) }

    mutating func number() -> String { pick(["1.5", "-0.25", "1e3", "2E-2"]) }

    mutating func value(depth: Int) -> String {
        switch below(depth > 3 ? 6 : 9) {
        case 0: "true"
        case 1: "false"
        case 2: "null"
        case 3: integer()
        case 4: number()
        case 5, 6: string()
        case 7: "[" + list(below(4)) { $0.value(depth: depth + 1) } + "]"
        default:
            "{" + objectMembers(depth: depth) + "}"
        }
    }

    mutating func list(_ count: Int, _ element: (inout RandomBody) -> String) -> String {
        (0..<count).map { _ in space() + element(&self) + space() }.joined(separator: ",")
    }

    mutating func objectMembers(depth: Int) -> String {
        var keys = ["\"a\"", "\"b\\u0063\"", "\"model\"", "\"\"", "\"text\""].shuffled(using: &generator)
        return list(below(4)) { random in
            "\(keys.removeLast())\(random.space()):\(random.space())\(random.value(depth: depth + 1))"
        }
    }

    /// A body whose keys are distinct, because a tree keeps only one of several equal ones.
    mutating func body() -> String {
        let keys = [
            "model", "m\\u006fdel2", "stream", "stream_options", "max_tokens", "max_completion_tokens",
            "max_output_tokens", "priority", "n", "ignore_eos", "prompt", "messages", "input", "instructions", "system",
            "user", "temperature", "metadata",
        ]
        var members: [String] = []
        for key in keys.shuffled(using: &generator) where below(3) > 0 {
            let value: String
            switch key {
            case "model": value = below(5) > 0 ? string() : self.value(depth: 1)
            case "stream", "ignore_eos": value = pick(["true", "false", "null", "1"])
            case "stream_options": value = pick(["{\"include_usage\":true}", "{\"x\":[true]}", "null", "{}"])
            case "prompt", "input":
                value = pick([string(), "[1,2, 3]", "[[1],[2,3],[]]", "[\"a\", 5]", self.value(depth: 1)])
            default: value = below(2) > 0 ? integer() : self.value(depth: 1)
            }
            members.append("\(space())\"\(key)\"\(space()):\(space())\(value)\(space())")
        }
        return space() + "{" + members.joined(separator: ",") + "}" + space()
    }
}

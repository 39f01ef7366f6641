import Testing

@testable import AsyncFlags

@Suite struct JSONReaderTests {
    @Test func everyKindOfValueIsRead() throws {
        let node = try JSONReader.read(
            " {\"a\": [1, -2.5e1, true, false, null],\n \"b\": \"x\\n\\u00e9\\ud83d\\ude00\\/\"}\n")
        guard case .object(let members) = node.kind else {
            Issue.record("no object")
            return
        }
        #expect(members.map(\.key) == ["a", "b"])
        #expect(members.map(\.line) == [1, 2])
        guard case .list(let elements) = members[0].value.kind else {
            Issue.record("no list")
            return
        }
        #expect(elements.map(\.kind) == [.number(1), .number(-25), .bool(true), .bool(false), .null])
        #expect(members[1].value.kind == .text("x\né😀/"))
    }

    @Test(arguments: [
        "", "{", "[", "{a:1}", "{\"a\" 1}", "{\"a\":}", "[1,]", "[1 2]", "\"x", "\"\\x\"", "\"\\ud83d\"", "\"a\nb\"",
        "nul", "1 2", "{\"a\":1,\"a\":2}", "NaN", "\"\\u12\"", "{} x",
    ])
    func whatIsNoDocumentIsRefused(text: String) {
        #expect(throws: JSONFault.self) { try JSONReader.read(text) }
    }

    @Test func depthIsBounded() {
        #expect(throws: JSONFault.self) { try JSONReader.read(String(repeating: "[", count: 100_000)) }
    }

    @Test func theLineOfAMistakeIsNamed() {
        let fault = #expect(throws: JSONFault.self) { try JSONReader.read("{\n \"a\": 1\n \"b\": 2\n}") }
        #expect(fault?.line == 3)
    }
}

import Foundation
import Testing

@testable import InferenceAPI

@Suite struct JSONTextTests {
    @Test func everyScalarSurvivesARoundTrip() throws {
        var text = ""
        for value in Array(0...0x2FF) + [0x2028, 0x2029, 0xFEFF, 0xFFFD, 0xFFFF, 0x10000, 0x1F600, 0x10FFFF] {
            if let scalar = Unicode.Scalar(UInt32(value)) { text.unicodeScalars.append(scalar) }
        }
        var output: [UInt8] = []
        JSONText.appendString(text, to: &output)
        let parsed = try JSONSerialization.jsonObject(with: Data(output), options: .fragmentsAllowed)
        #expect((parsed as? String)?.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
        #expect(output.allSatisfy { $0 >= 0x20 && $0 != 0x7F })
    }

    @Test func absentTextIsNull() {
        var output: [UInt8] = []
        JSONText.appendOptionalString(nil, to: &output)
        JSONText.appendOptionalString("b\"", to: &output)
        #expect(String(decoding: output, as: UTF8.self) == #"null"b\"""#)
    }
}
